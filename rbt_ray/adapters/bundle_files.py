"""Where zipline and RustyBT keep an ingested bundle, and what of it a daily backtest reads."""

from __future__ import annotations

import os
from pathlib import Path

from rbt_ray.data.backtester_bundle import ASSETS, DAILY, newest
from rbt_ray.data.file_tree import Files
from rbt_ray.errors import BundleNotFoundError
from rbt_ray.nearest import did_you_mean

_NOT_READ = ("minute_equities.bcolz",)


def find(bundle: str | Path, root: Path, engine: str) -> Files:
    """The files of an ingested bundle.

    Args:
        bundle: the name it was ingested under, of which the newest ingestion is taken; or its folder, or a folder of
            such folders, as a path.
        root: the folder in which the engine keeps its bundles.
        engine: the name of the backtester, for messages.

    Raises:
        BundleNotFoundError: there is none.
    """
    named = isinstance(bundle, str) and os.sep not in bundle
    folder = newest(root / bundle if named else Path(bundle).expanduser())
    if folder is not None:
        return Files.of(folder.resolve(), without=_NOT_READ)
    if not named:
        raise BundleNotFoundError(
            f"`{bundle}` is not the folder of a bundle that {engine} ingested: it has no {DAILY} beside an {ASSETS}."
        )
    names = sorted(path.name for path in root.glob("*") if newest(path) is not None)
    hint = did_you_mean(bundle, names)
    raise BundleNotFoundError(
        f"There is no bundle {bundle!r} of {engine} in {root}{': ' + hint if hint else '.'} There are: "
        f"{', '.join(names) or 'none'}. Ingest it with `{engine} ingest -b {bundle}`, or pass the path of its folder."
    )

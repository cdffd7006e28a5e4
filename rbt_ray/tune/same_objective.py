"""Whether a study goes on with the objective it was begun with, and runs the code that this process has loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path

from rbt_ray.errors import ObjectiveError, StudyMismatchError
from rbt_ray.objectives.address import differences, listed
from rbt_ray.objectives.fingerprint import Fingerprint, codes_of
from rbt_ray.objectives.own_code import Source
from rbt_ray.study.study import Address


def refuse_another(then: Address, now: Address, folder: Path) -> None:
    """Refuses to mix the results of two objectives in one table.

    Args:
        then: the objective's that the study was begun with.
        now: the one's that is to go on.
        folder: the study's.

    Raises:
        StudyMismatchError: they differ; the message says in what.
    """
    if changes := differences(then, now):
        raise StudyMismatchError(
            f"the objective is not the one the study in {folder} was begun with ({then.name}). What differs: "
            f"{listed(changes)}. Results of two objectives do not mix: begin a new study under another name, or go on all the "
            f"same by Tuner.restore(..., accept_changes=True) or `rbt-ray resume --accept-changes`."
        )


def refuse_stale(found: Fingerprint, sources: Mapping[str, Source]) -> None:
    """Refuses to send workers a file that this process has loaded an earlier version of.

    Raises:
        ObjectiveError: a function that the objective reaches is not in its module's file as it is now.
    """
    for name, reached in found.codes.items():
        source = sources.get(name)
        loader = getattr(sys.modules.get(name), "__loader__", None)
        if (
            source is None or type(loader) is not SourceFileLoader
        ):  # others, as that of pytest, may rewrite what they load
            continue
        try:
            there = codes_of(source.content)
        except (SyntaxError, ValueError):
            there = set()
        for digest, function in reached.items():
            if digest not in there:
                raise ObjectiveError(
                    f"{source.file} has changed since this process imported it: workers would run another `{function}` than "
                    f"is loaded here. Start Python again, or `importlib.reload` the module, and make the objective again."
                )

"""Bundles by name: ingest, load, list, remove.

``<home>/bundles/<name>/<version>.arrow`` and a pointer ``current``, each written beside its place and renamed, so that
a crash or a second ingest leaves whole versions only. Versions stay until the bundle is removed: studies resume by
version. Ingests and removals take turns by a lock, ``<home>/bundles.lock``, and each removes what killed ones left.
The home is `RBT_RAY_HOME`, else the user's data folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray.data import arrow_file, times
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import BundleError, BundleNotFoundError
from rbt_ray.file_lock import FileLock
from rbt_ray.nearest import did_you_mean
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.private_files import make_folder, read_small, remove_abandoned_drafts

EMBEDDED = {name: Path(__file__).parent / "embedded" / f"{name}.arrow" for name in ("sample", "fx")}
VERIFIED_UP_TO = 64 * 2**20
"""Bytes up to which `load_bundle` reads the whole file to check its hash: at most a tenth of a second or so."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[0-9a-f]{64}")
_POINTER = "current"
_REMOVED = ".removed-"
_POINTER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A line of the list of bundles.

    Args:
        name: what `load_bundle` takes.
        embedded: it comes with the package.
        version: the content hash; empty where the bundle cannot be read.
        n_bars: number of bars.
        symbols: names of the symbols.
        fields: names of the fields.
        start: first bar, as text.
        end: last bar, as text.
        periods_per_year: bars in a year.
        nbytes: bytes of all fields.
        error: why it cannot be read, or None.
    """

    name: str
    embedded: bool
    version: str = ""
    n_bars: int = 0
    symbols: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    periods_per_year: float = 0.0
    nbytes: int = 0
    error: str | None = None


@explain_os_errors()
def ingest(
    name: str,
    source: Any,
    *,
    fix: str | Iterable[str] = (),
    periods_per_year: float | None = None,
    symbol: str | None = None,
    listed_until: Mapping[str, Any] | None = None,
) -> Bundle:
    """Register prices under a name and return them, memory-mapped.

    The name's earlier version stays until this one is whole on disk, and after it for studies that began with it.

    Args:
        name: letters, digits, dots, dashes and underscores.
        source: a folder with a CSV file a symbol (zipline's csvdir: ``AAPL.csv`` with date, open, high, low, close,
            volume, or a folder ``daily`` or ``minute`` of such files); the folder of a bundle that zipline or RustyBT
            ingested (its newest daily bars, adjusted); one CSV, Parquet or Feather file, long (date, symbol, fields) or
            wide (date, a column of closes a symbol); a pandas, polars or pyarrow frame, also as yfinance makes them, and
            a CSV file of its `to_csv`; vectorbt data, such as `vbt.YFData`; a
            `Bundle` or a file that `Bundle.save` wrote. In files each symbol's rows must ascend in time.
        fix: what may be put right: ``"sort"`` (rows of a file that are not in time order), ``"drop-duplicates"``
            (rows that repeat another in every column).
        periods_per_year: bars in a year; None infers it (`times.periods_per_year`): 252 for daily bars.
        symbol: the symbol of a file or frame that holds one ticker and does not name it; None: the bundle's name.
        listed_until: symbols whose listing ends, with the time of their last bar; see `Bundle.from_arrays`. None keeps
            what a `Bundle` as source declares.

    Raises:
        BundleError: the name cannot be used, or the data cannot; the message names file, symbol and row.
        ResourceError: the machine has too little memory, disk space or descriptors left.
    """
    _usable(name)
    from rbt_ray.data import sources

    bundle = sources.read_bundle(
        source, fix=fix, periods_per_year=periods_per_year, symbol=symbol or name, listed_until=listed_until
    )
    if symbol is not None and bundle.symbols != (symbol,):
        raise BundleError(
            f"`symbol` is for prices of one ticker that do not say whose they are; these are of {', '.join(bundle.symbols[:5])}."
        )
    with _writing() as bundles:
        return _put(bundle, name, bundles / name)


@explain_os_errors()
def load_bundle(name: str, version: str | None = None) -> Bundle:
    """A registered or embedded bundle, memory-mapped.

    Files up to `VERIFIED_UP_TO` bytes are checked against their content hash, larger ones by their head alone.

    Args:
        name: as in `list_bundles`.
        version: the content hash of an older version; None for the current one.

    Raises:
        BundleNotFoundError: there is no such bundle, or no such version of it.
        BundleError: its file is damaged.
    """
    path = EMBEDDED.get(name) if isinstance(name, str) else None
    if path is None:
        path = _path(name, version)
    bundle = Bundle.open(path, verify=not path.exists() or path.stat().st_size <= VERIFIED_UP_TO)
    if version not in (None, bundle.version):
        raise BundleNotFoundError(
            f"The bundle `{name}` that comes with this rbt_ray is version {bundle.version[:12]}; got {version!r}."
        )
    return bundle


def current_version(name: str) -> str:
    """The content hash of the bundle that `load_bundle(name)` gives; a look at where it points, not at the prices.

    Raises:
        BundleNotFoundError: there is no such bundle.
        BundleError: what says so is damaged.
    """
    if isinstance(name, str) and name in EMBEDDED:
        return Bundle.open(EMBEDDED[name]).version
    return _path(name, None).stem


@explain_os_errors()
def list_bundles() -> list[BundleInfo]:
    """Every bundle there is, the embedded ones first, then by name; damaged ones are listed with their error."""
    return [_info(name, embedded=True) for name in EMBEDDED] + [_info(name, embedded=False) for name in _registered()]


def remove_bundle(name: str) -> None:
    """Remove all versions of a bundle. Processes that have it mapped keep it (not on Windows).

    Raises:
        BundleNotFoundError: there is no such bundle.
        BundleError: it is embedded, or in use on a system that does not remove files in use.
    """
    _usable(name)
    if name not in _registered():
        raise _unknown(name)
    with _writing() as bundles:
        if name not in _registered():
            raise _unknown(name)
        trash = bundles / f"{_REMOVED}{secrets.token_hex(8)}"
        try:
            (bundles / name).rename(trash)  # at once, so that nobody sees half a bundle
        except OSError as error:
            raise BundleError(
                f"The bundle `{name}` is in use, or in a folder that cannot be written, and cannot be removed: "
                f"{error.strerror}. Close what uses it."
            ) from None
        _discard(trash)


@contextmanager
def _writing() -> Iterator[Path]:
    """Locks the folder of bundles and removes what killed writers left in it."""
    bundles = _bundles()
    _make(bundles)
    path = bundles.with_name(f"{bundles.name}.lock")
    try:
        lock = FileLock(path, wait=True)
    except OSError as error:
        raise BundleError(
            f"`{path}` cannot be locked: {error.strerror or error}. Set RBT_RAY_HOME to a folder on a local disk that can be "
            f"written."
        ) from None
    try:
        _sweep(bundles)
        yield bundles
    finally:
        lock.release()


def _bundles() -> Path:
    home = os.environ.get("RBT_RAY_HOME")
    if home:
        return Path(home).expanduser() / "bundles"
    import platformdirs

    return Path(platformdirs.user_data_dir("rbt_ray")) / "bundles"


def _registered() -> list[str]:
    folder = _bundles()
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name) and (entry / _POINTER).exists()
    )


def _usable(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise BundleError(
            "A bundle's name is up to 100 letters, digits, dots, dashes and underscores, beginning with a letter or "
            f"digit; got {name!r}."
        )
    if name.lower() in EMBEDDED:
        raise BundleError(f"`{name}` is the name of a bundle that comes with rbt_ray and stays as it is. Use another.")


def _unknown(name: object) -> BundleNotFoundError:
    names = [*EMBEDDED, *_registered()]
    hint = did_you_mean(name, names)
    return BundleNotFoundError(
        f"There is no bundle {name!r}{': ' + hint if hint else '.'} There are: {', '.join(names)}. "
        "Register one with `rbt-ray bundle ingest` (Python: rbt.ingest(name, source))."
    )


def _path(name: str, version: str | None) -> Path:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name not in _registered():
        raise _unknown(name)
    folder = _bundles() / name
    path = folder / f"{_current(folder) if version is None else version}.arrow"
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version) and path.exists()):
        versions = ", ".join(sorted(file.stem for file in folder.glob("*.arrow"))) or "none"
        raise BundleNotFoundError(f"The bundle `{name}` has no version {version!r}; it has {versions}.")
    return path


def _current(folder: Path) -> str:
    try:
        version = json.loads(read_small(folder / _POINTER, _POINTER_BYTES))["version"]
        if _VERSION.fullmatch(version):
            return str(version)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise BundleError(
        f"`{folder / _POINTER}` is damaged: it names no version. Ingest the bundle `{folder.name}` again."
    )


def _info(name: str, *, embedded: bool) -> BundleInfo:
    try:
        bundle = Bundle.open(EMBEDDED[name] if embedded else _path(name, None))
    except BundleError as error:
        return BundleInfo(name, embedded, error=str(error))
    start, end = (times.text(bundle.index[bar], bundle.tz) for bar in (0, -1))
    return BundleInfo(
        name,
        embedded,
        bundle.version,
        bundle.n_bars,
        bundle.symbols,
        bundle.fields,
        start,
        end,
        bundle.periods_per_year,
        bundle.nbytes,
    )


def _make(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise BundleError(
            f"The folder `{folder}` cannot be made: {error.strerror}. Set RBT_RAY_HOME to one that can be written."
        ) from None


def _put(bundle: Bundle, name: str, folder: Path) -> Bundle:
    """The version's file, unless a whole one is there, and then the pointer to it."""
    _make(folder)
    path = folder / f"{bundle.version}.arrow"
    named = Bundle(bundle._content, name, bundle.metadata)
    if not _holds(path, named):
        named.save(path)
    mapped = Bundle.open(path)
    pointer = json.dumps({"version": bundle.version}).encode()
    arrow_file.replace(folder / _POINTER, lambda file: file.write(pointer))
    return mapped


def _holds(path: Path, bundle: Bundle) -> bool:
    try:
        return Bundle.open(path, verify=True).metadata == bundle.metadata
    except BundleError:
        return False


def _sweep(bundles: Path) -> None:
    """Remove what ingests and removals that were killed left; nobody else writes here while the lock is held."""
    for entry in bundles.iterdir():
        if entry.name.startswith(_REMOVED):
            _discard(entry)
        elif entry.is_dir() and not entry.is_symlink():
            remove_abandoned_drafts(entry, older_than_s=0.0)
            with suppress(OSError):
                entry.rmdir()  # it is empty where the first ingest of its name was killed


def _discard(path: Path) -> None:
    """Remove a folder, a link or a file; what is in use on Windows stays until the next sweep."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()

"""Bundles by name: ingest, load, list, remove.

Each version is a file ``<home>/bundles/<name>/<version>.arrow``; a file ``current`` names the latest. Files are written to
a temporary name and renamed, so that a crash or a concurrent ingest leaves only complete versions. Versions are kept until
the bundle is removed, since studies resume by version. A lock, ``<home>/bundles.lock``, admits one ingest or removal at a
time, and each first removes what killed ones left. The home is `RBT_RAY_HOME`, else the user's data folder.
"""

from __future__ import annotations

import json
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
from rbt_ray.private_files import make_folder, own_folder, read_small, remove_abandoned_drafts

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
    """An entry of `list_bundles`.

    Args:
        name: the argument of `load_bundle`.
        embedded: whether it comes with the package.
        version: the content hash; empty if the bundle cannot be read.
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

    Earlier versions of the bundle are kept for studies that began with them.

    Args:
        name: letters, digits, dots, dashes and underscores.
        source: a folder with a CSV file for each symbol (zipline's csvdir: ``AAPL.csv`` with date, open, high, low, close,
            volume, or a folder ``daily`` or ``minute`` of such files); the folder of a bundle that zipline or RustyBT
            ingested (its newest daily bars, adjusted); one CSV, Parquet or Feather file, long (date, symbol, fields) or
            wide (date, a column of closes for each symbol); a pandas, polars or pyarrow frame, including those of
            yfinance and CSV files of them; vectorbt data, such as `vbt.YFData`; a `Bundle` or a file that `Bundle.save`
            wrote. In files each symbol's rows must be in time order.
        fix: which faults to correct: ``"sort"`` (rows of a file that are not in time order), ``"drop-duplicates"``
            (rows that repeat another in every column).
        periods_per_year: bars in a year; None infers it (`times.periods_per_year`): 252 for daily bars.
        symbol: the symbol of a file or frame of one ticker that does not name it; None: the bundle's name.
        listed_until: delisted symbols, with the time of their last bar; see `Bundle.from_arrays`. None keeps those of a
            `Bundle` as source.

    Raises:
        BundleError: the name or the data is invalid; the message names file, symbol and row.
        ResourceError: the machine has too little memory, disk space or file descriptors left.
    """
    _usable(name)
    from rbt_ray.data import sources

    bundle = sources.read_bundle(
        source, fix=fix, periods_per_year=periods_per_year, symbol=symbol or name, listed_until=listed_until
    )
    if symbol is not None and bundle.symbols != (symbol,):
        raise BundleError(
            f"`symbol` is for prices of one ticker that do not name it; these are of {', '.join(bundle.symbols[:5])}."
        )
    with _writing() as bundles:
        return _put(bundle, name, bundles / name)


@explain_os_errors()
def load_bundle(name: str, version: str | None = None) -> Bundle:
    """Load a registered or embedded bundle, memory-mapped.

    Files up to `VERIFIED_UP_TO` bytes are compared with their content hash; of larger ones only the head is checked.

    Args:
        name: as in `list_bundles`.
        version: the content hash of an older version; None for the current one.

    Raises:
        BundleNotFoundError: the bundle, or that version of it, does not exist.
        BundleError: the file is damaged.
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
    """Returns the content hash of the bundle that `load_bundle(name)` loads, without reading prices.

    Raises:
        BundleNotFoundError: the bundle does not exist.
        BundleError: the file that names the version is damaged.
    """
    if isinstance(name, str) and name in EMBEDDED:
        return Bundle.open(EMBEDDED[name]).version
    return _path(name, None).stem


@explain_os_errors()
def list_bundles() -> list[BundleInfo]:
    """List all bundles, the embedded ones first, then by name; damaged ones with their error."""
    return [_info(name, embedded=True) for name in EMBEDDED] + [_info(name, embedded=False) for name in _registered()]


def remove_bundle(name: str) -> None:
    """Remove all versions of a bundle. Processes that have mapped it can continue to read it (not on Windows).

    Raises:
        BundleNotFoundError: the bundle does not exist.
        BundleError: it is embedded, or in use on a system that cannot remove files in use.
    """
    _usable(name)
    if name not in _registered():
        raise _unknown(name)
    with _writing() as bundles:
        if name not in _registered():
            raise _unknown(name)
        trash = bundles / f"{_REMOVED}{secrets.token_hex(8)}"
        try:
            (bundles / name).rename(trash)  # atomic: nobody sees half a bundle
        except OSError as error:
            raise BundleError(
                f"The bundle `{name}` cannot be removed: {error.strerror}. Close the programs that use it, or make its folder "
                f"writable."
            ) from None
        _discard(trash)


@contextmanager
def _writing() -> Iterator[Path]:
    """Locks the folder of bundles and removes what killed writers left in it."""
    bundles = own_folder("bundles")
    _make(bundles)
    path = bundles.with_name(f"{bundles.name}.lock")
    try:
        lock = FileLock(path, wait=True)
    except OSError as error:
        raise BundleError(
            f"`{path}` cannot be locked: {error.strerror or error}. Set RBT_RAY_HOME to a writable folder on a local "
            f"disk."
        ) from None
    try:
        _sweep(bundles)
        yield bundles
    finally:
        lock.release()


def _registered() -> list[str]:
    folder = own_folder("bundles")
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name) and (entry / _POINTER).exists()
    )


def _usable(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise BundleError(
            "A bundle's name has up to 100 letters, digits, dots, dashes and underscores, and begins with a letter or "
            f"digit; got {name!r}."
        )
    if name.lower() in EMBEDDED:
        raise BundleError(
            f"`{name}` is the name of a bundle that comes with rbt_ray and cannot be changed. Use another name."
        )


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
    folder = own_folder("bundles") / name
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
            f"The folder `{folder}` cannot be made: {error.strerror}. Set RBT_RAY_HOME to a writable folder."
        ) from None


def _put(bundle: Bundle, name: str, folder: Path) -> Bundle:
    """Writes the version's file, unless it exists and is intact, and then the file that names it."""
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
    """Remove the remains of killed ingests and removals; no other process writes here while the lock is held."""
    for entry in bundles.iterdir():
        if entry.name.startswith(_REMOVED):
            _discard(entry)
        elif entry.is_dir() and not entry.is_symlink():
            remove_abandoned_drafts(entry, older_than_s=0.0)
            with suppress(OSError):
                entry.rmdir()  # it is empty if the first ingest of its name was killed


def _discard(path: Path) -> None:
    """Remove a folder, a link or a file; a file in use on Windows stays until the next sweep."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()

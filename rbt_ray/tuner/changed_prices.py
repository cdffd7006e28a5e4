"""Detects changed prices, marks the affected trials and builds the error messages."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from rbt_ray.data.bundle import Bundle, PriceChecker
from rbt_ray.errors import BundleError, PricesChangedError, RbtError
from rbt_ray.store import trust
from rbt_ray.store.journal import Distrusted, Journal

if TYPE_CHECKING:
    from rbt_ray.store.location import StudyLocation

_checked = PriceChecker()


def check_bundle(bundle: Bundle, location: StudyLocation, *, is_new: bool) -> None:
    """Compares a bundle with its checksums before a run; the caller holds the study's lock.

    A bundle that passed the check earlier in this process, and whose file was not written since, is only checked at the end.

    Raises:
        BundleError: the prices have changed. Trials that may have used them since the last check are marked.
    """
    if (where := _checked.changed(bundle, again=False)) is None:
        return
    n = 0 if is_new else _distrust_in(location, where)
    raise BundleError(
        f"the prices of {_named(bundle)} have changed since it was made ({where}): {_remedy(bundle)}. {_marked(n, location)}".strip()
    )


def damaged_bundle_error(damage: BundleError, location: StudyLocation) -> BundleError:
    """Marks the trials of a study whose bundle is damaged; returns the error, extended by the number of marked trials.

    Marks nothing if another driver runs the study, which checks the prices itself, or if the disk is read-only.
    """
    n = 0
    with suppress(RbtError), location.locked():
        n = _distrust_in(location, "its file is damaged")
    return BundleError(f"{damage} {_marked(n, location)}") if n else damage


def prices_changed_error(bundle: Bundle, where: str, journal: Journal, location: StudyLocation) -> PricesChangedError:
    """Marks the trials since the last check and returns the error to raise."""
    n = distrust(journal, where)
    return PricesChangedError(
        f"the prices of {_named(bundle)} changed while the study ran ({where}): another process, compiled code with a "
        f"wrong index, or faulty memory overwrote them. If the file has changed, {_remedy(bundle)}. {_marked(n, location)}".strip()
    )


def _distrust_in(location: StudyLocation, where: str) -> int:
    """Calls `distrust` for a study that is not running, and syncs the mirror if it can be written."""
    with closing(Journal(location.folder, write=True)) as journal:
        n = distrust(journal, where)
    with suppress(RbtError), location.mirrored():  # syncs the new event
        pass
    return n


def distrust(journal: Journal, where: str) -> int:
    """Marks the results since the last check as withdrawn; returns the number of trials."""
    n = trust.n_unconfirmed(journal.read("finished", *trust.KINDS))
    if n:
        journal.append(Distrusted(where))
    return n


def _named(bundle: Bundle) -> str:
    """Returns the bundle's name, file and version, for messages."""
    name = "the bundle" if bundle.name is None else f"the bundle {bundle.name!r}"
    return f"{name} in {bundle.path} (version {bundle.version[:12]})"


def _remedy(bundle: Bundle) -> str:
    how = "`Bundle.save(path)`" if bundle.name is None else f"`rbt.ingest({bundle.name!r}, source)`"
    return f"make it again with {how}"


def _marked(n: int, location: StudyLocation) -> str:
    if not n:
        return ""
    return f"The {n:,} trials since the last check are marked as failed; `rbt-ray resume {location.display_name}` runs them again."

"""Detects changed prices during and between runs, marks the affected trials and builds the error messages."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.data.bundle import Bundle, PriceChecker
from rbt_ray.engine.review import batch_numbers
from rbt_ray.engine.stop_conditions import Interrupt
from rbt_ray.errors import BundleError, PricesChangedError, RbtError, WorkerStartError
from rbt_ray.pool.pool import Batch, Job, WorkerPool
from rbt_ray.store import trust
from rbt_ray.store.journal import Distrusted, Journal

if TYPE_CHECKING:
    from rbt_ray.store.location import StudyLocation

_checked = PriceChecker()
_TICK_SECONDS = 0.1
_MAX_LOSSES = 3
_NO_TRIALS, _NO_POINTS = np.empty(0, np.int64), np.empty((0, 0))


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


def check_prices(pool: WorkerPool, job: Job, interrupt: Interrupt) -> bool:
    """Runs `pool.n_checks` checks; returns False if the study is interrupted before all have passed.

    An idle pool gives each worker at most one check. The workers of a host share the memory pages of the prices, so one check
    per host is enough.

    Args:
        pool: idle workers.
        job: the study's job.
        interrupt: set to stop the study.

    Raises:
        PricesChangedError: a worker's prices are not those that the study began with.
        WorkerStartError: workers died during the check.
    """
    waiting, sent, losses = pool.n_checks, set[int](), 0
    while waiting or sent:
        if interrupt.is_set():
            waiting = 0
            sent.difference_update(pool.recall())
            for number in sent:
                pool.cancel(number, "interrupted")
        while waiting and len(sent) < pool.capacity:
            batch = Batch(next(batch_numbers), job, _NO_TRIALS, _NO_POINTS, purpose="check")
            pool.submit(batch)
            sent.add(batch.number)
            waiting -= 1
        for returned in pool.wait(_TICK_SECONDS):
            sent.discard(returned.number)
            if returned.lost is not None and not interrupt.is_set():
                losses += 1
                if losses > _MAX_LOSSES:
                    raise WorkerStartError(f"{losses} workers died while they checked the prices ({returned.lost}).")
                waiting += 1
    return not interrupt.is_set()

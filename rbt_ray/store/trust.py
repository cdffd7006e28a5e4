"""Selects the valid events of a journal after a study has found that its prices changed.

Each run checks the prices before it records its end, unless it was interrupted. A `Distrusted` event withdraws everything
recorded since the last checked end: the results, and the configs that a search may have chosen by them. A resumed study
continues from the remaining events, so those trials run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from rbt_ray.columns import Outcomes
from rbt_ray.store.events import Distrusted, Ended, Evaluated, Event, Finished
from rbt_ray.store.extended import Extended
from rbt_ray.types import FAILED

KINDS = ("ended", "distrusted", "extended")
"""The kinds of events that these functions need besides those to select from."""
UNCHECKED: Final = "interrupted"
"""The only end reason of a run that did not check the prices."""


def valid_events(events: Iterable[Event]) -> list[Event]:
    """Returns the valid events, in their order."""
    return _split(events)[0]


def valid_or_failed_events(events: Iterable[Event]) -> list[Event]:
    """Returns the valid events, and as failed the withdrawn results of trials that have no valid one.

    A failed trial is in the table with its config and the reason, and in no ranking.
    """
    counted, withdrawn = _split(events)
    if not withdrawn:
        return counted
    valid = np.concatenate(
        [event.trials for event in counted if isinstance(event, Finished)] or [np.empty(0, np.int64)]
    )
    seen: set[int] = set()
    again: list[Event] = []
    for event, where in reversed(withdrawn):
        rows = [row for row in np.flatnonzero(~np.isin(event.trials, valid)).tolist() if event.trials[row] not in seen]
        if rows:
            again.append(_failed(event, rows, where))
            seen.update(event.trials.tolist())
    return counted + again


def evaluated_after_search(events: Iterable[Event]) -> list[Evaluated]:
    """Returns the batches that were evaluated after the last trial of the search and after its last extension.

    Those before it belong to the search as it was before it was extended.

    Args:
        events: valid ones, with all that finished trials.
    """
    found: list[Evaluated] = []
    for event in events:
        if isinstance(event, (Finished, Extended)):
            found.clear()
        elif isinstance(event, Evaluated):
            found.append(event)
    return found


def n_unconfirmed(events: Iterable[Event]) -> int:
    """Returns the number of trials recorded since the last check that passed."""
    n = 0
    for event in events:
        if isinstance(event, Finished):
            n += len(event.trials)
        elif _is_checked(event):
            n = 0
    return n


def _split(events: Iterable[Event]) -> tuple[list[Event], list[tuple[Finished, str]]]:
    counted: list[Event] = []
    withdrawn: list[tuple[Finished, str]] = []
    n_checked = 0
    for event in events:
        if isinstance(event, Distrusted):
            since = counted[n_checked:]
            withdrawn += [(one, event.where) for one in since if isinstance(one, Finished)]
            counted[n_checked:] = [one for one in since if isinstance(one, (Ended, Extended))]
        else:
            counted.append(event)
        if _is_checked(event):
            n_checked = len(counted)
    return counted, withdrawn


def _is_checked(event: Event) -> bool:
    return isinstance(event, Distrusted) or (isinstance(event, Ended) and event.reason != UNCHECKED)


def _failed(event: Finished, rows: Sequence[int], where: str) -> Finished:
    why = f"the prices may have changed while it ran ({where}), so its result is not valid. Resume the study to run it again."
    outcomes = Outcomes(
        np.full(len(rows), FAILED, np.uint8), {}, dict.fromkeys(range(len(rows)), why), event.outcomes.duration_s[rows]
    )
    return Finished(
        event.trials[rows],
        event.points[rows],
        event.fidelity,
        outcomes,
        event.worker,
        event.started,
        event.cpu_s,
        event.wall_s,
    )

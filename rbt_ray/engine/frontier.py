"""Decides when to call a searcher's `ask` and `tell`, by one rule that makes the trial table deterministic.

The rule needs to know how many trials may be open: `open_limit` says so for a search that learns if the user sets no number.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes, Proposals, Results
from rbt_ray.errors import SettingError
from rbt_ray.search.digest_set import DigestSet
from rbt_ray.search.registry import recorded_kind
from rbt_ray.search.scheduled_search import Observation, ScheduledSearch, Tag, observations_of
from rbt_ray.search.searcher import Searcher
from rbt_ray.store.journal import Asked, Finished
from rbt_ray.study.limits import StopRule, open_before_stop
from rbt_ray.study.study import Study
from rbt_ray.study.trials import Cost
from rbt_ray.types import FloatArray, Proposal

FEWEST, MOST = 4, 32
RESULTS_PER_TRIAL = 8
_SLACK = 1e-9  # so that three trials at fidelity 1/3 cost no more than 1
_RECENT = 4096


def open_limit(n_results: int, n_first: int) -> int:
    """Returns how many trials may be open when the searcher has received `n_results` results.

    One trial for every 8 results, at least 4 and at most 32: early results change the proposals most, and a proposal made
    before they arrive cannot use them. The first `n_first` proposals need no results. They may be open at once, with as many
    more as follow before the last of their results arrives.

    Args:
        n_results: the number of results.
        n_first: the number of proposals that need no results, such as a first design.
    """
    return min(MOST, max(FEWEST, n_first + FEWEST - 1 - n_results, n_results // RESULTS_PER_TRIAL))


def idle_note(study: Study, n_first: int, n_workers: int) -> str:
    """Returns a sentence on workers that idle because the default keeps few trials open; "" if none does.

    Args:
        study: the study's definition.
        n_first: the number of its searcher's proposals that need no results.
        n_workers: the number of workers.
    """
    least = min(open_limit(n_results, n_first) for n_results in range(MOST * RESULTS_PER_TRIAL))
    if study.max_pending is not None or n_workers <= least:
        return ""
    open_trials = f"at most {MOST} trials open"
    if least < MOST:
        open_trials = (
            f"{least} trials open after the first ones, and one for every {RESULTS_PER_TRIAL} results up to {MOST}"
        )
    until = f" until there are {n_workers * RESULTS_PER_TRIAL} results" if n_workers <= MOST else ""
    return (
        f"the search keeps {open_trials}, so some of the {n_workers} workers will idle{until}. "
        f"`max_pending={2 * n_workers}` of TuneConfig, or more if evaluations differ in length, keeps all workers busy, but the "
        f"search then needs more evaluations."
    )


@dataclass(frozen=True, slots=True, eq=False)
class ProposalBatch:
    """Proposals in columns; trial numbers start at `first`."""

    first: int
    points: FloatArray
    fidelity: FloatArray

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, start: int, stop: int) -> ProposalBatch:
        """Returns the rows from `start` up to `stop`."""
        return ProposalBatch(self.first + start, self.points[start:stop], self.fidelity[start:stop])

    @staticmethod
    def concat(batches: Sequence[ProposalBatch]) -> ProposalBatch:
        """Joins batches with consecutive trial numbers."""
        points = np.concatenate([batch.points for batch in batches])
        return ProposalBatch(batches[0].first, points, np.concatenate([batch.fidelity for batch in batches]))

    def to_event(self) -> Asked:
        """Returns the journal's event: numbers and a digest. The configs are recorded with their results."""
        fidelity = np.asarray(self.fidelity, dtype=np.float64)  # a searcher may return 1 for 1.0
        digest = hashlib.sha256(np.ascontiguousarray(self.points).tobytes() + fidelity.tobytes())
        return Asked(self.first, len(self), digest.hexdigest()[:32])


class Frontier:
    """The open trials: those that the searcher has proposed and whose results it has not received.

    The rule: ask for one proposal at a time until as many trials are open as allowed or the searcher proposes none; then
    report the result of the oldest open trial to it; repeat. `study.max_pending` trials are allowed, or, if it is None, the
    number that `open_limit` derives from the count of results. The sequence of these calls thus depends only on the results,
    not on the number of workers, the batches or the order of arrival. With ``deterministic=False`` the searcher receives results in
    the order of arrival. A searcher that does not learn (``learns = False``) gets requests for many proposals and no results.

    In an extended study, a searcher that learns reaches the limits of each phase, gets all results of it, and then continues
    with the next limits. The table thus depends on the limits alone, not on when the study was extended.
    """

    def __init__(self, study: Study, searcher: Searcher) -> None:
        self._study = study
        self._searcher = searcher
        self._learns: bool = getattr(searcher, "learns", True)
        self._n_first: int = getattr(searcher, "n_first", 0)
        self._counts_samples = not recorded_kind(study).limits_itself
        self._limits, *later = (*study.phases, study.limits)[0 if self._learns else -1 :]
        self._later = deque(later)
        self._cut: Proposals | None = None  # a proposal beyond the limits, which the next phase begins with
        self._rule = None if study.stop is None else StopRule(study.stop, study.metric, study.mode)
        self._unchecked: dict[int, float | None] = {}  # losses by trial, which wait for those of earlier trials
        self._ask_until = 0
        self._earlier = DigestSet()  # digests of proposed configs; a set of ints would take ten times the memory
        self._recent = set[int]()
        self._cost, self._spent = Cost(), 0.0
        self._closed = False
        self._asked = 0
        self._n_open = 0
        self._oldest = 0
        self._proposals: dict[int, Proposals] = {}
        self._in_blocks = searcher if self._takes_blocks(searcher) else None
        self._tags: dict[int, Tag] = {}
        self._observed: dict[int, Observation] = {}
        self._arrived: dict[int, tuple[Finished, FloatArray, FloatArray | None, int]] = {}
        self._arrival: deque[int] = deque()

    @property
    def done(self) -> bool:
        """Whether no trial is open and none will be proposed."""
        return self._n_open == 0 and self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether no more trials will be proposed."""
        stopped = bool(self.stop_note) and self._asked >= self._ask_until
        return self._closed or stopped or (self._cut is None and self._searcher.done)

    @property
    def stop_note(self) -> str:
        """Why the search stopped before its limits, as a sentence; "" if it did not."""
        return "" if self._rule is None else self._rule.note

    @property
    def n_open(self) -> int:
        """The number of open trials."""
        return self._n_open

    def finish(self, finished: Finished) -> None:
        """Adds the results of a batch that the journal has recorded."""
        if not self._learns and self._rule is None:
            self._n_open -= len(finished.trials)
            return
        loss = self._study.loss_of(finished.outcomes.metrics, len(finished.trials))
        # A trial that stopped by itself stops there at any fidelity, and metrics of less history must not attract the search.
        loss[list(finished.outcomes.shares)] = np.nan
        violation = self._study.violation(finished.points, finished.outcomes, finished.fidelity)
        if violation is not None:
            loss[violation > 0] = np.nan
        if not self._learns:
            self._n_open -= len(finished.trials)
            self._check_in_order(finished, loss)
            return
        trials = finished.trials.tolist()
        if not self._study.deterministic:
            self._arrival.extend(trials)
        if self._in_blocks is not None:
            outcomes = finished.outcomes
            losses = self._study.losses_of(outcomes.metrics, len(trials)) if self._study.further_goals else None
            self._observed.update(zip(trials, observations_of(loss, losses, outcomes.status, violation), strict=True))
            return
        for row, trial in enumerate(trials):
            self._arrived[trial] = finished, loss, violation, row

    def advance(self) -> list[ProposalBatch]:
        """Reports results and requests proposals as the rule allows; the caller records the new proposals, then runs them."""
        if not self._learns:
            if self._rule is None:
                return self._ask(self._most_open() - self._n_open)
            return self._ask((self._ask_until if self.stop_note else self._most_asked()) - self._asked)
        if self._in_blocks is not None:
            return self._advance_in_blocks(self._in_blocks)
        asked: list[ProposalBatch] = []
        while True:
            most = self._most_open()
            while self._n_open < most and (batch := self._ask(1)):
                asked += batch
            if (trial := self._next_to_tell()) is not None:
                self._tell(trial)
            elif self._later and self.done:
                self._start_phase()
            else:
                return [ProposalBatch.concat(asked)] if asked else []

    def _takes_blocks(self, searcher: Searcher) -> TypeGuard[ScheduledSearch]:
        """Whether the searcher can get many results in one call, as nothing but `max_pending` decides between two of them."""
        has_cost = any(limits.max_cost is not None for limits in (*self._study.phases, self._study.limits))
        free = not (has_cost or self._counts_samples or self._rule is not None)
        return self._learns and free and isinstance(searcher, ScheduledSearch)

    def _advance_in_blocks(self, searcher: ScheduledSearch) -> list[ProposalBatch]:
        """Follows the same rule, in one call of the searcher for all results that it may get."""
        asked: list[ProposalBatch] = []
        results: list[tuple[Tag, Observation]] = []
        while True:
            proposals = searcher.respond(results, self._most_open() - self._n_open)
            if len(proposals):
                assert proposals.tags is not None
                asked.append(ProposalBatch(self._asked, proposals.points, proposals.fidelity))
                self._tags.update(enumerate(proposals.tags, self._asked))
                self._asked += len(proposals)
                self._n_open += len(proposals)
            results = self._take_observed()
            if not results:
                if not (self._later and self.done):
                    return [ProposalBatch.concat(asked)] if asked else []
                self._start_phase()

    def _take_observed(self) -> list[tuple[Tag, Observation]]:
        """Returns the results that the searcher gets next: all, or one if each result changes how many trials may be open."""
        most = self._n_open if self._study.max_pending is not None else 1
        found: list[tuple[Tag, Observation]] = []
        while len(found) < most and (trial := self._next_to_tell()) is not None:
            found.append((self._tags.pop(trial), self._observed.pop(trial)))
            self._oldest += 1
            self._n_open -= 1
        return found

    def _check_in_order(self, finished: Finished, loss: FloatArray) -> None:
        """Gives losses of a search that does not learn to the rule, in trial order."""
        assert self._rule is not None
        counts = finished.fidelity == 1.0
        for trial, value in zip(finished.trials.tolist(), loss.tolist(), strict=True):
            self._unchecked[trial] = value if counts else None
        while self._oldest in self._unchecked:
            if not self._rule.note:  # what would be asked if this result arrived alone
                self._ask_until = self._most_asked()
            if (value := self._unchecked.pop(self._oldest)) is not None:
                self._rule.add(value)
            self._oldest += 1

    def _most_asked(self) -> int:
        """Returns how many trials may be proposed in all.

        Counted from the oldest trial without a result, because it must not depend on the order of arrival.
        """
        return self._oldest + min(self._most_open(), open_before_stop(self._oldest))

    def _start_phase(self) -> None:
        self._limits, self._closed = self._later.popleft(), False
        if (extend := getattr(self._searcher, "extend", None)) is not None:
            extend(self._limits.num_samples)

    def _most_open(self) -> int:
        given = self._study.max_pending
        return open_limit(self._oldest, self._n_first) if given is None else given

    def _ask(self, n: int) -> list[ProposalBatch]:
        if n <= 0 or self.exhausted:
            return []
        proposed, self._cut = self._cut if self._cut is not None else self._columns(self._searcher.ask(n)), None
        proposals = self._apply_limits(proposed)
        if self._later and len(proposals) < len(proposed):
            self._cut = proposed[len(proposals) :]
        if not len(proposals):
            return []
        batch = ProposalBatch(self._asked, proposals.points, proposals.fidelity)
        if self._learns and len(proposals) == 1:
            self._proposals[self._asked] = proposals
        elif self._learns:
            self._proposals.update((self._asked + row, proposals[row : row + 1]) for row in range(len(proposals)))
        self._asked += len(proposals)
        self._n_open += len(proposals)
        return [batch]

    def _columns(self, proposals: Sequence[Proposal]) -> Proposals:
        if isinstance(proposals, Proposals):
            return proposals
        space = self._study.space
        lowest_possible = 1.0 if self._study.bundle is None and self._study.max_reports is None else 0.0
        for proposal in proposals:
            if not (0 < proposal.fidelity <= 1 and proposal.fidelity >= lowest_possible):
                raise SettingError(
                    f"`search_alg` proposed {dict(proposal.config)} at fidelity {proposal.fidelity!r}; a fidelity is above 0 "
                    f"and at most 1, and 1 where there is neither a bundle nor `max_reports`."
                )
        return Proposals(
            points=space.encode([proposal.config for proposal in proposals]),
            fidelity=np.array([proposal.fidelity for proposal in proposals], dtype=np.float64),
            space=space,
            tags=tuple(proposal.tag for proposal in proposals),
        )

    def _apply_limits(self, proposals: Proposals) -> Proposals:
        n = len(proposals)
        most, spent = self._limits.max_cost, np.empty(0)
        if most is not None and n:
            spent = self._spent + np.cumsum(self._cost.of(proposals.points, proposals.fidelity))
            n = int((spent <= most * (1 + _SLACK)).sum())
        if self._counts_samples and self._limits.num_samples is not None and n:
            n = self._n_within_samples(proposals.points[:n], self._limits.num_samples)
        self._closed = n < len(proposals)
        if n and len(spent):
            self._spent = float(spent[n - 1])
        return proposals if n == len(proposals) else proposals[:n]

    def _n_within_samples(self, points: FloatArray, most: int) -> int:
        """Returns how many of the points can be proposed before there are more than `most` different ones."""
        digests = self._study.space.digests(points)
        for row in np.flatnonzero(~self._earlier.has(digests)).tolist():
            digest = int(digests[row])
            if digest not in self._recent and len(self._earlier) + len(self._recent) >= most:
                return int(row)
            self._recent.add(digest)
        if len(self._recent) >= _RECENT:
            self._earlier.add(np.fromiter(self._recent, np.uint64, len(self._recent)))
            self._recent.clear()
        return len(points)

    def _next_to_tell(self) -> int | None:
        if not self._study.deterministic:
            return self._arrival.popleft() if self._arrival else None
        arrived = self._arrived if self._in_blocks is None else self._observed
        return self._oldest if self._oldest in arrived else None

    def _tell(self, trial: int) -> None:
        finished, loss, violation, row = self._arrived.pop(trial)
        self._oldest += 1
        rows = slice(row, row + 1)
        outcomes = Outcomes(
            status=finished.outcomes.status[rows],
            metrics=metric_columns.take(finished.outcomes.metrics, rows),
            errors={0: finished.outcomes.errors[row]} if row in finished.outcomes.errors else {},
            duration_s=finished.outcomes.duration_s[rows],
        )
        proposals = self._proposals.pop(trial)
        if self._rule is not None and finished.fidelity == 1.0:
            self._rule.add(float(loss[row]))
        if row in finished.outcomes.checkpoints:
            self._cost.record_checkpoint(proposals.points[0], float(proposals.fidelity[0]))
        self._n_open -= 1
        broken = None if violation is None else violation[rows]
        losses = self._study.losses_of(outcomes.metrics, 1) if self._study.further_goals else None
        self._searcher.tell(
            Results(finished.trials[rows], proposals, outcomes, loss[rows], [finished.worker], broken, losses)
        )

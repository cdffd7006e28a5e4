"""Comparison: accepts or rejects a candidate by thresholds fixed in advance, or says why the runs decide nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rbt_ray.bench.pairs import Pairs
from rbt_ray.bench.significance import carry_over, cliffs_delta, ratio_with_interval, welch_p, wilcoxon_p
from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.types import FloatArray

FEWEST_RUNS = 10
"""Of each side, for a verdict under any thresholds."""
ACCEPTED, REJECTED, NOT_DECIDED = "accepted", "rejected", "not decided"
_CARRY_OVER_P = 0.05
_LEAST_CARRY_OVER = 0.01  # of a side's time; it is in half of the runs, and the smallest gain of a profile is 2 %


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of acceptance.

    Args:
        gain: minimal saving, as a share of the baseline's time.
        p: upper bound of Welch's and Wilcoxon's p.
        runs: minimal number of pairs; fewer than 10 never give a verdict.
        memory: maximal increase of the peak memory of the process tree, as a share of the machine's memory.
    """

    gain: float = 0.05
    p: float = 0.05
    runs: int = 10
    memory: float = 0.02

    @classmethod
    def default(cls) -> Thresholds:
        """5 %, p < 0.05, 10 runs, less than 2 % of the memory."""
        return cls()

    @classmethod
    def strict(cls) -> Thresholds:
        """10 %, p < 0.01, 20 runs, less than 1 % of the memory."""
        return cls(0.10, 0.01, 20, 0.01)

    @classmethod
    def lenient(cls) -> Thresholds:
        """2 %, p < 0.1, 10 runs, less than 5 % of the memory."""
        return cls(0.02, 0.1, 10, 0.05)

    @classmethod
    def named(cls, name: str) -> Thresholds:
        """Returns the profile of that name.

        Raises:
            SettingError: there is no such profile.
        """
        profiles = {"default": cls.default, "strict": cls.strict, "lenient": cls.lenient}
        if name not in profiles:
            raise SettingError(f"`profile` is default, strict or lenient; got {name!r}: {nearest(name, profiles)}")
        return profiles[name]()


@dataclass(frozen=True)
class Comparison:
    """The comparison of a candidate with a baseline.

    Args:
        n_runs: number of pairs.
        baseline_s: median seconds.
        candidate_s: median seconds.
        ratio: geometric mean of candidate / baseline over pairs.
        ratio_low: lower end of its 95 % bootstrap interval; None if a side carries over, since its runs are not independent.
        ratio_high: upper end, likewise.
        welch_p: two-sided.
        wilcoxon_p: two-sided.
        cliffs_delta: 1 if every run of the candidate is faster than every run of the baseline.
        carry_over_p: the smaller p of the two sides' tests for carry-over, times two for two tests.
        memory_added: increase of the median peak PSS in bytes; None if it was not measured in every run.
        memory_overhead: the same as a share of the machine's memory; below 0 if the candidate needs less.
        equivalent: both gave the same trial table; None without digests.
        verdict: "accepted", "rejected" or "not decided".
        reason: a sentence that says why.
    """

    n_runs: int
    baseline_s: float
    candidate_s: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    welch_p: float
    wilcoxon_p: float
    cliffs_delta: float
    carry_over_p: float
    memory_added: float | None
    memory_overhead: float | None
    equivalent: bool | None
    verdict: str
    reason: str

    @property
    def accepted(self) -> bool:
        """Whether the runs can decide, and all thresholds are met."""
        return self.verdict == ACCEPTED

    @property
    def gain(self) -> float:
        """The share of the baseline's time that the candidate saves."""
        return 1 - self.ratio

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields, `accepted` and the gain as plain values."""
        return {**asdict(self), "accepted": self.accepted, "gain": self.gain}


def compare(pairs: Pairs, *, thresholds: Thresholds | None = None, machine_memory: int | None = None) -> Comparison:
    """Compares pairs of runs.

    Nothing is decided by fewer than ten pairs, by a side that was computed rather than run, or by a side whose time depends
    on which side ran before it. A candidate that meets the other thresholds is not decided if memory was not measured in
    every run: it is never accepted.

    Args:
        pairs: from `paired`.
        thresholds: None: the default ones.
        machine_memory: bytes of the machine that ran them; None: of this one.
    """
    wanted = thresholds or Thresholds.default()
    baseline, candidate = (np.array([one.seconds for one in side]) for side in (pairs.baseline, pairs.candidate))
    ratio, low, high = ratio_with_interval(baseline, candidate)
    p_welch, p_wilcoxon = welch_p(baseline, candidate), wilcoxon_p(baseline, candidate)
    carry_over_p, about_carry_over = _carry_over(pairs, baseline, candidate)
    added = _memory_added(pairs)
    overhead = None if added is None else added / (machine_memory or _machine_memory())
    undecided = _those_that_fail((
        (_about_computed(pairs), not _computed_sides(pairs)),
        (
            f"there are {len(baseline)} runs of each, fewer than the required {max(wanted.runs, FEWEST_RUNS)}",
            len(baseline) >= max(wanted.runs, FEWEST_RUNS),
        ),
        (about_carry_over, not about_carry_over),
    ))  # fmt: skip
    failing = _those_that_fail((
        (f"it saves {1 - ratio:.1%}, less than the required {wanted.gain:.0%}", 1 - ratio >= wanted.gain),
        (f"Welch's p is {p_welch:.2g}, not below {wanted.p:g}", p_welch < wanted.p),
        (f"Wilcoxon's p is {p_wilcoxon:.2g}, not below {wanted.p:g}", p_wilcoxon < wanted.p),
        (_about_memory(overhead, wanted.memory), overhead is None or overhead < wanted.memory),
    ))  # fmt: skip
    if not failing and overhead is None:
        undecided.append("the peak memory of some runs was not measured")
    if undecided:
        verdict, reason = NOT_DECIDED, f"Not decided: {'; '.join(undecided)}."
    elif failing:
        verdict, reason = REJECTED, f"Rejected: {'; '.join(failing)}."
    else:
        verdict = ACCEPTED
        reason = (
            f"Accepted: it saves {1 - ratio:.1%} (95 % interval {1 - high:.1%} to {1 - low:.1%}) over {len(baseline)} runs, "
            f"p {max(p_welch, p_wilcoxon):.2g} or less, {overhead:+.1%} of the machine's memory."
        )
    if pairs.equivalent is None:
        reason += " Neither side printed a digest, so only the time was compared."
    shown_low, shown_high = (None, None) if about_carry_over else (low, high)
    return Comparison(
        len(baseline), float(np.median(baseline)), float(np.median(candidate)), ratio, shown_low, shown_high, p_welch, p_wilcoxon,
        cliffs_delta(baseline, candidate), carry_over_p, added, overhead, pairs.equivalent, verdict, reason,
    )  # fmt: skip


def _those_that_fail(conditions: Iterable[tuple[str, bool]]) -> list[str]:
    return [words for words, holds in conditions if not holds]


def _computed_sides(pairs: Pairs) -> list[str]:
    sides = {"baseline": pairs.baseline, "candidate": pairs.candidate}
    return [name for name, samples in sides.items() if any(one.computed for one in samples)]


def _about_computed(pairs: Pairs) -> str:
    return (
        f"the {' and the '.join(_computed_sides(pairs))} was computed and not run, or took less than the time it gave"
    )


def _carry_over(pairs: Pairs, baseline: FloatArray, candidate: FloatArray) -> tuple[float, str]:
    """Returns the smaller p of both sides, and words about the sides that carry over: none if none does."""
    found, words = [], []
    for is_candidate, name, other, seconds in (
        (False, "baseline", "candidate", baseline),
        (True, "candidate", "baseline", candidate),
    ):
        p, ratio = carry_over(seconds, pairs.after_other(is_candidate), pairs.positions(is_candidate))
        found.append(min(1.0, 2 * p))
        if found[-1] < _CARRY_OVER_P and abs(ratio - 1) >= _LEAST_CARRY_OVER:
            change = f"{abs(ratio - 1):.0%} {'longer' if ratio > 1 else 'less'}"
            words.append(
                f"the {name} takes {change} after a run of the {other} than after one of its own (p {found[-1]:.2g}), so its "
                f"runs are not independent and have no interval; let each side run once uncounted after the other (`discard`)"
            )
    return min(found), "; ".join(words)


def _memory_added(pairs: Pairs) -> float | None:
    if not all(one.peak_pss for one in (*pairs.baseline, *pairs.candidate)):
        return None
    peaks = [np.median([one.peak_pss for one in side]) for side in (pairs.candidate, pairs.baseline)]
    return float(peaks[0] - peaks[1])


def _machine_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _about_memory(overhead: float | None, most: float) -> str:
    return "" if overhead is None else f"it adds {overhead:.1%} of the machine's memory, and the limit is {most:.0%}"

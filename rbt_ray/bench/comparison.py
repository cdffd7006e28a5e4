"""Comparison: whether a candidate is accepted over a baseline, by thresholds that were fixed before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rbt_ray.bench.pairs import Pairs
from rbt_ray.bench.significance import cliffs_delta, ratio_with_interval, welch_p, wilcoxon_p
from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest


@dataclass(frozen=True)
class Thresholds:
    """What a candidate must reach to be accepted.

    Args:
        gain: the least share of the baseline's time that it saves.
        p: what Welch's and Wilcoxon's p must both be below.
        runs: the least number of pairs.
        memory: the most it may add to the peak memory of the process tree, as a share of the machine's memory.
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
        """2 %, p < 0.1, 5 runs, less than 5 % of the memory."""
        return cls(0.02, 0.1, 5, 0.05)

    @classmethod
    def named(cls, name: str) -> Thresholds:
        """The profile of that name.

        Raises:
            SettingError: there is none.
        """
        profiles = {"default": cls.default, "strict": cls.strict, "lenient": cls.lenient}
        if name not in profiles:
            raise SettingError(f"`profile` is default, strict or lenient; got {name!r}: {nearest(name, profiles)}")
        return profiles[name]()


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a baseline.

    Args:
        n_runs: pairs.
        baseline_s: median seconds.
        candidate_s: median seconds.
        ratio: geometric mean of candidate / baseline, pair by pair.
        ratio_low: lower end of its 95 % bootstrap interval.
        ratio_high: upper end.
        welch_p: two-sided.
        wilcoxon_p: two-sided.
        cliffs_delta: 1 where every run of the candidate is faster than every one of the baseline.
        memory_added: bytes that the candidate's median peak PSS has above the baseline's; None where it was not measured.
        memory_overhead: the same as a share of the machine's memory; below 0 where it needs less.
        equivalent: both gave the same trial table; None where they told no digest.
        accepted: by the thresholds.
        reason: a sentence that says why.
    """

    n_runs: int
    baseline_s: float
    candidate_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    welch_p: float
    wilcoxon_p: float
    cliffs_delta: float
    memory_added: float | None
    memory_overhead: float | None
    equivalent: bool | None
    accepted: bool
    reason: str

    @property
    def gain(self) -> float:
        """The share of the baseline's time that the candidate saves."""
        return 1 - self.ratio

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, the gain included."""
        return {**asdict(self), "gain": self.gain}


def compare(pairs: Pairs, *, thresholds: Thresholds | None = None) -> Comparison:
    """Judges pairs of runs.

    Args:
        pairs: from `paired`.
        thresholds: None: the default ones.
    """
    wanted = thresholds or Thresholds.default()
    baseline = np.array([one.seconds for one in pairs.baseline])
    candidate = np.array([one.seconds for one in pairs.candidate])
    ratio, low, high = ratio_with_interval(baseline, candidate)
    p_welch, p_wilcoxon = welch_p(baseline, candidate), wilcoxon_p(baseline, candidate)
    added = _memory_added(pairs)
    overhead = None if added is None else added / _machine_memory()
    failing = [
        words
        for words, holds in (
            (f"it saves {1 - ratio:.1%}, and {wanted.gain:.0%} are asked for", 1 - ratio >= wanted.gain),
            (f"Welch's p is {p_welch:.2g}, not below {wanted.p:g}", p_welch < wanted.p),
            (f"Wilcoxon's p is {p_wilcoxon:.2g}, not below {wanted.p:g}", p_wilcoxon < wanted.p),
            (f"there are {len(baseline)} runs of each, and {wanted.runs} are asked for", len(baseline) >= wanted.runs),
            (_about_memory(overhead, wanted.memory), overhead is None or overhead < wanted.memory),
        )
        if not holds
    ]
    reason = (
        f"Rejected: {'; '.join(failing)}."
        if failing
        else f"Accepted: it saves {1 - ratio:.1%} (95 % interval {1 - high:.1%} to {1 - low:.1%}) over {len(baseline)} runs, "
        f"p {max(p_welch, p_wilcoxon):.2g} or less{_about_less(overhead)}."
    )
    if pairs.equivalent is None:
        reason += " Neither side told a digest, so that nothing was checked but the time."
    return Comparison(
        len(baseline), float(np.median(baseline)), float(np.median(candidate)), ratio, low, high, p_welch, p_wilcoxon,
        cliffs_delta(baseline, candidate), added, overhead, pairs.equivalent, not failing, reason,
    )  # fmt: skip


def _memory_added(pairs: Pairs) -> float | None:
    if not all(one.peak_pss for one in (*pairs.baseline, *pairs.candidate)):
        return None
    peaks = [np.median([one.peak_pss for one in side]) for side in (pairs.candidate, pairs.baseline)]
    return float(peaks[0] - peaks[1])


def _machine_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _about_memory(overhead: float | None, most: float) -> str:
    return "" if overhead is None else f"it adds {overhead:.1%} of the machine's memory, and {most:.0%} are allowed"


def _about_less(overhead: float | None) -> str:
    return "" if overhead is None else f", {overhead:+.1%} of the machine's memory"

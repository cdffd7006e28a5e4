"""Comparison: accepts or rejects a candidate against a baseline, by thresholds fixed in advance."""

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
    """The thresholds of acceptance.

    Args:
        gain: minimal saving, as a share of the baseline's time.
        p: upper bound of Welch's and Wilcoxon's p.
        runs: minimal number of pairs.
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
        """2 %, p < 0.1, 5 runs, less than 5 % of the memory."""
        return cls(0.02, 0.1, 5, 0.05)

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
        ratio_low: lower end of its 95 % bootstrap interval.
        ratio_high: upper end.
        welch_p: two-sided.
        wilcoxon_p: two-sided.
        cliffs_delta: 1 if every run of the candidate is faster than every run of the baseline.
        memory_added: increase of the median peak PSS in bytes; None if it was not measured.
        memory_overhead: the same as a share of the machine's memory; below 0 if the candidate needs less.
        equivalent: both gave the same trial table; None without digests.
        accepted: whether the thresholds were met.
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
        """Returns all fields and the gain as plain values."""
        return {**asdict(self), "gain": self.gain}


def compare(pairs: Pairs, *, thresholds: Thresholds | None = None) -> Comparison:
    """Compares pairs of runs.

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
            (f"it saves {1 - ratio:.1%}, less than the required {wanted.gain:.0%}", 1 - ratio >= wanted.gain),
            (f"Welch's p is {p_welch:.2g}, not below {wanted.p:g}", p_welch < wanted.p),
            (f"Wilcoxon's p is {p_wilcoxon:.2g}, not below {wanted.p:g}", p_wilcoxon < wanted.p),
            (
                f"there are {len(baseline)} runs of each, fewer than the required {wanted.runs}",
                len(baseline) >= wanted.runs,
            ),
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
        reason += " Neither side printed a digest, so only the time was compared."
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
    return "" if overhead is None else f"it adds {overhead:.1%} of the machine's memory, and the limit is {most:.0%}"


def _about_less(overhead: float | None) -> str:
    return "" if overhead is None else f", {overhead:+.1%} of the machine's memory"

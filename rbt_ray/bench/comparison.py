"""Comparison: runs a candidate and a baseline in pairs, and accepts or rejects it by thresholds fixed in advance."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rbt_ray.bench.measurement import Sample
from rbt_ray.bench.significance import cliffs_delta, ratio_with_interval, welch_p, wilcoxon_p
from rbt_ray.errors import BenchError, NotEquivalentError, SettingError
from rbt_ray.nearest import nearest

Run = Callable[[], Sample | float]


@dataclass(frozen=True)
class Pairs:
    """Runs of a baseline and a candidate, pair by pair.

    Args:
        baseline: ``(n_runs,)``.
        candidate: ``(n_runs,)``.
        equivalent: both gave the same trial table in every run; None if neither has a digest.
    """

    baseline: tuple[Sample, ...]
    candidate: tuple[Sample, ...]
    equivalent: bool | None


def paired(baseline: Run, candidate: Run, *, runs: int = 10, warmup: int = 1, name: str = "") -> Pairs:
    """Runs two alternatives alternately, A B B A, so that a drift of the machine affects both equally.

    Args:
        baseline: runs it once and returns a Sample, or the seconds taken.
        candidate: likewise.
        runs: number of counted runs of each.
        warmup: how often each side runs before the measured pairs. Their trial tables are compared too, so that nothing is timed that
            does not do the same work.
        name: shown with the progress on stderr.

    Raises:
        SettingError: `runs` is below 2, or `warmup` negative.
        BenchError: the time of a run is not a number above 0.
        NotEquivalentError: the two give different trial tables, or only one has a digest.
    """
    if not isinstance(runs, int) or not isinstance(warmup, int) or runs < 2 or warmup < 0:
        raise SettingError(f"`runs` is 2 or more and `warmup` 0 or more; got {runs!r} and {warmup!r}.")
    kept: dict[bool, list[Sample]] = {False: [], True: []}
    digest: str | None = None
    for number in range(-warmup, runs):
        pair = {is_candidate: _sample(candidate if is_candidate else baseline) for is_candidate in _order(number)}
        digests = {one.digest for one in pair.values()} | ({digest} if number > -warmup else set())
        if len(digests) > 1:
            raise NotEquivalentError(_unequal(name, pair[False], pair[True], digest))
        digest = digests.pop()
        for is_candidate, one in pair.items():
            if number >= 0:
                kept[is_candidate].append(one)
        shown = "warm-up" if number < 0 else f"{number + 1}/{runs}"
        print(
            f"{name or 'pair'} {shown}: baseline {pair[False].seconds:.3f} s, candidate {pair[True].seconds:.3f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return Pairs(tuple(kept[False]), tuple(kept[True]), None if digest is None else True)


def _order(number: int) -> tuple[bool, bool]:
    return (False, True) if number % 2 == 0 else (True, False)


def _sample(run: Run) -> Sample:
    found = run()
    sample = found if isinstance(found, Sample) else Sample(found)
    seconds = sample.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= sys.float_info.max:
        raise BenchError(f"the time of a run is a number of seconds above 0; got {seconds!r}.")
    return sample


def _unequal(name: str, baseline: Sample, candidate: Sample, before: str | None) -> str:
    words = f"{name}: " if name else ""
    if None in (baseline.digest, candidate.digest) and baseline.digest != candidate.digest:
        silent = "baseline" if baseline.digest is None else "candidate"
        return f"{words}only one side has a digest of its trial table, and the {silent} has none: whether they do the same is unknown."
    return (
        f"{words}the trial tables differ: the baseline's digest is {baseline.digest}, the candidate's {candidate.digest}"
        f"{'' if baseline.digest != candidate.digest else f', an earlier run gave {before}'}. Times of runs that do "
        f"different work cannot be compared."
    )


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

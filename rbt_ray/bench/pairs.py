"""Pairs: runs of two alternatives by turns, and that both give the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rbt_ray.bench.measurement import Sample
from rbt_ray.errors import BenchError, NotEquivalentError, SettingError

Run = Callable[[], Sample | float]


@dataclass(frozen=True)
class Pairs:
    """Runs of a baseline and a candidate, pair by pair.

    Args:
        baseline: ``(n_runs,)``.
        candidate: ``(n_runs,)``.
        equivalent: both gave the same trial table in every run; None where neither told its digest.
    """

    baseline: tuple[Sample, ...]
    candidate: tuple[Sample, ...]
    equivalent: bool | None


def paired(baseline: Run, candidate: Run, *, runs: int = 10, warmup: int = 1, name: str = "") -> Pairs:
    """Runs two alternatives by turns, A B B A, so that a drift of the machine meets both alike.

    Args:
        baseline: one run of it; a Sample, or the seconds it took.
        candidate: likewise.
        runs: how many of each count.
        warmup: how many of each come before and do not count. Their trial tables are compared, so that nothing is timed
            that does not do the same work.
        name: shown with the progress on stderr.

    Raises:
        SettingError: `runs` is below 2, or `warmup` negative.
        BenchError: a run says that it took no time, or what is no number.
        NotEquivalentError: the two give different trial tables, or one tells its digest and the other none.
    """
    if not isinstance(runs, int) or not isinstance(warmup, int) or runs < 2 or warmup < 0:
        raise SettingError(f"`runs` is 2 or more and `warmup` 0 or more; got {runs!r} and {warmup!r}.")
    kept: dict[bool, list[Sample]] = {False: [], True: []}
    digest: str | None = None
    for number in range(-warmup, runs):
        pair = {is_candidate: _sample(candidate if is_candidate else baseline) for is_candidate in _order(number)}
        told = {one.digest for one in pair.values()} | ({digest} if number > -warmup else set())
        if len(told) > 1:
            raise NotEquivalentError(_unequal(name, pair[False], pair[True], digest))
        digest = told.pop()
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
        raise BenchError(f"a run takes a number of seconds above 0; one says that it took {seconds!r}.")
    return sample


def _unequal(name: str, baseline: Sample, candidate: Sample, before: str | None) -> str:
    words = f"{name}: " if name else ""
    if None in (baseline.digest, candidate.digest) and baseline.digest != candidate.digest:
        silent = "baseline" if baseline.digest is None else "candidate"
        return (
            f"{words}the {silent} tells no digest of its trial table and the other does: nothing says they do the same."
        )
    return (
        f"{words}the trial tables differ: the baseline's digest is {baseline.digest}, the candidate's {candidate.digest}"
        f"{'' if baseline.digest != candidate.digest else f', an earlier run gave {before}'}. What does not do the same work "
        f"cannot be compared by its time."
    )

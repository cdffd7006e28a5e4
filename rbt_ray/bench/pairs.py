"""Pairs: runs a candidate and a baseline alternately, and refuses sides that do different work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rbt_ray.bench.measurement import Sample
from rbt_ray.errors import BenchError, NotEquivalentError, SettingError
from rbt_ray.types import BoolArray, IntArray

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

    def after_other(self, is_candidate: bool) -> BoolArray:
        """Returns ``(n_runs,)``: whether a run of a side came after a change of sides, in the order A B B A.

        The first run counts as one after its own side.
        """
        even: BoolArray = np.arange(len(self.baseline)) % 2 == 0
        return even if is_candidate else ~even

    def positions(self, is_candidate: bool) -> IntArray:
        """Returns ``(n_runs,)``: the places of a side's runs among the counted runs of both."""
        pair = np.arange(len(self.baseline))
        places: IntArray = 2 * pair + (pair % 2 != is_candidate)
        return places


def paired(
    baseline: Run, candidate: Run, *, runs: int = 10, warmup: int = 1, discard: int = 0, name: str = ""
) -> Pairs:
    """Runs two alternatives alternately, A B B A, so that a drift of the machine affects both equally.

    Half of each side's runs follow a run of the other side, and half one of its own: `compare` tests whether it matters.

    Args:
        baseline: runs it once and returns a Sample, or the seconds taken.
        candidate: likewise.
        runs: number of counted runs of each.
        warmup: how often each side runs before the measured pairs. Their trial tables are compared too, so that nothing is timed that
            does not do the same work.
        discard: how often a side runs uncounted after each change of sides, so that what the other side left behind (a page
            cache, a busy disk) is not in a counted run.
        name: shown with the progress on stderr.

    Raises:
        SettingError: `runs` is below 2, or `warmup` or `discard` negative.
        BenchError: the time of a run is not a number above 0.
        NotEquivalentError: the two give different trial tables, or only one has a digest.
    """
    if not all(isinstance(value, int) for value in (runs, warmup, discard)) or runs < 2 or min(warmup, discard) < 0:
        raise SettingError(
            f"`runs` is 2 or more, `warmup` and `discard` 0 or more; got {runs!r}, {warmup!r} and {discard!r}."
        )
    sides = {False: baseline, True: candidate}
    kept: dict[bool, list[Sample]] = {False: [], True: []}
    digest: str | None = None
    last: bool | None = None
    for number in range(-warmup, runs):
        pair: dict[bool, Sample] = {}
        for is_candidate in _order(number):
            for _ in range(discard if last not in (None, is_candidate) else 0):
                _sample(sides[is_candidate])
            pair[is_candidate], last = _sample(sides[is_candidate]), is_candidate
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

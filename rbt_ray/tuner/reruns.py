"""What results find out by running the study's objective again: a base class of `ResultGrid`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from rbt_ray.analysis.permutation import PermutationTest
from rbt_ray.analysis.robustness import Robustness
from rbt_ray.errors import SettingError
from rbt_ray.store.table import TrialTable
from rbt_ray.tuner.neighbours import RADIUS, most_robust
from rbt_ray.types import FloatArray, Mode


class Runner(Protocol):
    """Runs the objective of a study again, on the study's workers."""

    def permutation_test(self, table: TrialTable, n: int) -> PermutationTest:
        """Runs the search on `n` random orders of the bars."""
        ...

    def robustness(self, table: TrialTable, audit: TrialTable | None, settings: dict[str, Any]) -> Robustness:
        """Runs the checks of the best trial."""
        ...

    def evaluate(self, table: TrialTable, points: FloatArray) -> TrialTable:
        """Evaluates ``(n, n_params)`` configs at full fidelity."""
        ...


class Reruns:
    """The results of a study, with what needs its objective again.

    Args:
        path: the study's folder.
        runner: runs the objective; None for results that were read from a folder.
    """

    def __init__(self, path: Path, runner: Runner | None) -> None:
        self.path = path
        self._runner = runner

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runner": None}  # a Tuner holds workers and locks

    @property
    def table(self) -> TrialTable:
        """The trials in columns."""
        raise NotImplementedError

    @property
    def audit(self) -> TrialTable | None:
        """The trials of the audit set; None if there is none."""
        raise NotImplementedError

    def permutation_test(self, n: int = 99) -> PermutationTest:
        """Runs the whole search again on `n` random orders of the training bars: what it finds there is luck.

        Returns of all symbols move together, and the prices of a bar keep their ratios. Each search is a study of its own in
        the study's folder, on the same workers; a test that was stopped continues when it is called again.

        Args:
            n: the number of random orders; the smallest p value is ``1 / (n + 1)``.

        Raises:
            SettingError: the results do not come from a Tuner, which has the objective; or the study has no bundle.
            StudyInterrupted: Ctrl-C stopped the test.
        """
        return self._require_runner("a permutation test", "permutation_test()").permutation_test(self.table, n)

    def robustness(
        self,
        checks: Iterable[str] | None = None,
        n: int = 50,
        noise: float = 0.2,
        jitter: float = 0.1,
        radius: float = RADIUS,
    ) -> Robustness:
        """Runs the best trial again under small changes, each check as a batch on the study's workers.

        The checks are "plateau": configs near it; "noise": prices with noise; "costs": all costs times 2 and times 5; "start":
        later first bars; "sensitivity": other values of each parameter and of each pair of parameters, over their domains;
        "monte_carlo": the maximum drawdown of its returns per bar in 1,000 random orders. All runs are on the training bars,
        and those of the best config have its trial's seed. They are caveats to the verdict, and change nothing in it.

        The runs are kept in studies in the study's folder, so that a second call reads them.

        Args:
            checks: their names; None: all that can be done, and `left_out` of the result says why others cannot.
            n: the most neighbours, and the number of noisy copies and of first bars.
            noise: the deviation of the noise in log returns, as a share of that of each symbol's own.
            jitter: the share of the training bars, the first ones, that the first bar is drawn from.
            radius: how far neighbours are, as a share of each parameter's domain to each side.

        Raises:
            SettingError: the results do not come from a Tuner, which has the objective; an argument is invalid; or a check
                was named that cannot be done: "costs" of an objective whose costs are neither built-in, nor given to
                `rbt.backtest`, nor settings of an adapter; "noise" of one that has its own prices; "monte_carlo" of one
                that returns no returns per bar.
            NoResultError: no trial completed at full fidelity.
            StudyInterrupted: Ctrl-C stopped the checks.
        """
        runner = self._require_runner("a check of robustness", "robustness()")
        settings = {"checks": checks, "n": n, "noise": noise, "jitter": jitter, "radius": radius}
        return runner.robustness(self.table, self.audit, settings)

    def _most_robust_row(self, metric: str, mode: Mode) -> int:
        """Returns the row of the trial with the best neighbourhood; see `most_robust`."""

        def evaluate(points: FloatArray) -> TrialTable:
            runner = self._require_runner("a choice by neighbourhood", "get_best_result(select='robust')")
            return runner.evaluate(self.table, points)

        return most_robust(self.table, evaluate, metric, mode)

    def _require_runner(self, what: str, method: str) -> Runner:
        if self._runner is None:
            raise SettingError(
                f"{what} needs the objective: call `Tuner.restore({str(self.path)!r}, objective).fit().{method}`."
            )
        return self._runner

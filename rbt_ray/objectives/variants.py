"""Runs one config under changed conditions: noise in the prices, a later first bar, higher costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.kind import DataProvider, kind_of
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.objectives.reports import ReportRange
from rbt_ray.types import COMPLETED, Config, FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.data.view import BundleView
    from rbt_ray.study.space import Space

CASE = "case"
"""The parameter of `Variants`: the position of a change."""
SCALED = "costs were multiplied"
"""The metric that is 1 if the costs of a run were multiplied, and 0 if the objective has costs that cannot be."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the run of the study.

    Args:
        start: the first bar.
        noise: the share and the seed of `noisy_prices`; None: the prices as they are.
        costs: what costs are multiplied with.
    """

    start: int = 0
    noise: tuple[float, int] | None = None
    costs: float = 1.0


@dataclass(frozen=True)
class Variants:
    """An objective whose only parameter is the number of a change, under which it runs one config of another objective.

    Args:
        objective: of the study.
        space: of the study.
        metric: of the study.
        point: ``(n_params,)`` the config.
        seed: of the config's trial, which every run uses.
        changes: the changes.
        max_reports: number of reports at full fidelity; None: the objective ends by itself.
        also_needed: further metrics without which a run fails.
    """

    objective: Any
    space: Space
    metric: str
    point: FloatArray
    seed: int
    changes: Sequence[Change]
    max_reports: int | None = None
    also_needed: tuple[str, ...] = ()

    @property
    def made_of(self) -> list[Any]:
        """Its identity for fingerprints."""
        return [self.objective]

    def __call__(self, params: Config, data: BundleView | None) -> Metrics:
        """Returns the metrics under a change.

        Raises:
            ObjectiveError: the run failed.
        """
        from rbt_ray.simulate.backtest import costs_times, keeping  # here: they import Numba

        change = self.changes[params[CASE]]
        objective = self.objective if change.costs == 1 else with_costs_times(self.objective, change.costs)
        evaluator = as_evaluator(objective, self.space, self.metric, self.also_needed)
        with ExitStack() as contexts:
            made = contexts.enter_context(keeping())
            if objective is self.objective:  # otherwise it multiplies them itself
                contexts.enter_context(costs_times(change.costs))
            view, span = _changed(data, change), ReportRange(self.max_reports)
            outcomes = evaluator.score(view, self.point[None], [self.seed], span)
        if outcomes.status[0] != COMPLETED:
            raise ObjectiveError(outcomes.errors[0])
        metrics = {name: column.to_list()[0] for name, column in outcomes.metrics.items() if column.present[0]}
        return metrics if change.costs == 1 else {**metrics, SCALED: int(bool(made) or objective is not self.objective)}


class ProviderVariants(Variants):
    """For an objective that provides its own data."""

    @property
    def _provider(self) -> DataProvider:
        provider: DataProvider = self.objective
        return provider

    @property
    def bundle(self) -> Bundle:
        """See `DataProvider`."""
        return self._provider.bundle

    @property
    def files(self) -> FileTree:
        """See `DataProvider`."""
        return self._provider.files

    def open(self, folder: Path) -> None:
        """See `DataProvider`."""
        self._provider.open(folder)


def variants_of(objective: Any) -> type[Variants]:
    """Returns the class for an objective."""
    return Variants if kind_of(objective).provider is None else ProviderVariants


def with_costs_times(objective: Any, factor: float) -> Any:
    """Returns the objective with its own costs multiplied; the same objective if it has no `with_costs_times`.

    `rbt.backtest` multiplies the costs that it gets from the same objective; see `costs_times`.
    """
    multiply = getattr(objective, "with_costs_times", None)
    multiplied = None if multiply is None else multiply(factor)
    return objective if multiplied is None else multiplied


def _changed(data: BundleView | None, change: Change) -> BundleView | None:
    if data is None:
        return None
    if change.noise is not None:
        from rbt_ray.data.surrogates import noisy_prices

        return noisy_prices(data, *change.noise).view()
    if change.costs != 1:
        return data.with_empty_memo()  # what it holds may come from a backtest with other costs
    return data.window(change.start, data.n_bars)

"""The definition of a study: everything that determines its results, and nothing about how or where it runs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.block_sums import N_BLOCKS
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalError
from rbt_ray.metric_columns import MetricColumns
from rbt_ray.recordable import check_types
from rbt_ray.study.constraint import Constraint
from rbt_ray.study.constraint_parser import parse_all
from rbt_ray.study.goals import Goal, losses_of
from rbt_ray.study.limits import Limits, check_stop
from rbt_ray.study.space import Space
from rbt_ray.study.windows import WindowPlan
from rbt_ray.types import COMPLETED, Config, FidelityKind, FloatArray, Mode


@dataclass(frozen=True)
class BundleId:
    """Identifies the prices: a registered bundle by name, or the study's own; the version is the hash of the content."""

    name: str | None
    version: str
    n_bars: int
    train_bars: int
    """The number of bars, from the first, that the search may use; the rest are the hold-out."""


@dataclass(frozen=True)
class Address:
    """The address of an objective and its fingerprint.

    Args:
        name: a built-in objective's name, or ``module:function``.
        options: the arguments of a built-in one.
        folder: the folder of the module.
        fingerprint: a hash of the objective's own source and options.
        code: a hash of its state and of the code it reaches in the user's modules; "" for a built-in objective, and in
            studies begun before it was recorded.
        parts: the parts of `code`, by names for messages: numbers as they are, otherwise hashes.
        python: the version of Python that compiled the code behind `code` and `parts`.
    """

    name: str
    options: dict[str, Any]
    folder: str
    fingerprint: str
    code: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    python: str = ""

    @property
    def is_importable(self) -> bool:
        """Whether another process can import it by its name."""
        return "<" not in self.name and not self.name.startswith("__main__:")


BenchmarkKind: TypeAlias = Literal["hold", "symbol", "zero", "series"]


@dataclass(frozen=True)
class StudyBenchmark:
    """The benchmark of a study, and its sums over the blocks of the training bars; see `rbt_ray.block_sums`.

    Args:
        kind: "hold": equal shares in all symbols; "symbol": one symbol; "zero": cash; "series": returns that the user gave.
        symbol: of the kind "symbol".
        returns: per training bar, of the kind "series"; () for others, which follow from the prices.
        sums: of the returns of each block.
        squares: sums of their squares.
        periods_per_year: bars per year.
        holdout_sharpe: its annual Sharpe ratio on the hold-out; None if there is no hold-out, or no return on each of its
            bars, or they are constant.
    """

    kind: BenchmarkKind
    symbol: str | None
    returns: tuple[float, ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    periods_per_year: float
    holdout_sharpe: float | None = None


@dataclass(frozen=True)
class PriorResult:
    """A result of an earlier search: the loss of a point, ``(n_params,)``, at a fidelity, and how far it was infeasible."""

    point: tuple[float, ...]
    fidelity: float
    loss: float
    violation: float = 0.0


@dataclass(frozen=True)
class Study:
    """A study's definition; every run of the same definition gives the same table.

    Args:
        name: the name of the study's folder.
        space: the space to search.
        metric: the metric to optimize; of several, the first.
        mode: "min" or "max".
        search_alg: the searcher's name; "custom" for an object.
        num_samples: how many new configs; None for all.
        seed: the seed of everything random.
        max_pending: how many trials may be open at once; None: as many as `engine.frontier.open_limit` says.
        deterministic: whether the searcher gets results in the order of its proposals.
        max_cost: the maximum cost, in evaluations at full fidelity.
        points_to_evaluate: configs to evaluate first.
        bundle: the prices, or None.
        objective: where to find the objective again.
        recheck: how many of the best configs to review at order level.
        search_options: settings of the searcher.
        scheduler: name and settings of the scheduler; None: all trials are at full fidelity.
        fidelity: what a fidelity is a share of.
        lowest_fidelity: the lowest fidelity of the search.
        eta: the factor from one fidelity to the next.
        max_reports: the number of reports at fidelity 1, if fidelity counts reports.
        warm_start: results that the sampler learns before the first trial.
        run: the run settings that results can depend on: time-outs, retries, memory. A resumed study keeps them.
        why: why "auto" chose this search; "" if the user did.
        accounting: the version of the rules of its backtests; see `rbt_ray.types.ACCOUNTING`.
        validation: the windows that the search is validated on, or None.
        benchmark: what trials are compared with; None in studies without prices, and in those of versions that recorded no
            block sums: none are recorded when such a study is resumed.
        audit: how many configs are drawn at random and evaluated after the search; None: 128 after a long adaptive search.
        constraints: conditions that name metrics, which feasible trials satisfy. Those on parameters alone are the space's.
        phases: the limits before each extension, oldest first: a search that learns, or has a scheduler, reaches each in turn.
        time_budget_s: seconds after which a run of the study stops; it changes no result.
        stop: when the search stops before its limits: see `study.limits.check_stop`.
        further_goals: the metrics to optimize beside the first.
        most_results: how many results a model keeps, which bounds the cost of a proposal: see `ModelSampler`. None: all, as in
            studies of versions that recorded no number.
    """

    name: str
    space: Space
    metric: str
    mode: Mode
    search_alg: str
    num_samples: int | None
    seed: int
    max_pending: int | None
    deterministic: bool
    objective: Address
    max_cost: float | None = None
    points_to_evaluate: tuple[Config, ...] = ()
    bundle: BundleId | None = None
    recheck: int = 10
    search_options: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] | None = None
    fidelity: FidelityKind = "prefix"
    lowest_fidelity: float = 1.0
    eta: float = 3.0
    max_reports: int | None = None
    warm_start: tuple[PriorResult, ...] = ()
    run: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    accounting: int = 1
    validation: WindowPlan | None = None
    benchmark: StudyBenchmark | None = None
    audit: int | None = None
    constraints: tuple[str, ...] = ()
    phases: tuple[Limits, ...] = ()
    time_budget_s: float | None = None
    stop: dict[str, float] | None = None
    further_goals: tuple[Goal, ...] = ()
    most_results: int | None = None

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The metrics to optimize."""
        return (Goal(self.metric, self.mode), *self.further_goals)

    @property
    def is_adaptive(self) -> bool:
        """Whether results decide which trials follow, so that the trials are no sample of the space."""
        has_rungs = self.scheduler is not None and self.lowest_fidelity < 1
        return has_rungs or self.search_alg not in ("grid", "random", "sobol")

    @property
    def n_planned(self) -> int:
        """How many trials the study has at most; 0 if results decide."""
        if self.is_adaptive:
            return 0
        limits = (self.space.size, self.num_samples, None if self.max_cost is None else math.ceil(self.max_cost))
        return min((limit for limit in limits if limit is not None), default=0)

    @property
    def limits(self) -> Limits:
        """The current limits of the search."""
        return Limits(self.num_samples, self.max_cost)

    @cached_property
    def metric_constraints(self) -> tuple[Constraint, ...]:
        """`constraints`, parsed."""
        return parse_all(self.constraints, self.space.known_names)

    @cached_property
    def constrained_metrics(self) -> tuple[str, ...]:
        """The names of the metrics in `constraints`."""
        return tuple(dict.fromkeys(name for one in self.metric_constraints for name in one.metrics))

    def violations(self, points: FloatArray, outcomes: Outcomes, fidelity: FloatArray) -> FloatArray:
        """Returns ``(n_constraints, n)`` how far each trial breaks each of `constraints`; 0 where it does not.

        Trials are judged at full fidelity. At a lower one, a trial breaks a constraint only if no further bars could satisfy
        it again, and only if it used the first bars of all symbols. Trials that did not complete are not judged.

        Args:
            points: ``(n, n_params)`` the configs.
            outcomes: the trials' outcomes.
            fidelity: ``(n,)`` the fidelities that the trials reached.
        """
        n = len(points)
        columns = self.space.point_columns(points)
        for name in self.constrained_metrics:
            column = outcomes.metrics.get(name)
            columns[name] = np.full(n, np.nan) if column is None else column.numbers()
        found = np.zeros((len(self.metric_constraints), n))
        whole, completed = fidelity == 1.0, outcomes.status == COMPLETED
        for row, constraint in enumerate(self.metric_constraints):
            judged = completed & whole
            if not whole.all() and self.fidelity == "prefix" and constraint.stays_broken:
                judged |= completed & constraint.broken(columns)
            found[row] = np.where(judged, constraint.violation(columns), 0.0)
        return found

    def violation(self, points: FloatArray, outcomes: Outcomes, asked: float) -> FloatArray | None:
        """Returns ``(n,)`` the sum of `violations` of a batch over the constraints; None for a study without.

        Args:
            points: ``(n, n_params)`` the configs.
            outcomes: the trials' outcomes.
            asked: the fidelity that the batch was asked for.
        """
        if not self.constraints:
            return None
        reached = outcomes.reached(np.full(len(points), asked))
        total: FloatArray = self.violations(points, outcomes, reached).sum(axis=0)
        return total

    def loss_of(self, metrics: MetricColumns, n: int) -> FloatArray:
        """Returns ``(n,)`` the losses by the first metric, which searchers minimize; NaN for a trial that lacks a metric."""
        if self.further_goals:
            first: FloatArray = self.losses_of(metrics, n)[:, 0]
            return first
        column = metrics.get(self.metric)
        if column is None:
            return np.full(n, np.nan)
        return column.numbers() * (-1.0 if self.mode == "max" else 1.0)

    def losses_of(self, metrics: MetricColumns, n: int) -> FloatArray:
        """Returns ``(n, n_goals)`` the losses by each metric; a trial that lacks one has NaN in each."""
        return losses_of(self.goals, metrics, n)

    def to_json(self) -> dict[str, Any]:
        """Returns the definition as JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["space"] = self.space.to_json()
        plain["space_fingerprint"] = self.space.fingerprint
        plain["points_to_evaluate"] = self.space.encode(self.points_to_evaluate).tolist()
        plain["objective"] = asdict(self.objective)
        plain["phases"] = [asdict(limits) for limits in self.phases]
        plain["further_goals"] = [asdict(goal) for goal in self.further_goals]
        plain["warm_start"] = [asdict(prior) for prior in self.warm_start]
        plain["bundle"] = None if self.bundle is None else asdict(self.bundle)
        plain["validation"] = None if self.validation is None else asdict(self.validation)
        plain["benchmark"] = None if self.benchmark is None else asdict(self.benchmark)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any], space: Space | None = None) -> Study:
        """Returns the definition that `to_json` wrote.

        Args:
            plain: the JSON values.
            space: the space, if it has options that JSON cannot represent.

        Raises:
            JournalError: a part is missing or invalid.
        """
        try:
            known = {f.name for f in fields(cls)}
            given = {name: value for name, value in plain.items() if name in known}
            recorded = Space.from_json(plain["space"])
            if space is not None and not space.constraints:  # `param_space` does not say them
                space = replace(space, constraints=recorded.constraints)
            given["space"] = recorded if space is None else space
            given["constraints"] = tuple(plain.get("constraints", ()))
            given["further_goals"] = tuple(Goal(**goal) for goal in plain.get("further_goals", ()))
            rows = plain["points_to_evaluate"]
            points = np.array(rows, dtype=np.float64).reshape(len(rows), given["space"].n_params)
            given["points_to_evaluate"] = tuple(given["space"].decode(points))
            given["warm_start"] = tuple(
                PriorResult(tuple(prior["point"]), prior["fidelity"], prior["loss"], prior.get("violation", 0.0))
                for prior in plain.get("warm_start", ())
            )
            given["phases"] = tuple(Limits(**limits) for limits in plain.get("phases", ()))
            given["objective"] = Address(**plain["objective"])
            given["bundle"] = None if plain["bundle"] is None else BundleId(**plain["bundle"])
            if plain.get("validation") is not None:
                given["validation"] = WindowPlan.from_json(plain["validation"], given["bundle"].train_bars)
            given["benchmark"] = _benchmark(plain.get("benchmark"), given["bundle"])
            if plain.get("accounting", 1) == 1:
                _complete(given)
            check_stop(plain.get("stop"))
            study = cls(**given)
            _ = study.constrained_metrics  # parses the constraints
            study.space.decode(study.space.canonical(study.space.from_unit(np.full((1, study.space.n_params), 0.5))))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise JournalError(f"the study's definition is damaged: {str(error)[:200]!r}.") from error
        check_types(study)
        named = study.scheduler is None or isinstance(study.scheduler.get("name"), str)
        right = (
            study.eta > 1
            and 0 < study.lowest_fidelity <= 1
            and study.seed >= 0
            and (study.max_pending is None or study.max_pending >= 1)
            and study.accounting >= 1
            and (study.audit is None or study.audit >= 0)
            and (study.most_results is None or study.most_results >= 1)
        )
        if not (named and right):
            raise JournalError("the study's definition is damaged: it has invalid values.")
        return study


def _benchmark(plain: dict[str, Any] | None, bundle: BundleId | None) -> StudyBenchmark | None:
    """Returns the benchmark of a definition.

    Raises:
        ValueError: or a TypeError: it is damaged.
    """
    if plain is None:
        return None
    parts: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    benchmark = StudyBenchmark(**parts)
    check_types(benchmark)
    n_returns = 0 if bundle is None or benchmark.kind != "series" else bundle.train_bars
    lengths = (len(benchmark.returns), len(benchmark.sums), len(benchmark.squares))
    numbers = np.array(
        [*benchmark.returns, *benchmark.sums, *benchmark.squares, benchmark.periods_per_year], np.float64
    )
    possible = bool(np.isfinite(numbers).all()) and benchmark.periods_per_year > 0
    has_symbol = (benchmark.symbol is None) == (benchmark.kind != "symbol")
    if bundle is None or lengths != (n_returns, N_BLOCKS, N_BLOCKS) or not possible or not has_symbol:
        raise ValueError("its benchmark has invalid values")
    return benchmark


def _complete(given: dict[str, Any]) -> None:
    """Adds options that a definition of accounting 1 leaves out, and updates its metric's name."""
    if given["objective"].options:  # only built-in objectives have options; this was their only accounting
        options = {"rebalance": "every_bar", **given["objective"].options}
        given["objective"] = replace(given["objective"], options=options)
    adapted = given["objective"].name.startswith("<")  # its `n_trades` is another backtester's
    if given["metric"] == "n_trades" and given["bundle"] is not None and not adapted:
        given["metric"] = "n_fills"

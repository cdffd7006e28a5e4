"""What is asked: the whole of a study that decides its results, and nothing of how or where it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from rbt_ray.errors import JournalError
from rbt_ray.metric_columns import MetricColumns
from rbt_ray.study.space import Space
from rbt_ray.study.type_check import check_types
from rbt_ray.types import Config, FidelityKind, FloatArray, Mode


@dataclass(frozen=True)
class BundleId:
    """Which prices: a registered bundle by name, or one of the study's own by file; the version is its content's hash."""

    name: str | None
    version: str
    n_bars: int
    train_bars: int
    """How many bars from the start the search may see; the rest is the hold-out."""


@dataclass(frozen=True)
class Address:
    """Where an objective is found again, and how to know it.

    Args:
        name: a built-in objective's name, or ``module:function``.
        options: what a built-in one was made with.
        folder: where the module lies.
        fingerprint: stays the same while the objective's own source and options do.
        code: stays the same while its state and the code it reaches in the user's own modules do; "" of a built-in
            objective, and in studies that were begun before it was recorded.
        parts: what `code` is made of, by names that a message can show: numbers as they are, hashes of all else.
        python: the version of Python whose compiled code `code` and `parts` are of.
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
        """Whether another process can find it by its name alone."""
        return "<" not in self.name and not self.name.startswith("__main__:")


@dataclass(frozen=True)
class PriorResult:
    """A result of an earlier search: a point, ``(n_params,)``, at a fidelity, and its loss."""

    point: tuple[float, ...]
    fidelity: float
    loss: float


@dataclass(frozen=True)
class Study:
    """A study's definition: with the same definition every run ends in the same table.

    Args:
        name: names the study's folder.
        space: what may vary.
        metric: the number that is optimized.
        mode: "min" or "max".
        search_alg: the searcher's name; "custom" for an object.
        num_samples: how many new configs; None: every one there is.
        seed: everything random follows from it.
        max_pending: how many trials may be open at once: how far the searcher runs ahead of results.
        deterministic: results are told in the order of asking.
        max_cost: full-fidelity evaluations that may be spent.
        points_to_evaluate: configs that come first.
        bundle: the prices, or None.
        objective: where the objective is found again.
        recheck: how many of the best are re-run in detail.
        search_options: settings of the searcher.
        scheduler: name and settings of what decides on fidelities; None: all trials are at full fidelity.
        fidelity: what a fidelity is a share of.
        lowest_fidelity: the lowest that is used.
        eta: the factor from one fidelity to the next.
        max_reports: what fidelity 1 is, where fidelity is counted in reports.
        warm_start: what the sampler has learned before the first trial.
        run: how it was run, as far as results can depend on it: time-outs, retries, memory. A resumed study keeps to it.
        why: why "auto" chose what it chose; "" where the user did.
        accounting: the version of the rules by which its backtests are run; see `rbt_ray.types.ACCOUNTING`.
    """

    name: str
    space: Space
    metric: str
    mode: Mode
    search_alg: str
    num_samples: int | None
    seed: int
    max_pending: int
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

    def loss_of(self, metrics: MetricColumns, n: int) -> FloatArray:
        """``(n,)`` what searchers minimise; NaN where a trial has no metric. The one place that knows the mode."""
        column = metrics.get(self.metric)
        if column is None:
            return np.full(n, np.nan)
        return column.numbers() * (-1.0 if self.mode == "max" else 1.0)

    def to_json(self) -> dict[str, Any]:
        """The definition as JSON can hold it."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["space"] = self.space.to_json()
        plain["space_fingerprint"] = self.space.fingerprint
        plain["points_to_evaluate"] = self.space.encode(self.points_to_evaluate).tolist()
        plain["objective"] = asdict(self.objective)
        plain["warm_start"] = [asdict(told) for told in self.warm_start]
        plain["bundle"] = None if self.bundle is None else asdict(self.bundle)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any], space: Space | None = None) -> Study:
        """The definition again.

        Args:
            plain: what `to_json` gave.
            space: the space, where it holds options that JSON cannot.

        Raises:
            JournalError: a part is missing or not understood.
        """
        try:
            known = {f.name for f in fields(cls)}
            given = {name: value for name, value in plain.items() if name in known}
            given["space"] = space or Space.from_json(plain["space"])
            rows = plain["points_to_evaluate"]
            points = np.array(rows, dtype=np.float64).reshape(len(rows), given["space"].n_params)
            given["points_to_evaluate"] = tuple(given["space"].decode(points))
            given["warm_start"] = tuple(
                PriorResult(tuple(told["point"]), told["fidelity"], told["loss"])
                for told in plain.get("warm_start", ())
            )
            given["objective"] = Address(**plain["objective"])
            given["bundle"] = None if plain["bundle"] is None else BundleId(**plain["bundle"])
            if plain.get("accounting", 1) == 1:
                _complete(given)
            study = cls(**given)
            study.space.decode(study.space.canonical(study.space.from_unit(np.full((1, study.space.n_params), 0.5))))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise JournalError(f"the study's definition is damaged: {str(error)[:200]!r}.") from error
        check_types(study)
        named = study.scheduler is None or isinstance(study.scheduler.get("name"), str)
        right = (
            study.eta > 1
            and 0 < study.lowest_fidelity <= 1
            and study.seed >= 0
            and study.max_pending >= 1
            and study.accounting >= 1
        )
        if not (named and right):
            raise JournalError("the study's definition is damaged: it has values that no study can have.")
        return study


def _complete(given: dict[str, Any]) -> None:
    """Adds to a definition of accounting 1 what it did not have to say, and renames what it called otherwise."""
    if given["objective"].options:  # of a built-in objective, whose only accounting was this one
        options = {"rebalance": "every_bar", **given["objective"].options}
        given["objective"] = replace(given["objective"], options=options)
    adapted = given["objective"].name.startswith("<")  # whose `n_trades` is another backtester's
    if given["metric"] == "n_trades" and given["bundle"] is not None and not adapted:
        given["metric"] = "n_fills"

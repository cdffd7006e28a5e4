"""Checks an objective before its study starts, for faults that would fail every trial."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.errors import ObjectiveError, SettingError, SpaceError
from rbt_ray.nearest import nearest
from rbt_ray.objectives.builtin.strategy import SweptObjective, check_names
from rbt_ray.objectives.kind import kind_of
from rbt_ray.simulate.metrics import BENCHMARK_NAMES, METRIC_NAMES, why_not_in_a_sweep

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.study.space import Space


def check_objective(objective: Any, space: Space, metric: str, bundle: Bundle | None, *, reports: bool = False) -> None:
    """Checks that this study can call the objective.

    Args:
        objective: of any kind.
        space: parameters.
        metric: the metric of the study.
        bundle: prices of the study.
        reports: whether fidelity is counted in reports.

    Raises:
        ObjectiveError: it cannot be called with (params, data), needs prices that are missing, or cannot report.
        InputError: parameters, metric or prices do not fit a built-in objective.
    """
    kind = kind_of(objective)
    if reports and kind.takes != "config":
        raise ObjectiveError(
            "`fidelity='reports'` is for a function of one config that calls `rbt.report`; batched and built-in objectives "
            "evaluate many at once."
        )
    if kind.takes != "columns":
        _check_signature(objective)
        if kind.adapter is not None:
            kind.adapter.check({name.split("/")[0] for name in space.order}, bundle)
        return
    if bundle is None:
        raise ObjectiveError(f"`bundle` is missing: {getattr(objective, 'name', repr(objective))} needs prices.")
    if kind.swept is not None:
        _check_swept(kind.swept, space, metric, bundle)


def check_constrained_metrics(objective: Any, names: Sequence[str]) -> None:
    """Checks that a built-in objective has the metrics that constraints name; another one shows its metrics in its first trial.

    Raises:
        SettingError: it has no metric of that name, and the space no such parameter.
    """
    if (swept := kind_of(objective).swept) is None:
        return
    for name in names:
        if name in BENCHMARK_NAMES:
            raise SettingError(why_not_in_a_sweep(name))
        if name not in METRIC_NAMES:
            raise SettingError(
                f"a constraint names `{name}`, which is neither a parameter of `{swept.name}` ({', '.join(swept.params)}) "
                f"nor a metric; {nearest(name, (*swept.params, *METRIC_NAMES))}"
            )


def _check_signature(objective: Any) -> None:
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):  # some callables of compiled modules have no signature
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        name = getattr(objective, "__name__", type(objective).__name__)
        raise ObjectiveError(
            f"`objective` is a function of (params, data); {name}{signature} cannot be called this way: {error}."
        ) from None


def _check_swept(objective: SweptObjective, space: Space, metric: str, bundle: Bundle) -> None:
    check_names(objective.name, objective.parameters, dict.fromkeys(space.order))
    space.number_columns(np.empty((0, space.n_params)))
    domains = dict(zip(space.names, space.domains, strict=True))
    for parameter in objective.parameters:
        domain = domains.get(parameter.name)
        if parameter.whole and domain is not None and domain.n_values is None:
            raise SpaceError(
                f"`{parameter.name}` of `{objective.name}` is {parameter}, and {domain.kind} has others: "
                "use randint, lograndint or choice."
            )
    objective.with_metrics((metric,))
    objective.check(bundle.view())

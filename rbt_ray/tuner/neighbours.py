"""Configs near a config, values of parameters across their domains, and the trial with the best neighbourhood.

The value of a config is known from the study's trials, or evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.store.table import TrialTable
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.priors import UNDER_ONE
from rbt_ray.study.space import Space
from rbt_ray.study.trials import nested_seed
from rbt_ray.types import FloatArray, IntArray, Mode

_TRIES = 20
"""How many times as many draws as configs are made, before a neighbourhood counts as used up."""
RADIUS = 0.05
"""The default share of a domain that counts as near, to each side."""
_LEADERS, _PER_LEADER = 10, 32

Evaluate: TypeAlias = Callable[[FloatArray], TrialTable]
"""Evaluates ``(n, n_params)`` points at full fidelity."""


def neighbours(space: Space, point: FloatArray, radius: float, n: int, seed: int) -> FloatArray:
    """Returns at most `n` different allowed configs near a config, itself left out, ``(n_found, n_params)``.

    Each parameter moves within `radius` of its domain, on the domain's own scale, and a discrete one by at least one value.
    Options without an order (text, booleans) stay as they are. If the neighbourhood has at most `n` configs, all are
    returned; otherwise they are drawn at random from it.

    Args:
        space: the space.
        point: ``(n_params,)`` the config.
        radius: a share of the domain, to each side.
        n: the most configs to return.
        seed: of the draws.
    """
    axes = [_near(domain, value, radius) for domain, value in zip(space.domains, point, strict=True)]
    if not axes:
        return np.empty((0, 0))
    size = math.prod(math.inf if values is None else len(values) for values in axes)
    if size <= n + 1:
        mesh = np.meshgrid(*[values for values in axes if values is not None], indexing="ij")
        return distinct(space, np.stack([axis.ravel() for axis in mesh], axis=1), [point])
    rng, found = np.random.default_rng(seed), np.empty((0, space.n_params))
    for _ in range(_TRIES):
        drawn = [
            _drawn(domain, value, radius, n, rng) if values is None else rng.choice(values, n)
            for domain, value, values in zip(space.domains, point, axes, strict=True)
        ]
        found = distinct(space, np.concatenate([found, np.stack(drawn, axis=1)]), [point])
        if len(found) >= n:
            break
    return found[:n]


def levels(space: Space, point: FloatArray, column: int, n: int) -> FloatArray:
    """Returns ``(n_found,)`` values of a parameter across its domain, ascending, that of the config among them.

    Args:
        space: the space.
        point: ``(n_params,)`` the config.
        column: of the parameter.
        n: how many evenly spaced values to take on the domain's own scale; a smaller domain is taken whole.
    """
    domain = space.domains[column]
    if np.isnan(point[column]):
        return np.empty(0)
    if domain.n_values is not None and domain.n_values <= n:
        values = domain.nth(np.arange(domain.n_values, dtype=np.float64))
    else:
        values = domain.from_unit((np.arange(n) + 0.5) / n)
    return np.unique(np.append(values, point[column]) + 0.0)


def moved(point: FloatArray, changes: Iterable[tuple[int, float]]) -> FloatArray:
    """Returns ``(n_params,)`` a config with other values in some columns."""
    found = point.copy()
    for column, value in changes:
        found[column] = value
    return found


def is_config(space: Space, points: FloatArray) -> IntArray:
    """Returns the rows of ``(n, n_params)`` points that are allowed configs: each active parameter has a value."""
    active = space.active(points)
    return np.flatnonzero(space.allowed(points) & ~(active & np.isnan(points)).any(axis=1))


def distinct(space: Space, points: FloatArray, without: Iterable[FloatArray] = ()) -> FloatArray:
    """Returns the allowed configs among ``(n, n_params)`` points, each once, in their order.

    Args:
        space: the space.
        points: canonical or not.
        without: configs to leave out.
    """
    points = space.canonical(points[is_config(space, points)])
    others = list(without)
    left_out = space.digests(np.array(others).reshape(len(others), space.n_params))
    digests = space.digests(points)
    _, first = np.unique(digests, return_index=True)
    kept = np.sort(first)
    return points[kept[~np.isin(digests[kept], left_out)]]


def _near(domain: Domain, value: float, radius: float) -> FloatArray | None:
    """Returns the values of a discrete domain within `radius` of a value, in order; None for a continuous domain."""
    if np.isnan(value):
        return np.array([np.nan])
    if isinstance(domain, Choice):
        order = _order(domain)
        if order is None:
            return np.array([value])
        at, reach = int(np.flatnonzero(order == value)[0]), max(1, int(radius * len(order)))
        return order[max(0, at - reach) : at + reach + 1]
    if domain.n_values is None:
        return None
    lowest = domain.nth(np.zeros(1))[0]
    step = domain.nth(np.ones(1))[0] - lowest
    ends = np.append(domain.from_unit(_levels_near(domain, value, radius)), value)
    first, last, at = np.rint((ends - lowest) / step).astype(np.int64).tolist()
    first, last = max(0, min(first, at - 1)), min(domain.n_values - 1, max(last, at + 1))
    return domain.nth(np.arange(first, last + 1, dtype=np.float64))


def _drawn(domain: Domain, value: float, radius: float, n: int, rng: np.random.Generator) -> FloatArray:
    low, high = _levels_near(domain, value, radius)
    return domain.from_unit(rng.uniform(low, high, n))


def _levels_near(domain: Domain, value: float, radius: float) -> FloatArray:
    """Returns the ends of the neighbourhood as levels within [0, 1)."""
    level = float(domain.to_unit(np.array([value]))[0])
    return np.array([max(level - radius, 0.0), min(level + radius, UNDER_ONE)])


def _order(domain: Choice) -> FloatArray | None:
    """Returns the positions of the options in the order of their values; None if they have no order."""
    if domain.kind == "ordinal":
        return np.arange(len(domain.options), dtype=np.float64)
    try:
        numbers = domain.numbers(np.arange(len(domain.options), dtype=np.float64))
    except SpaceError:
        return None
    if any(isinstance(option, bool) for option in domain.options):
        return None
    return np.argsort(numbers, kind="stable").astype(np.float64)


def values_at(points: FloatArray, table: TrialTable, evaluate: Evaluate, metric: str) -> FloatArray:
    """Returns ``(n,)`` values of a metric at full fidelity.

    A config that is among the study's trials at full fidelity is not evaluated again. NaN where a config failed or is
    infeasible.

    Args:
        points: ``(n, n_params)`` allowed configs.
        table: the trials of the study.
        evaluate: evaluates other points.
        metric: its name.
    """
    space = table.study.space
    known = _known(table, metric)
    digests = space.digests(points).tolist()
    missing = np.array([digest not in known for digest in digests], dtype=bool)
    if missing.any():
        known |= _known(evaluate(distinct(space, points[missing])), metric)
    return np.array([known.get(digest, np.nan) for digest in digests])


def _known(table: TrialTable, metric: str) -> dict[int, float]:
    values = np.where(table.is_feasible, table.numbers(metric), np.nan)
    rows = np.flatnonzero(table.fidelity == 1.0)[::-1]  # the first of equal configs counts
    return dict(zip(table.study.space.digests(table.points[rows]).tolist(), values[rows].tolist(), strict=True))


def most_robust(table: TrialTable, evaluate: Evaluate, metric: str, mode: Mode) -> int:
    """Returns the row of the trial whose neighbourhood is best, among the 10 best configs.

    A neighbourhood is worth the median of the config and of at most 32 neighbours, where one without a value is worse than
    all others. Of equal ones, the config with the better value is taken.

    Args:
        table: the trials of the study, at least one of them in its ranking.
        evaluate: evaluates neighbours that are not among the trials.
        metric: the metric to compare.
        mode: whether higher or lower is better.
    """
    space, sign = table.study.space, 1.0 if mode == "max" else -1.0
    ranking = table.ranking(metric=metric, mode=mode)
    _, first = np.unique(space.digests(table.points[ranking]), return_index=True)
    leaders = ranking[np.sort(first)[:_LEADERS]]
    seed = nested_seed(table.study.seed, "robust", 1)
    near = [neighbours(space, table.points[row], RADIUS, _PER_LEADER, seed) for row in leaders]
    values = values_at(np.concatenate(near), table, evaluate, metric)
    own = sign * table.numbers(metric)[leaders]
    signed = np.split(np.where(np.isnan(values), -np.inf, sign * values), np.cumsum([len(one) for one in near])[:-1])
    medians = [np.quantile([mine, *one], 0.5, method="lower") for mine, one in zip(own, signed, strict=True)]
    return int(leaders[int(np.argmax(medians))])

"""Converts a space to a ConfigSpace.ConfigurationSpace, for libraries that search one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ConfigSpace as cs  # noqa: N813  as its own documentation does
import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.study.conditions import BooleanExpression, Compare, Expression, OneOf, Relation, names_in
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.priors import UNDER_ONE
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_BLOCKS, _BLOCK = 2**8, 2**12  # candidates to search for an allowed one
_CONDITIONS = {
    "==": cs.EqualsCondition,
    "!=": cs.NotEqualsCondition,
    "<": cs.LessThanCondition,
    ">": cs.GreaterThanCondition,
}
_CLAUSES = {
    "==": cs.ForbiddenEqualsClause,
    "<": cs.ForbiddenLessThanClause,
    ">": cs.ForbiddenGreaterThanClause,
    ">=": cs.ForbiddenGreaterThanEqualsClause,
}
_RELATIONS = {
    "==": cs.ForbiddenEqualsRelation,
    "<": cs.ForbiddenLessThanRelation,
    "<=": cs.ForbiddenLessThanEqualsRelation,
    ">": cs.ForbiddenGreaterThanRelation,
    ">=": cs.ForbiddenGreaterThanEqualsRelation,
}


class AsConfigSpace:
    """A space as a ConfigurationSpace, with conversions of points in both directions.

    A choice becomes the positions of its options; an ordinal one and evenly stepped numbers become integers; any other number
    becomes its level within [0, 1), on which its domain is uniform. A parameter with one value that nothing depends on is
    left out. So is a forbidden clause that ConfigSpace cannot express over positions and levels, such as one that compares a
    number with a choice: check the original space for what is allowed.

    Args:
        space: the space to convert.
        seed: the seed of the configurations that ConfigSpace samples.

    Attributes:
        configspace: the converted space.

    Raises:
        SpaceError: a condition compares two parameters, or almost everything is forbidden.
    """

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        self._space = space
        named = set().union(*(names_in(part) for part in (*dict(space.conditions).values(), *space.forbidden)))
        self._domains = {
            name: domain
            for name, domain in zip(space.names, space.domains, strict=True)
            if domain.n_values != 1 or name in named
        }
        self.configspace = cs.ConfigurationSpace(seed=seed % 2**32)
        default = self.values(_allowed_point(space))  # ConfigSpace refuses a default that is forbidden
        self.configspace.add(*(_hyperparameter(name, d, default.get(name)) for name, d in self._domains.items()))
        conditions = [self._condition(child, when) for child, when in space.conditions if child in self._domains]
        if conditions:
            self.configspace.add(*conditions)
        clauses = [clause for part in space.forbidden if (clause := self._clause(part)) is not None]
        if clauses:
            self.configspace.add(*clauses)

    def values(self, point: FloatArray) -> dict[str, int | float]:
        """Returns ConfigSpace's values of a canonical point, without inactive parameters."""
        row = dict(zip(self._space.names, point.tolist(), strict=True))
        return {name: _value(d, row[name]) for name, d in self._domains.items() if not math.isnan(row[name])}

    def point(self, values: Mapping[str, Any]) -> FloatArray | None:
        """Returns the canonical point of ConfigSpace's values; None if they lack an active parameter."""
        row = np.full((1, self._space.n_params), np.nan)
        for column, (name, domain) in enumerate(zip(self._space.names, self._space.domains, strict=True)):
            if name not in self._domains:
                row[0, column] = domain.nth(np.zeros(1))[0]
            elif name in values:
                row[0, column] = _column(domain, values[name])
        active = self._space.active(row)
        point: FloatArray = self._space.canonical(row)[0]
        return None if (np.isnan(point) & active[0]).any() else point

    def _condition(self, child: str, when: Expression) -> Any:
        if isinstance(when, Relation):
            raise SpaceError(
                f"`{child}` exists when `{when.left}` {when.op} `{when.right}`; ConfigSpace has conditions on one "
                f"parameter's value only. Use engine='native'."
            )
        if isinstance(when, BooleanExpression):
            parts = [self._condition(child, part) for part in when.parts]
            return (cs.AndConjunction if when.word == "and" else cs.OrConjunction)(*parts)
        child_of, parent, domain = self.configspace[child], self.configspace[when.name], self._domains[when.name]
        if isinstance(when, OneOf):
            return cs.InCondition(child_of, parent, [_value(domain, value) for value in when.values])
        value = _value(domain, when.value)
        if when.op in _CONDITIONS:
            return _CONDITIONS[when.op](child_of, parent, value)
        beyond = _CONDITIONS[when.op[0]](child_of, parent, value)
        return cs.OrConjunction(beyond, cs.EqualsCondition(child_of, parent, value))

    def _clause(self, part: Expression) -> Any:
        """Returns ConfigSpace's clause; None if it has none."""
        if isinstance(part, BooleanExpression):
            parts = [self._clause(inner) for inner in part.parts]
            if any(inner is None for inner in parts):
                return None
            return (cs.ForbiddenAndConjunction if part.word == "and" else cs.ForbiddenOrConjunction)(*parts)
        if isinstance(part, Relation):
            if part.op not in _RELATIONS or not _one_scale(self._domains[part.left], self._domains[part.right]):
                return None
            return _RELATIONS[part.op](self.configspace[part.left], self.configspace[part.right])
        domain = self._domains[part.name]
        if domain.n_values is not None and _is_level(domain):
            return None
        if isinstance(part, OneOf):
            values = [_value(domain, value) for value in part.values]
            return cs.ForbiddenInClause(self.configspace[part.name], values)
        if part.op == "<=":  # ConfigSpace 1.2.2 samples by the opposite of its own clause
            below, equal = (self._clause(Compare(part.name, op, part.value)) for op in ("<", "=="))
            return None if below is None else cs.ForbiddenOrConjunction(below, equal)
        if part.op not in _CLAUSES or (part.op != "==" and _is_options(domain)):
            return None
        return _CLAUSES[part.op](self.configspace[part.name], _value(domain, part.value))


def _is_options(domain: Domain) -> bool:
    return isinstance(domain, Choice) and domain.word != "ordinal"


def _is_level(domain: Domain) -> bool:
    return not isinstance(domain, Choice) and not (
        isinstance(domain, Stepped) and domain.prior is None and not domain.log
    )


def _one_scale(left: Domain, right: Domain) -> bool:
    """Returns whether two parameters' values compare as their ConfigSpace values do."""
    if isinstance(left, Stepped) and isinstance(right, Stepped):
        return left.q == right.q and not _is_level(left) and not _is_level(right)
    return isinstance(left, Float) and left == right


def _allowed_point(space: Space) -> FloatArray:
    rng = np.random.default_rng(0)
    for _ in range(_BLOCKS):
        points = space.canonical(space.from_unit(rng.random((_BLOCK, space.n_params))))
        allowed = space.allowed(points)
        if allowed.any():
            point: FloatArray = points[int(np.argmax(allowed))]
            return point
    raise SpaceError(
        f"the forbidden clauses and constraints of the space leave practically nothing: none of {_BLOCKS * _BLOCK:,} "
        f"candidates was allowed. Loosen them, or describe the allowed configs by the domains themselves."
    )


def _hyperparameter(name: str, domain: Domain, default: int | float | None) -> Any:
    if isinstance(domain, Choice) and (_is_options(domain) or domain.n_values == 1):
        options = list(range(domain.n_values))
        return cs.CategoricalHyperparameter(name, options, default_value=default or 0, weights=domain.weights)
    if isinstance(domain, Choice):
        return cs.UniformIntegerHyperparameter(name, 0, domain.n_values - 1, default_value=default)
    if not isinstance(domain, Stepped) or _is_level(domain):
        return cs.UniformFloatHyperparameter(name, 0.0, 1.0, default_value=default)
    if domain.n == 1:
        return cs.CategoricalHyperparameter(name, [domain.first])
    last = domain.first + domain.n - 1
    return cs.UniformIntegerHyperparameter(name, domain.first, last, default_value=default)


def _value(domain: Domain, code: float) -> int | float:
    """Returns ConfigSpace's value of a point's number."""
    if isinstance(domain, Choice):
        return int(code)
    if isinstance(domain, Stepped) and not _is_level(domain):
        return round(code / domain.q)
    return float(domain.to_unit(np.array([code]))[0])


def _column(domain: Domain, value: Any) -> float:
    """The inverse of `_value`."""
    if isinstance(domain, Choice):
        return float(value)
    if isinstance(domain, Stepped) and not _is_level(domain):
        return float(domain.nth(np.array([float(value) - domain.first]))[0])
    return float(domain.from_unit(np.array([min(float(value), UNDER_ONE)]))[0])

"""The parameter space: its configs as rows of numbers, and as the dicts that an objective gets.

A row of points has a float64 for each parameter: the value of a number, the position of an option, or NaN for an inactive
parameter.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.study import values
from rbt_ray.study.conditions import Expression, expression_from_json
from rbt_ray.study.constraint import Constraint
from rbt_ray.study.constraint_parser import Names, parse_all
from rbt_ray.study.domains import Domain
from rbt_ray.study.fixed import fixed as fixed
from rbt_ray.study.nesting import ABSENT, Tree, flatten, nest, tree_of
from rbt_ray.study.primitives import choice as choice
from rbt_ray.study.primitives import domain_from_json
from rbt_ray.study.primitives import grid_search as grid_search
from rbt_ray.study.primitives import lograndint as lograndint
from rbt_ray.study.primitives import loguniform as loguniform
from rbt_ray.study.primitives import normal as normal
from rbt_ray.study.primitives import qrandint as qrandint
from rbt_ray.study.primitives import quniform as quniform
from rbt_ray.study.primitives import randint as randint
from rbt_ray.study.primitives import uniform as uniform
from rbt_ray.types import BoolArray, Config, FloatArray, IntArray

_COUNTABLE = 10**7
_BLOCK = 2**16


@dataclass(frozen=True)
class Space:
    """Parameters and their domains, with the conditions under which they are active and forbidden combinations.

    Args:
        names: flat names in order of definition; "/" joins the names of nested dicts ("opt/lr").
        domains: the domain of each parameter.
        constants: the flat names and values that every config has.
        order: the names of parameters and constants in the order of configs; empty: constants last.
        conditions: pairs of a parameter and when it is active, parents before children; others are always active.
        forbidden: expressions that are true for forbidden configs.
        constraints: conditions that every config satisfies.
    """

    names: tuple[str, ...]
    domains: tuple[Domain, ...]
    constants: dict[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    conditions: tuple[tuple[str, Expression], ...] = ()
    forbidden: tuple[Expression, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        if not self.order:
            object.__setattr__(self, "order", (*self.names, *self.constants))

    @classmethod
    def of(cls, param_space: Any) -> Space:
        """Returns the space of a user's `param_space`.

        Args:
            param_space: a dict of domains (of rbt_ray or Ray Tune), values and dicts of these; a
                `ConfigSpace.ConfigurationSpace`; or a `Space`.

        Raises:
            SpaceError: it, or a part of it, is something else.
        """
        if isinstance(param_space, Space):
            return param_space
        from rbt_ray.study import convert

        parts = convert.parts_of(param_space)
        tree_of(parts.order)
        return cls(
            names=tuple(parts.domains),
            domains=tuple(parts.domains.values()),
            constants=parts.constants,
            order=tuple(parts.order),
            conditions=tuple(parts.conditions),
            forbidden=tuple(parts.forbidden),
        )

    def constrained(self, constraints: Sequence[str]) -> Space:
        """Returns the same space with further constraints on its parameters.

        Raises:
            SettingError: one of them is no constraint, or has a name that is not of the space.
        """
        found = parse_all(constraints, self.known_names)
        for constraint in found:
            if constraint.metrics:
                raise SettingError(
                    f"the constraint {constraint.text!r} has the name `{constraint.metrics[0]}`, but {self.known_names}."
                )
        known = {one.text: one for one in (*self.constraints, *found)}
        return replace(self, constraints=tuple(known.values()))

    @property
    def without_constraints(self) -> Space:
        """The same space without its constraints."""
        return replace(self, constraints=())

    @property
    def known_names(self) -> Names:
        """The parameters and constants, as constraints name them."""
        options = {n: getattr(d, "options", None) for n, d in zip(self.names, self.domains, strict=True)}
        return Names(options, self.constants)

    @property
    def is_restricted(self) -> bool:
        """Whether forbidden clauses or constraints exclude configs."""
        return bool(self.forbidden or self.constraints)

    @property
    def n_params(self) -> int:
        """The number of parameters: the width of a row of points."""
        return len(self.names)

    @property
    def is_finite(self) -> bool:
        """Whether every parameter has finitely many values."""
        return all(domain.n_values is not None for domain in self.domains)

    @cached_property
    def grid_size(self) -> int:
        """The number of rows of the grid, with all parameters active and nothing forbidden.

        Raises:
            SpaceError: a parameter has infinitely many values.
        """
        for name, domain in zip(self.names, self.domains, strict=True):
            if domain.n_values is None:
                raise SpaceError(
                    f"`{name}` is {domain.kind} and takes infinitely many values, so there is no grid. Write "
                    f"`grid_search([...])` or `quniform(lower, upper, q)` for it, or use search_alg 'random' or 'sobol'."
                )
        return math.prod(domain.n_values or 0 for domain in self.domains)

    @cached_property
    def size(self) -> int | None:
        """The number of different allowed configs.

        None: infinitely many, or the space has conditions, forbidden clauses or constraints and a grid of more than 10**7
        points, which takes too long to count.
        """
        if not self.is_finite:
            return None
        if not self.conditions and not self.is_restricted:
            return self.grid_size
        if self.grid_size > _COUNTABLE:
            return None
        blocks = (self.grid(start, start + _BLOCK) for start in range(0, self.grid_size, _BLOCK))
        return sum(int((self.allowed(block) & self.is_representative(block)).sum()) for block in blocks)

    def grid(self, start: int, stop: int) -> FloatArray:
        """Returns rows `start` to `stop` of the grid, ``(n, n_params)``; the last parameter changes fastest.

        The grid has all parameters active and nothing forbidden.
        """
        return self.grid_rows(np.arange(max(min(stop, self.grid_size) - start, 0)), start)

    def grid_rows(self, index: IntArray, offset: int = 0) -> FloatArray:
        """Returns the rows at `index` + `offset`, ``(n, n_params)``, below `grid_size`; `offset` may exceed an int64."""
        points = np.empty((len(index), self.n_params))
        # Adding to the digits of the offset keeps every number in an int64, whatever the size of the grid.
        carry = index
        for column in reversed(range(self.n_params)):
            n_values = self.domains[column].n_values or 1
            offset, digit = divmod(offset, n_values)
            carry, digits = np.divmod(carry + digit, n_values)
            points[:, column] = self.domains[column].nth(digits.astype(np.float64))
        return points

    def is_representative(self, points: FloatArray) -> BoolArray:
        """Returns ``(n,)`` True for one grid row of each config: the one with inactive parameters at their first value."""
        if not self.conditions:
            return np.ones(len(points), dtype=bool)
        first = np.array([domain.nth(np.zeros(1))[0] for domain in self.domains])
        return np.asarray((self.active(points) | (points == first)).all(axis=1), dtype=bool)

    def active(self, points: FloatArray) -> BoolArray:
        """Returns ``(n, n_params)`` which parameters are active."""
        active = np.ones(points.shape, dtype=bool)
        columns = self.point_columns(points)
        for name, condition in self.conditions:
            exists = condition.holds(columns)
            active[:, self.names.index(name)] = exists
            columns[name] = np.where(exists, columns[name], np.nan)
        return active

    def canonical(self, points: FloatArray) -> FloatArray:
        """Returns points with NaN for inactive parameters and no negative zeros, so that equal configs have equal points."""
        if self.conditions:
            points = np.where(self.active(points), points, np.nan)
        return points + 0.0

    def allowed(self, points: FloatArray) -> BoolArray:
        """Returns ``(n,)`` False where a forbidden clause is true or a constraint is broken."""
        allowed = np.ones(len(points), dtype=bool)
        columns = self.point_columns(self.canonical(points)) if self.is_restricted else {}
        for clause in self.forbidden:
            allowed &= ~clause.holds(columns)
        for constraint in self.constraints:
            allowed &= constraint.satisfied(columns)
        return allowed

    def has(self, points: FloatArray) -> bool:
        """Returns whether every row of ``(n, n_params)`` points has values of the domains, or NaN."""
        columns = zip(self.domains, points.T, strict=True)
        return all(bool((domain.has(column) | np.isnan(column)).all()) for domain, column in columns)

    def from_unit(self, u: FloatArray) -> FloatArray:
        """Returns points at levels ``(n, n_params)`` within [0, 1), all parameters active: see `canonical`."""
        columns = [domain.from_unit(u[:, k]) for k, domain in enumerate(self.domains)]
        return np.column_stack(columns) if columns else np.empty(u.shape)

    def to_unit(self, points: FloatArray) -> FloatArray:
        """Returns the inverse of `from_unit`: cell centres for discrete values, NaN for inactive parameters."""
        columns = [domain.to_unit(points[:, k]) for k, domain in enumerate(self.domains)]
        return np.column_stack(columns) if columns else np.empty(points.shape)

    def digests(self, points: FloatArray) -> NDArray[np.uint64]:
        """Returns ``(n,)`` 64-bit hashes, equal for equal configs, in every process and version.

        Source:
            The finaliser of SplitMix64: Steele, Lea and Flood (2014), "Fast Splittable Pseudorandom Number Generators".
        """
        canonical = self.canonical(points)
        canonical[np.isnan(canonical)] = np.nan  # NaNs may differ in their bits
        digest = np.full(len(points), self.n_params, dtype=np.uint64)
        for bits in np.ascontiguousarray(canonical.T).view(np.uint64):
            z = (digest + np.uint64(0x9E3779B97F4A7C15)) ^ bits
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            digest = z ^ (z >> np.uint64(31))
        return digest

    def decode(self, points: FloatArray) -> list[Config]:
        """Returns the config of each row: nested Python values, with constants, without inactive parameters."""
        columns = self._plain(points, ABSENT)
        for name, value in self.constants.items():
            columns[name] = [values.fresh(value) for _ in range(len(points))]
        return nest(self._tree, columns, len(points), sparse=bool(np.isnan(points).any()))

    def columns(self, points: FloatArray) -> dict[str, list[Any]]:
        """Returns columns of Python values by flat name, None for inactive parameters: for frames and reports."""
        return self._plain(points, None)

    def number_columns(self, points: FloatArray) -> dict[str, FloatArray]:
        """Returns parameters and constants as ``(n,)`` numbers by flat name, NaN for inactive ones.

        Raises:
            SpaceError: one of them is not a number.
        """
        columns: dict[str, FloatArray] = {}
        for name in self.order:
            if name not in self.constants:
                column = self.names.index(name)
                try:
                    columns[name] = self.domains[column].numbers(points[:, column])
                except SpaceError as error:
                    raise SpaceError(f"the objective takes numbers only, and `{name}` {error}") from error
            elif isinstance(self.constants[name], (int, float)):
                columns[name] = np.full(len(points), self.constants[name], dtype=np.float64)
            else:
                value = self.constants[name]
                hint = f" To have one of several, write choice({value!r})." if isinstance(value, (list, tuple)) else ""
                raise SpaceError(f"the objective takes numbers only, and `{name}` is {value!r}.{hint}")
        return columns

    def encode(self, configs: Sequence[Config]) -> FloatArray:
        """Returns the inverse of `decode`, ``(n_configs, n_params)``; configs may leave constants out.

        Raises:
            SpaceError: a config has an unknown name or an inactive parameter, lacks a parameter, has a value outside its
                domain, is forbidden, or breaks a constraint.
        """
        points = np.full((len(configs), self.n_params), np.nan)
        for row, config in enumerate(configs):
            for name, value in flatten(config, self._tree, f"the config {config!r}"):
                if name in self.constants:
                    if not values.alike(values.to_python(value), self.constants[name]):
                        raise SpaceError(
                            f"`{name}` is always {self.constants[name]!r}; got {value!r} in the config {config!r}."
                        )
                    continue
                column = self.names.index(name)
                code = self.domains[column].to_column(value)
                if code is None:
                    raise SpaceError(
                        f"`{name}` takes {self.domains[column].takes}; got {value!r} in the config {config!r}."
                    )
                points[row, column] = code
        self._check_presence(points, configs)
        if not (allowed := self.allowed(points)).all():
            row = int(np.argmin(allowed))
            columns = self.point_columns(points[row : row + 1])
            broken = [one.text for one in self.constraints if not one.satisfied(columns)[0]]
            why = f"breaks the constraint {broken[0]!r}" if broken else "is forbidden by a clause of the space"
            raise SpaceError(f"the config {configs[row]!r} {why}; leave it out.")
        return points + 0.0

    def _check_presence(self, points: FloatArray, configs: Sequence[Config]) -> None:
        wrong = self.active(points) == np.isnan(points)
        for row, column in np.argwhere(wrong):
            name = self.names[column]
            if np.isnan(points[row, column]):
                raise SpaceError(
                    f"the config {configs[row]!r} lacks `{name}`; give every parameter a value. "
                    f"`{name}` takes {self.domains[column].takes}."
                )
            raise SpaceError(
                f"the config {configs[row]!r} has `{name}`, which a condition leaves out where the others have these "
                f"values; leave it out."
            )

    def point_columns(self, points: FloatArray) -> dict[str, FloatArray]:
        """Returns the columns of ``(n, n_params)`` points by flat name, for conditions and constraints."""
        return {name: points[:, column] for column, name in enumerate(self.names)}

    def _plain(self, points: FloatArray, absent: Any) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for column, (name, domain) in enumerate(zip(self.names, self.domains, strict=True)):
            given = ~np.isnan(points[:, column])
            plain = domain.to_python(points[given, column])
            if len(plain) < len(points):
                known: Iterator[Any] = iter(plain)
                plain = [next(known) if is_given else absent for is_given in given.tolist()]
            columns[name] = plain
        return columns

    @cached_property
    def _tree(self) -> Tree:
        return tree_of(self.order)

    def to_json(self) -> dict[str, Any]:
        """Returns the space as JSON values; it names options that JSON cannot represent: see `from_json`."""
        return {
            "parameters": [{"name": n, **d.to_json()} for n, d in zip(self.names, self.domains, strict=True)],
            "constants": [{"name": name, "value": values.to_json(value)} for name, value in self.constants.items()],
            "order": list(self.order),
            "conditions": [{"name": name, "when": condition.to_json()} for name, condition in self.conditions],
            "forbidden": [clause.to_json() for clause in self.forbidden],
            # not even an empty list: the fingerprints of older studies have none
            **({"constraints": [constraint.text for constraint in self.constraints]} if self.constraints else {}),
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Space:
        """Returns the space that `to_json` was called on; options such as functions become an `OpaqueValue`."""
        space = cls(
            names=tuple(parameter["name"] for parameter in held["parameters"]),
            domains=tuple(domain_from_json(parameter) for parameter in held["parameters"]),
            constants={constant["name"]: values.from_json(constant["value"]) for constant in held["constants"]},
            order=tuple(held["order"]),
            conditions=tuple((part["name"], expression_from_json(part["when"])) for part in held["conditions"]),
            forbidden=tuple(expression_from_json(clause) for clause in held["forbidden"]),
        )
        return space.constrained(held.get("constraints", ()))

    def require_options(self) -> None:
        """Checks that a space read from a file has no options that the file only names.

        Raises:
            SpaceError: it has one; the message names it.
        """
        parts = [getattr(domain, "options", ()) for domain in self.domains]
        for option in values.opaque_values_in([*parts, self.constants]):
            raise SpaceError(
                f"the space has the option {option.name}, which cannot be read back from a file; pass the same "
                f"`param_space` again."
            )

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the space in hex; an option that JSON cannot represent counts by its name."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

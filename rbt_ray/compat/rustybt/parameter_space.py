"""RustyBT's parameters, and their conversion to a space of rbt_ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, prod
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.study.constraint_functions import text_of
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.primitives import grid_search
from rbt_ray.study.priors import NormalPrior
from rbt_ray.study.space import Space

PRIORS = ("uniform", "log-uniform", "normal")


@dataclass(frozen=True, kw_only=True)
class ContinuousParameter:
    """A float from `min_value` to `max_value`.

    Args:
        name: the parameter's name.
        min_value: the lowest.
        max_value: the highest, above it.
        prior: "uniform"; "log-uniform": uniform in the logarithm; "normal": around the middle, with a standard deviation of a
            quarter of the range, truncated to the range.

    Raises:
        SpaceError: there is no such parameter.
    """

    name: str
    min_value: float | Decimal
    max_value: float | Decimal
    prior: Literal["uniform", "log-uniform", "normal"] = "uniform"

    def __post_init__(self) -> None:
        _check_name(self.name)
        low, high = float(self.min_value), float(self.max_value)
        if not (isfinite(low) and isfinite(high) and low < high):
            raise SpaceError(f"`max_value` of {self.name!r} must be above `min_value`; got {low} and {high}.")
        if self.prior not in PRIORS:
            raise SpaceError(f"`prior` of {self.name!r} must be one of {', '.join(PRIORS)}; got {self.prior!r}.")
        if self.prior == "log-uniform" and low <= 0:
            raise SpaceError(f"`min_value` of {self.name!r} must be above 0 for the prior log-uniform; got {low}.")


@dataclass(frozen=True, kw_only=True)
class DiscreteParameter:
    """A whole number from `min_value` to `max_value`, both included, in steps.

    Args:
        name: the parameter's name.
        min_value: the lowest.
        max_value: the highest, a whole number of steps above it.
        step: the distance between values.

    Raises:
        SpaceError: there is no such parameter.
    """

    name: str
    min_value: int
    max_value: int
    step: int = 1

    def __post_init__(self) -> None:
        _check_name(self.name)
        for field in ("min_value", "max_value", "step"):
            if not isinstance(getattr(self, field), int) or isinstance(getattr(self, field), bool):
                raise SpaceError(f"`{field}` of {self.name!r} must be a whole number; got {getattr(self, field)!r}.")
        if self.max_value <= self.min_value:
            raise SpaceError(
                f"`max_value` of {self.name!r} must be above `min_value`; got {self.min_value} and {self.max_value}."
            )
        if self.step < 1 or (self.max_value - self.min_value) % self.step:
            raise SpaceError(
                f"`step` of {self.name!r} must be at least 1 and divide the range, {self.max_value - self.min_value}; "
                f"got {self.step}."
            )


@dataclass(frozen=True, kw_only=True)
class CategoricalParameter:
    """One of several options.

    Args:
        name: the parameter's name.
        choices: two or more options.

    Raises:
        SpaceError: there are fewer than two.
    """

    name: str
    choices: Sequence[Any]

    def __post_init__(self) -> None:
        _check_name(self.name)
        if isinstance(self.choices, str) or len(self.choices) < 2:
            raise SpaceError(f"`choices` of {self.name!r} must be a list of two or more; got {self.choices!r}.")


Parameter: TypeAlias = ContinuousParameter | DiscreteParameter | CategoricalParameter


@dataclass(frozen=True, kw_only=True)
class ParameterSpace:
    """The parameters to search.

    Args:
        parameters: one or more, with different names.
        constraints: conditions that params satisfy: texts such as "fast < slow", or functions such as
            ``lambda p: p["fast"] < p["slow"]``. Search algorithms suggest no other params.

    Raises:
        SpaceError: there are none, or two have the same name.
        SettingError: a constraint cannot be read, or names something else than parameters.
    """

    parameters: Sequence[Parameter]
    constraints: Sequence[Any] = ()

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if not names or len(set(names)) < len(names):
            raise SpaceError(f"`parameters` must be a list of one or more, with different names; got {names}.")
        to_space(self)  # says what is wrong with a constraint

    def get_parameter(self, name: str) -> Parameter:
        """Returns the parameter of that name.

        Raises:
            KeyError: there is none.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"there is no parameter {name!r}; there are {[one.name for one in self.parameters]}.")

    def validate_params(self, params: dict[str, Any]) -> bool:
        """Checks the params and returns True.

        Raises:
            SpaceError: a parameter is missing or unknown, or has an invalid value.
        """
        to_space(self).encode([python_values(params)])
        return True

    def cardinality(self) -> int:
        """Returns the number of combinations that satisfy the constraints; -1 for infinitely many, or too many to count."""
        space = to_space(self)
        if space.constraints:
            return -1 if space.size is None else space.size
        counts = [domain.n_values for domain in space.domains]
        return -1 if None in counts else prod(count for count in counts if count is not None)


def to_space(given: Any) -> Space:
    """Converts a parameter space to a space of rbt_ray.

    Args:
        given: a `ParameterSpace`, RustyBT's own, or any `param_space` of `rbt.Tuner`. A list, tuple, range or array in a dict
            is a grid of its values, as in RustyBT; ``rbt.choice([[1, 2]])`` is the constant ``[1, 2]``.

    Raises:
        SpaceError: it is none of these.
    """
    parameters = getattr(given, "parameters", None)
    if not isinstance(parameters, (list, tuple)):
        return Space.of(_with_grids(given))
    space = Space(tuple(one.name for one in parameters), tuple(_domain(one) for one in parameters))
    return space.constrained([text_of(one) for one in getattr(given, "constraints", ())])


def _with_grids(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        is_grid = set(tree) == {"grid_search"}
        return tree if is_grid else {name: _with_grids(value) for name, value in tree.items()}
    return grid_search(list(tree)) if isinstance(tree, (list, tuple, range, np.ndarray)) else tree


def python_values(params: dict[str, Any]) -> dict[str, Any]:
    """Converts decimals to floats, and numpy numbers to Python numbers."""
    return {name: _python_value(value) for name, value in params.items()}


def _python_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value


def _domain(parameter: Any) -> Domain:
    if hasattr(parameter, "choices"):
        return Choice(tuple(parameter.choices))
    if hasattr(parameter, "prior"):
        low, high = float(parameter.min_value), float(parameter.max_value)
        prior = NormalPrior(mean=0.5, sd=0.25) if parameter.prior == "normal" else None
        return Float(low, high, log=parameter.prior == "log-uniform", prior=prior)
    low, high, step = int(parameter.min_value), int(parameter.max_value), int(parameter.step)
    if low % step:  # Stepped holds only multiples of its step
        return Choice(tuple(range(low, high + 1, step)), word="ordinal")
    return Stepped(low // step, (high - low) // step + 1, q=step)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or "/" in name:
        raise SpaceError(f"`name` of a parameter must be a string, not empty and without '/'; got {name!r}.")

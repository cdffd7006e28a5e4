"""RustyBT's parameters, and how they become a space of rbt_ray's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, prod
from typing import Any, Literal, TypeAlias

from rbt_ray.errors import SpaceError
from rbt_ray.study.choices import Choice
from rbt_ray.study.domains import Domain
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.priors import NormalPrior
from rbt_ray.study.space import Space

PRIORS = ("uniform", "log-uniform", "normal")


@dataclass(frozen=True, kw_only=True)
class ContinuousParameter:
    """A number from `min_value` to `max_value`.

    Args:
        name: what the objective knows it by.
        min_value: the lowest.
        max_value: the highest, above it.
        prior: "uniform"; "log-uniform": even in the logarithm; "normal": around the middle, with a deviation of a quarter
            of the range, cut to it.

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
            raise SpaceError(f"`max_value` of {self.name!r} is above `min_value`; got {low} and {high}.")
        if self.prior not in PRIORS:
            raise SpaceError(f"`prior` of {self.name!r} is one of {', '.join(PRIORS)}; got {self.prior!r}.")
        if self.prior == "log-uniform" and low <= 0:
            raise SpaceError(f"`min_value` of {self.name!r} is above 0 for the prior log-uniform; got {low}.")


@dataclass(frozen=True, kw_only=True)
class DiscreteParameter:
    """A whole number from `min_value` to `max_value`, both included, in steps.

    Args:
        name: what the objective knows it by.
        min_value: the lowest.
        max_value: the highest, a number of steps above it.
        step: from one to the next.

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
                raise SpaceError(f"`{field}` of {self.name!r} is a whole number; got {getattr(self, field)!r}.")
        if self.max_value <= self.min_value:
            raise SpaceError(
                f"`max_value` of {self.name!r} is above `min_value`; got {self.min_value} and {self.max_value}."
            )
        if self.step < 1 or (self.max_value - self.min_value) % self.step:
            raise SpaceError(
                f"`step` of {self.name!r} is a number of at least 1 of which the range, {self.max_value - self.min_value}, is "
                f"a multiple; got {self.step}."
            )


@dataclass(frozen=True, kw_only=True)
class CategoricalParameter:
    """One of some options.

    Args:
        name: what the objective knows it by.
        choices: two or more.

    Raises:
        SpaceError: there are fewer.
    """

    name: str
    choices: Sequence[Any]

    def __post_init__(self) -> None:
        _check_name(self.name)
        if isinstance(self.choices, str) or len(self.choices) < 2:
            raise SpaceError(f"`choices` of {self.name!r} is a list of two or more; got {self.choices!r}.")


Parameter: TypeAlias = ContinuousParameter | DiscreteParameter | CategoricalParameter


@dataclass(frozen=True, kw_only=True)
class ParameterSpace:
    """What may vary.

    Args:
        parameters: one or more, of different names.

    Raises:
        SpaceError: there are none, or two of a name.
    """

    parameters: Sequence[Parameter]

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if not names or len(set(names)) < len(names):
            raise SpaceError(f"`parameters` is a list of one or more, of different names; got {names}.")

    def get_parameter(self, name: str) -> Parameter:
        """The parameter of that name.

        Raises:
            KeyError: there is none.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"there is no parameter {name!r}; there are {[one.name for one in self.parameters]}.")

    def validate_params(self, params: dict[str, Any]) -> bool:
        """True.

        Raises:
            SpaceError: these are not values of the parameters, all of them and no others.
        """
        to_space(self).encode([python_values(params)])
        return True

    def cardinality(self) -> int:
        """How many combinations there are; -1 for infinitely many."""
        counts = [domain.n_values for domain in to_space(self).domains]
        return -1 if None in counts else prod(count for count in counts if count is not None)


def to_space(given: Any) -> Space:
    """The space of rbt_ray's that a parameter space stands for.

    Args:
        given: a `ParameterSpace`, RustyBT's own, or whatever `rbt.Tuner` takes as `param_space`.

    Raises:
        SpaceError: it is none of these.
    """
    parameters = getattr(given, "parameters", None)
    if not isinstance(parameters, (list, tuple)):
        return Space.of(given)
    return Space(tuple(one.name for one in parameters), tuple(_domain(one) for one in parameters))


def python_values(params: dict[str, Any]) -> dict[str, Any]:
    """The same with floats in place of decimals, and Python's numbers in place of numpy's."""
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
    if low % step:  # Stepped has multiples of its step only
        return Choice(tuple(range(low, high + 1, step)), word="ordinal")
    return Stepped(low // step, (high - low) // step + 1, q=step)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or "/" in name:
        raise SpaceError(f"`name` of a parameter is a string, not empty and without '/'; got {name!r}.")

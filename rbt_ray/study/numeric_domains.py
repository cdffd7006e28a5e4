"""Domains of numbers: within bounds, evenly stepped, or normally distributed."""

# ruff: noqa: D102  `Domain` documents the methods.

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from rbt_ray.study.domains import Domain
from rbt_ray.study.priors import UNDER_ONE, Prior, normal_quantile, normal_share
from rbt_ray.types import BoolArray, FloatArray, is_real

_TOLERANCE = 1e-9  # relative; covers the rounding of other libraries' logarithms and of text


@dataclass(frozen=True)
class Float(Domain):
    """A float from `lower` to `upper`, both inclusive; with `log`, uniform in its logarithm."""

    lower: float
    upper: float
    log: bool = False
    prior: Prior | None = None

    @property
    def kind(self) -> str:
        return "loguniform" if self.log else "uniform"

    @property
    def takes(self) -> str:
        return f"numbers from {self.lower!r} to {self.upper!r}"

    @property
    def n_values(self) -> None:
        return None

    def from_unit(self, u: FloatArray) -> FloatArray:
        if self.prior is not None:
            u = self.prior.spread(u)
        if self.log:
            start, end = math.log(self.lower), math.log(self.upper)
            return np.clip(np.exp(start + u * (end - start)), self.lower, self.upper)
        return np.clip(self.lower + u * (self.upper - self.lower), self.lower, self.upper)

    def to_unit(self, column: FloatArray) -> FloatArray:
        if self.log:
            start, end = math.log(self.lower), math.log(self.upper)
            u = (np.log(column) - start) / (end - start)
        else:
            u = (column - self.lower) / (self.upper - self.lower)
        u = np.clip(u, 0.0, UNDER_ONE)
        return u if self.prior is None else self.prior.level(u)

    def has(self, column: FloatArray) -> BoolArray:
        there: BoolArray = (column >= self.lower) & (column <= self.upper)
        return there

    def to_python(self, column: FloatArray) -> list[Any]:
        plain: list[Any] = column.tolist()
        return plain

    def to_column(self, value: Any) -> float | None:
        number = _number(value)
        if number is None or not _within(number, self.lower, self.upper):
            return None
        return min(max(number, self.lower), self.upper)

    def to_json(self) -> dict[str, Any]:
        return _with_prior({"kind": self.kind, "lower": self.lower, "upper": self.upper}, self.prior)


@dataclass(frozen=True)
class Stepped(Domain):
    """The multiples `first * q` to `(first + n - 1) * q`; with `log`, uniform in their logarithm.

    Decimal steps give the floats nearest to the decimals: the third multiple of 0.1 is 0.3.

    Args:
        first: the first multiple.
        n: how many multiples.
        q: the step.
        integer: whether the values are ints.
        log: whether multiple k has a probability proportional to log((k + 1) / k), as in Ray Tune.
        prior: the distribution of draws; None: uniform.
    """

    first: int
    n: int
    q: float = 1
    integer: bool = True
    log: bool = False
    prior: Prior | None = None

    @property
    def kind(self) -> str:
        words = "quniform", "qloguniform", "qrandint", "qlograndint"
        kind = words[2 * self.integer + self.log]
        return kind[1:] if self.integer and self.q == 1 else kind

    @property
    def takes(self) -> str:
        what = "whole numbers" if self.integer and self.q == 1 else f"multiples of {self.q!r}"
        first, last = self.to_python(self._value(np.array([0.0, self.n - 1.0])))
        return f"{what} from {first!r} to {last!r}"

    @property
    def n_values(self) -> int:
        return self.n

    @cached_property
    def _scale(self) -> tuple[float, float]:
        """Returns two numbers whose ratio is q; exact ones if q has few decimals."""
        decimals = -int(Decimal(repr(self.q)).normalize().as_tuple().exponent)
        if 0 < decimals <= 15:
            above = float(Decimal(repr(self.q)).scaleb(decimals))
            if above * max(abs(self.first), abs(self.first + self.n)) < 2**53:
                return above, 10.0**decimals
        return float(self.q), 1.0

    def _value(self, index: FloatArray) -> FloatArray:
        above, below = self._scale
        return (index + self.first) * above / below

    def _index(self, column: FloatArray) -> FloatArray:
        above, below = self._scale
        return np.rint(column * below / above) - self.first

    def from_unit(self, u: FloatArray) -> FloatArray:
        if self.prior is not None:
            u = self.prior.spread(u)
        if self.log:
            start, end = math.log(self.first), math.log(self.first + self.n)
            index = np.floor(np.exp(start + u * (end - start))) - self.first
        else:
            index = np.floor(u * self.n)
        return self._value(np.clip(index, 0, self.n - 1))

    def to_unit(self, column: FloatArray) -> FloatArray:
        index = self._index(column)
        if self.log:
            start, end = math.log(self.first), math.log(self.first + self.n)
            centre = (np.log(index + self.first) + np.log(index + self.first + 1)) / 2
            u = (centre - start) / (end - start)
        else:
            u = (index + 0.5) / self.n
        return u if self.prior is None else self.prior.level(u)

    def nth(self, index: FloatArray) -> FloatArray:
        return self._value(index)

    def has(self, column: FloatArray) -> BoolArray:
        column = np.where(np.isfinite(column), column, np.nan)
        index = self._index(column)
        off = np.abs(self._value(index) - column)
        there: BoolArray = (index >= 0) & (index < self.n) & (off <= _TOLERANCE * np.maximum(np.abs(column), self.q))
        return there

    def to_python(self, column: FloatArray) -> list[Any]:
        plain: list[Any] = (column.astype(np.int64) if self.integer else column).tolist()
        return plain

    def to_column(self, value: Any) -> float | None:
        number = _number(value)
        if number is None:
            return None
        index = self._index(np.array([number]))
        nearest = float(self._value(index)[0])
        if not 0 <= index[0] < self.n or abs(nearest - number) > _TOLERANCE * max(abs(number), self.q):
            return None
        return nearest

    def to_json(self) -> dict[str, Any]:
        first, last = self.to_python(self._value(np.array([0.0, self.n - 1.0])))
        return _with_prior({"kind": self.kind, "lower": first, "upper": last, "q": self.q}, self.prior)


@dataclass(frozen=True)
class Normal(Domain):
    """A normally distributed float; with `q`, rounded to a multiple of it."""

    mean: float
    sd: float
    q: float | None = None

    @property
    def kind(self) -> str:
        return "normal" if self.q is None else "qnormal"

    @property
    def takes(self) -> str:
        return "finite numbers" if self.q is None else f"multiples of {self.q!r}"

    @property
    def n_values(self) -> None:
        return None

    def from_unit(self, u: FloatArray) -> FloatArray:
        return self._rounded(self.mean + self.sd * normal_quantile(u))

    def to_unit(self, column: FloatArray) -> FloatArray:
        return np.clip(normal_share((column - self.mean) / self.sd), 0.0, UNDER_ONE)

    def has(self, column: FloatArray) -> BoolArray:
        return np.isfinite(column)

    def to_python(self, column: FloatArray) -> list[Any]:
        plain: list[Any] = column.tolist()
        return plain

    def to_column(self, value: Any) -> float | None:
        number = _number(value)
        if number is None:
            return None
        nearest = float(self._rounded(np.array([number]))[0])
        return nearest if abs(nearest - number) <= _TOLERANCE * max(abs(number), self.q or 0.0) else None

    def _rounded(self, column: FloatArray) -> FloatArray:
        return column if self.q is None else np.rint(column / self.q) * self.q

    def to_json(self) -> dict[str, Any]:
        held = {"kind": self.kind, "mean": self.mean, "sd": self.sd}
        return held if self.q is None else {**held, "q": self.q}


def _with_prior(held: dict[str, Any], prior: Prior | None) -> dict[str, Any]:
    return held if prior is None else {**held, "prior": prior.to_json()}


def _number(value: Any) -> float | None:
    if not is_real(value):
        return None
    return float(value) if math.isfinite(value) else None


def _within(number: float, lower: float, upper: float) -> bool:
    return lower - _TOLERANCE * abs(lower) <= number <= upper + _TOLERANCE * abs(upper)

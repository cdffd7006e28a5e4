"""Names of fields, their order, and reading them as attributes."""

from __future__ import annotations

from collections.abc import Iterable

from rbt_ray.errors import BundleError
from rbt_ray.nearest import did_you_mean
from rbt_ray.types import FloatArray

PRICES = ("open", "high", "low", "close")
STANDARD = (*PRICES, "volume")


class MissingFieldError(BundleError, AttributeError):
    """The bundle has no field of that name; an AttributeError too, so that `hasattr` answers."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Open, high, low, close and volume first, then the others by name."""
    present = set(names)
    return (*(name for name in STANDARD if name in present), *sorted(present.difference(STANDARD)))


def missing(name: object, fields: tuple[str, ...]) -> MissingFieldError:
    """The error for a field that is not there, naming the nearest one that is."""
    hint = did_you_mean(name, fields)
    its = ", ".join(fields)
    return MissingFieldError(f"This bundle has no field {name!r}; its fields are {its}{': ' + hint if hint else '.'}")


class Fields:
    """Reads the usual fields as attributes, each ``(n_bars, n_symbols)`` float64 and read-only."""

    __slots__ = ()

    def __getitem__(self, field: str) -> FloatArray:
        """Values of any field; `MissingFieldError` where there is none of that name."""
        raise NotImplementedError

    @property
    def high(self) -> FloatArray:
        """Highest prices of each bar."""
        return self["high"]

    @property
    def low(self) -> FloatArray:
        """Lowest prices of each bar."""
        return self["low"]

    @property
    def close(self) -> FloatArray:
        """Closing prices; every bundle has them."""
        return self["close"]

    @property
    def volume(self) -> FloatArray:
        """Units traded in each bar."""
        return self["volume"]

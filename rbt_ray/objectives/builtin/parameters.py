"""The parameters of built-in objectives, and checks of their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.errors import InputError
from rbt_ray.nearest import nearest
from rbt_ray.types import BoolArray, Config, FloatArray, is_real


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number between two inclusive bounds; `whole` for a number of bars."""

    name: str
    least: float
    most: float = math.inf
    whole: bool = False

    def allows(self, values: FloatArray) -> BoolArray:
        """Returns which values are allowed; NaN and infinity never are."""
        allowed = np.isfinite(values) & (values >= self.least) & (values <= self.most)
        return allowed & (values == np.floor(values)) if self.whole else allowed

    def __str__(self) -> str:
        kind = "a whole number of bars" if self.whole else "a number"
        if self.most < math.inf:
            return f"{kind} from {self.least:g} to {self.most:g}"
        return f"{kind}, at least {self.least:g}" if self.least > -math.inf else kind


def bars(name: str, least: int = 1) -> Parameter:
    """Returns a parameter that is a number of bars."""
    return Parameter(name, least, whole=True)


def check_names(owner: str, parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> None:
    """Checks that the names are exactly those of the parameters.

    Raises:
        InputError: one is unknown or missing.
    """
    names = [parameter.name for parameter in parameters]
    takes = f"`{owner}` takes {', '.join(f'`{name}`' for name in names)}"
    for name in given:
        if name not in names:
            raise InputError(f"{takes}; got an unknown {name!r}: {nearest(name, names)}")
    for name in names:
        if name not in given:
            raise InputError(f"{takes}; {name!r} is missing: got {', '.join(map(repr, given)) or 'none'}.")


def check_values(owner: str, parameters: tuple[Parameter, ...], columns: Mapping[str, FloatArray]) -> None:
    """Checks that all values in the columns are allowed.

    Raises:
        InputError: a value is out of bounds, or not a whole number where it has to be.
    """
    for parameter in parameters:
        values = columns[parameter.name]
        allowed = parameter.allows(values)
        if not allowed.all():
            raise InputError(f"`{parameter.name}` of `{owner}` is {parameter}; got {values[~allowed][0]:g}.")


def as_columns(owner: str, parameters: tuple[Parameter, ...], config: Config) -> dict[str, FloatArray]:
    """A config as columns of length one, checked.

    Raises:
        InputError: a name or a value is not as it should be.
    """
    check_names(owner, parameters, config)
    for parameter in parameters:
        value = config[parameter.name]
        if not is_real(value):
            raise InputError(f"`{parameter.name}` of `{owner}` is {parameter}; got {value!r}.")
    columns = {parameter.name: np.array([float(config[parameter.name])]) for parameter in parameters}
    check_values(owner, parameters, columns)
    return columns

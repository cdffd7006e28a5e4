"""Constraints on the samples of a space of Ray Tune."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.errors import NotSupportedError
from rbt_ray.study import values
from rbt_ray.study.constraint import Constraint
from rbt_ray.study.constraint_parser import Names, parse_all
from rbt_ray.study.space import Space


@dataclass(frozen=True)
class SampleConstraints:
    """Conditions that every sample satisfies.

    Args:
        constraints: the parsed conditions.
        names: the parameters and constants that they can name.
    """

    constraints: tuple[Constraint, ...]
    names: Names

    @classmethod
    def of(cls, texts: Sequence[str], names: Names) -> SampleConstraints:
        """Returns the constraints in some texts.

        Raises:
            SettingError: one of them is no constraint.
            NotSupportedError: one has a name that is no parameter.
        """
        constraints = parse_all(texts, names)
        _refuse_metrics(constraints, names)
        return cls(constraints, names)

    def allow(self, config: Mapping[str, Any]) -> bool:
        """Returns whether a config satisfies all of them."""
        if not self.constraints:
            return True
        columns = {}
        flat = dict(_flat(config))
        for name, options in self.names.parameters.items():
            value = flat.get(name)
            if options is not None:
                value = next((place for place, option in enumerate(options) if values.same(option, value)), None)
            is_number = isinstance(value, (int, float))
            columns[name] = np.array([value if is_number else np.nan], dtype=np.float64)
        return all(bool(one.satisfied(columns)[0]) for one in self.constraints)


def constrained_space(param_space: Any, constraints: Sequence[str]) -> Space:
    """Returns a searcher's space with constraints; raises as `SampleConstraints.of`."""
    space = Space.of(param_space)
    _refuse_metrics(parse_all(constraints, space.known_names), space.known_names)
    return space.constrained(constraints)


def _refuse_metrics(constraints: Sequence[Constraint], names: Names) -> None:
    """Raises NotSupportedError if a constraint names something else than parameters and constants."""
    for one in constraints:
        if one.metrics:
            raise NotSupportedError(
                f"the constraint {one.text!r} has the name `{one.metrics[0]}`, but {names}. `rbt_ray.tune` has constraints on "
                f"parameters only; `rbt.Tuner` has those on metrics too."
            )


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value

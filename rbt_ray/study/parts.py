"""The parts of a space, collected from a user's `param_space`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rbt_ray.errors import SpaceError
from rbt_ray.study import values
from rbt_ray.study.conditions import Expression
from rbt_ray.study.domains import Domain


@dataclass
class Parts:
    """The parts of a space; `Space` documents them."""

    domains: dict[str, Domain] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    conditions: list[tuple[str, Expression]] = field(default_factory=list)
    forbidden: list[Expression] = field(default_factory=list)

    def add(self, name: str, part: Any) -> None:
        """Adds a parameter if `part` is a domain, otherwise a constant."""
        self.order.append(name)
        if isinstance(part, Domain):
            self.domains[name] = part
        else:
            self.constants[name] = values.to_python(part)


def check_name(key: Any, where: str) -> str:
    """Returns a parameter's name after checking it.

    Raises:
        SpaceError: it is not a string, is empty, or contains a "/".
    """
    if not isinstance(key, str):
        raise SpaceError(f"parameters{where} have names of type str; got {key!r} of type {type(key).__name__}.")
    if not key or "/" in key:
        raise SpaceError(
            f"a parameter's name{where} has at least one letter and no '/', which joins the names of nested dicts; "
            f"got {key!r}. To nest, write {{'opt': {{'lr': ...}}}}."
        )
    return key

"""The names of parameters, flat and nested (``{"opt": {"lr": 0.1}}`` is the column "opt/lr"), and the parts of a space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, TypeAlias

from rbt_ray.errors import SpaceError
from rbt_ray.nearest import nearest
from rbt_ray.study import values
from rbt_ray.study.conditions import Expression
from rbt_ray.study.domains import Domain
from rbt_ray.types import Config

Tree: TypeAlias = dict[str, "str | Tree"]
"""Flat names, nested as the configs are."""

ABSENT = object()
"""Marks a parameter that a config does not have."""


def tree_of(names: Iterable[str]) -> Tree:
    """Returns the shape of configs with the given flat names."""
    tree: Tree = {}
    for name in names:
        *groups, leaf = name.split("/")
        at = tree
        for group in groups:
            inner = at.setdefault(group, {})
            if isinstance(inner, str):
                raise SpaceError(
                    f"`{name}` needs `{inner}` to be a dict of parameters, and `{inner}` is a parameter itself."
                )
            at = inner
        at[leaf] = name
    return tree


def nest(tree: Tree, columns: Mapping[str, Sequence[Any]], n: int, *, sparse: bool) -> list[Config]:
    """Returns `n` configs of a shape from columns of Python values; with `sparse`, some values may be `ABSENT`."""
    parts = [
        columns[below] if isinstance(below, str) else nest(below, columns, n, sparse=sparse) for below in tree.values()
    ]
    if not parts:
        return [{} for _ in range(n)]
    keys = tuple(tree)
    if sparse:
        rows = zip(*parts, strict=True)
        return [{k: v for k, v in zip(keys, row, strict=True) if v is not ABSENT} for row in rows]
    return list(map(dict, map(zip, repeat(keys), zip(*parts, strict=True))))


def flatten(config: Config, tree: Tree, where: str) -> Iterator[tuple[str, Any]]:
    """Yields flat names and values of a config of a shape; a dict is a value where the shape has no group.

    Args:
        config: a config nested as `tree` is.
        tree: the shape.
        where: the name of the config in errors.

    Raises:
        SpaceError: a name is not in the tree, or a value takes the place of a group.
    """
    if not isinstance(config, Mapping):
        raise SpaceError(f"{where} is a dict of parameters; got {config!r} of type {type(config).__name__}.")
    for key, value in config.items():
        below = tree.get(key)
        if below is None:
            raise SpaceError(f"{where} has `{key}`, which is not a parameter; {nearest(str(key), tree)}")
        if isinstance(below, str):
            yield below, value
        else:
            yield from flatten(value, below, f"`{key}` of {where}")


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

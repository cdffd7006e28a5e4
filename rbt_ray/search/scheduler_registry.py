"""Schedulers by name: the built-in ones, and those of other packages' entry points. Register a built-in one in `_SCHEDULERS`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

from rbt_ray import plugins
from rbt_ray.errors import InputError, JournalError, SettingError
from rbt_ray.nearest import nearest
from rbt_ray.search.scheduler import Scheduler

_SCHEDULERS = {
    "hyperband": "rbt_ray.search.hyperband:Hyperband",
    "asha": "rbt_ray.search.asha:ASHA",
    "successive_halving": "rbt_ray.search.hyperband:SuccessiveHalving",
    "median": "rbt_ray.search.asha:MedianStopping",
}
_SCHEDULER_PLUGINS = "rbt_ray.schedulers"


def scheduler_names() -> list[str]:
    """Returns the names that a `scheduler` may have."""
    return [*_SCHEDULERS, *plugins.names(_SCHEDULER_PLUGINS)]


def scheduler_class(name: str) -> type[Any] | None:
    """Returns the class of a scheduler; None if the name is unknown.

    Raises:
        InputError: two packages define the name, or the package that defines it cannot be imported.
    """
    return load_built_in(_SCHEDULERS[name]) if name in _SCHEDULERS else plugins.load(_SCHEDULER_PLUGINS, name)


def scheduler_to_json(scheduler: Any) -> dict[str, Any] | None:
    """Returns the name and settings of a user's `scheduler`, for a study's definition.

    Raises:
        SettingError: it is neither a known name nor an object of a known class.
        InputError: two packages define the name, or the package that defines it cannot be imported.
    """
    if scheduler is None:
        return None
    if isinstance(scheduler, str):
        refuse_second_definition(scheduler, tuple(_SCHEDULERS), _SCHEDULER_PLUGINS)
        made = scheduler_class(scheduler)
        if made is None:
            known = scheduler_names()
            raise SettingError(
                f"`scheduler` is one of {', '.join(known)}; got {scheduler!r}: {nearest(scheduler, known)}"
            )
        try:
            name, scheduler = scheduler, made()
        except TypeError as error:
            raise SettingError(f"`scheduler` {scheduler!r} has a setting without a default: {error}.") from error
    else:
        classes = ((name, scheduler_class(name)) for name in scheduler_names())
        name = next((name for name, known_class in classes if type(scheduler) is known_class), "")
    if not name or not is_dataclass(scheduler) or not isinstance(scheduler, Scheduler):
        raise SettingError(
            f"`scheduler` is None, {', '.join(scheduler_names())}, or an object such as rbt.ASHA(); got {scheduler!r}."
        )
    return {"name": name, **asdict(scheduler)}


def scheduler_from_json(held: Mapping[str, Any] | None) -> Scheduler | None:
    """Returns the scheduler of a study's definition.

    Raises:
        JournalError: nobody defines it, or it has no such settings.
        InputError: two packages define the name, or the package that defines it cannot be imported.
    """
    if held is None:
        return None
    options = {key: value for key, value in held.items() if key != "name"}
    with damage_explained("scheduler"):
        made = scheduler_class(held["name"])
        if made is None:
            raise KeyError(held["name"])
        scheduler: Scheduler = made(**options)
    return scheduler


def refuse_second_definition(name: str, built_in: tuple[str, ...], *groups: str) -> None:
    """Raises an InputError if a package redefines a built-in name, or packages define it in two groups."""
    defining = [group for group in groups if name in plugins.names(group)]
    if defining and name in built_in:
        raise InputError(
            f"The name {name!r} is built into rbt_ray, and an installed package defines it in the entry points "
            f"{defining[0]!r} as well. Uninstall that package or rename its entry point."
        )
    if len(defining) > 1:
        raise InputError(
            f"The name {name!r} is defined more than once: in the entry points {' and '.join(map(repr, defining))}. "
            f"Uninstall one of the packages or rename its entry point."
        )


@contextmanager
def damage_explained(part: str) -> Iterator[None]:
    """Raises a JournalError if names and settings from a journal are unknown: it is damaged, or of a later version."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise JournalError(
            f"the study's {part} is unknown to this version of rbt_ray and to the installed packages: {error!r}."
        ) from error


def load_built_in(address: str) -> Any:
    """Imports an object by its address, "module:name"."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)

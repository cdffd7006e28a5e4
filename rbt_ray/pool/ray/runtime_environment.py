"""Checks `RunConfig(runtime_env=...)` before Ray gets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ray.runtime_env import RuntimeEnv

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest


def checked(runtime_env: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the arguments of `ray.init` for this environment, with absolute paths; none for no environment.

    Raises:
        SettingError: a folder does not exist, or Ray knows no such field or value.
    """
    if not runtime_env:
        return {}
    environment = dict(runtime_env)
    known = sorted(name for name in RuntimeEnv.known_fields if not name.startswith("_"))
    for name in environment:
        if name not in RuntimeEnv.known_fields and "RAY_RUNTIME_ENV_PLUGINS" not in os.environ:  # Ray would ignore it
            raise SettingError(f"`runtime_env` has no field {name!r}: {nearest(name, known)}")
    if "working_dir" in environment:
        environment["working_dir"] = _place("working_dir", environment["working_dir"])
    if isinstance(environment.get("py_modules"), (list, tuple)):
        environment["py_modules"] = [_place("py_modules", module) for module in environment["py_modules"]]
    try:
        RuntimeEnv(**environment)
    except (TypeError, ValueError, OSError) as error:
        raise SettingError(f"`runtime_env`: {error}") from error
    return {"runtime_env": environment}


def _place(name: str, place: Any) -> Any:
    """Returns a URI as it is, and the absolute path of a module, folder or file."""
    if isinstance(place, ModuleType):
        place = next(iter(getattr(place, "__path__", ())), place.__file__)
    if not isinstance(place, (str, Path)) or "://" in str(place):
        return place
    path = Path(place).expanduser().absolute()
    if not path.exists():
        raise SettingError(f"`runtime_env`: {name} {str(place)!r} does not exist on this machine.")
    return str(path)

"""Says how to send workers a module that the objective needs and that they do not have."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import packages_distributions, version
from pathlib import Path

from rbt_ray.objectives.fingerprint.own_code import is_own_file

_MISSING = re.compile(r"No module named '([\w.]+)'")


def how_to_send(message: str) -> str:
    """Returns a sentence with the setting that sends the module which a worker's error names; "" if there is none.

    The driver sends the source of the user's own modules by itself, but neither compiled extensions nor installed packages.

    Args:
        message: the error of a worker that could not load the objective.
    """
    if (found := _MISSING.search(message)) is None or (setting := _setting(found[1].partition(".")[0])) is None:
        return ""
    return f" The driver has it: `RunConfig(runtime_env={setting!r})` sends it to them."


def _setting(name: str) -> dict[str, object] | None:
    """Returns the `runtime_env` that provides a top-level module of the driver."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # such as for a module without a spec
        return None
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    places = [Path(place) for place in spec.submodule_search_locations or () if place]
    file = None if spec.origin is None else Path(spec.origin)
    if (place := file or next(iter(places), None)) is None:
        return None
    if is_own_file(str(place)):
        return {"py_modules": [str(places[0])]} if places else {"working_dir": str(place.parent)}
    distributions = packages_distributions().get(name)
    return {"pip": [f"{one}=={version(one)}" for one in distributions]} if distributions else None

"""The names by which fingerprints know modules of rbt_ray that users' code can refer to.

A study compares its objective's fingerprint when it is resumed. Such a module keeps the name that studies have recorded
when its file moves: add the new name here.
"""

from __future__ import annotations

from typing import Any

_RECORDED = {
    "rbt_ray.compat.ray_tune": "rbt_ray.tune.ported",
    "rbt_ray.compat.ray_tune.logger": "rbt_ray.tune.logger",
    "rbt_ray.compat.ray_tune.schedulers": "rbt_ray.tune.schedulers",
    "rbt_ray.compat.ray_tune.stopper": "rbt_ray.tune.stopper",
    "rbt_ray.compat.ray_tune.trainable_objective": "rbt_ray.tune.ported.runner",
    "rbt_ray.compat.ray_tune.trainable_spec": "rbt_ray.tune.ported.dressed",
    "rbt_ray.compat.ray_tune.trial_folder": "rbt_ray.tune.ported.records",
    "rbt_ray.compat.ray_tune.unsupported": "rbt_ray.tune.ported.refused",
    "rbt_ray.compat.rustybt.search_algorithms": "rbt_ray.compat.rustybt.strategies",
    "rbt_ray.objectives.data_provider": "rbt_ray.objectives.own_data",
    "rbt_ray.objectives.strategy_adapter": "rbt_ray.objectives.adapted",
    "rbt_ray.tuner": "rbt_ray.tune",
}
"""By a module's name or its package's."""


def module_of(value: Any) -> Any:
    """The name of the module that defines a function or a class, as studies have recorded it; None where it has none."""
    name = getattr(value, "__module__", None)
    if not isinstance(name, str) or not name.startswith("rbt_ray."):
        return name
    if name in _RECORDED:
        return _RECORDED[name]
    package, _, last = name.rpartition(".")
    return f"{_RECORDED.get(package, package)}.{last}"

"""Ray Tune's interface: `from rbt_ray import tune` in place of `from ray import tune`.

The module re-exports names of `rbt_ray.compat.ray_tune` and loads them on first use. `rbt_ray.tuner` is the native Tuner.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "rbt_ray.errors": ("TuneError",),
    "rbt_ray.compat.ray_tune.callback": ("Callback",),
    "rbt_ray.compat.ray_tune.checkpoint": ("Checkpoint",),
    "rbt_ray.compat.ray_tune.trainable_spec": ("register_trainable", "with_parameters", "with_resources"),
    "rbt_ray.compat.ray_tune.unsupported": (
        "CLIReporter",
        "Experiment",
        "ExperimentAnalysis",
        "JupyterNotebookReporter",
        "PlacementGroupFactory",
        "ProgressReporter",
        "ResumeConfig",
        "create_searcher",
        "register_env",
        "run",
        "run_experiments",
    ),
    "rbt_ray.compat.ray_tune.results": ("Result", "ResultGrid"),
    "rbt_ray.compat.ray_tune.session": ("TuneContext", "get_checkpoint", "get_context", "report"),
    "rbt_ray.compat.ray_tune.settings": ("CheckpointConfig", "FailureConfig", "RunConfig", "SyncConfig", "TuneConfig"),
    "rbt_ray.compat.ray_tune.spaces": (
        "choice",
        "grid_search",
        "lograndint",
        "loguniform",
        "qlograndint",
        "qloguniform",
        "qrandint",
        "qrandn",
        "quniform",
        "randint",
        "randn",
        "sample_from",
        "uniform",
    ),
    "rbt_ray.compat.ray_tune.trainable": ("Trainable",),
    "rbt_ray.compat.ray_tune.tuner": ("Tuner",),
    "rbt_ray.compat.ray_tune.schedulers": ("create_scheduler",),
    "rbt_ray.compat.ray_tune.stopper": ("Stopper",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("logger", "result", "schedulers", "search", "stopper")

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"rbt_ray.tune.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rbt_ray.tune' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]

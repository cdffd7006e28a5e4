"""The Tune-style front: `from rbt_ray import tune` in place of `from ray import tune`.

Its names are below and load when first used. The modules beside it are our own Tuner, TuneConfig, RunConfig and
ResultGrid, which `rbt_ray` offers under these names too, with what Ray Tune does not have.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "rbt_ray.errors": ("TuneError",),
    "rbt_ray.tune.ported.callback": ("Callback",),
    "rbt_ray.tune.ported.checkpoint": ("Checkpoint",),
    "rbt_ray.tune.ported.dressed": ("register_trainable", "with_parameters", "with_resources"),
    "rbt_ray.tune.ported.refused": (
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
    "rbt_ray.tune.ported.results": ("Result", "ResultGrid"),
    "rbt_ray.tune.ported.session": ("TuneContext", "get_checkpoint", "get_context", "report"),
    "rbt_ray.tune.ported.settings": ("CheckpointConfig", "FailureConfig", "RunConfig", "SyncConfig", "TuneConfig"),
    "rbt_ray.tune.ported.spaces": (
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
    "rbt_ray.tune.ported.trainable": ("Trainable",),
    "rbt_ray.tune.ported.tuner": ("Tuner",),
    "rbt_ray.tune.schedulers": ("create_scheduler",),
    "rbt_ray.tune.stopper": ("Stopper",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rbt_ray.tune' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "logger", "schedulers", "stopper"]

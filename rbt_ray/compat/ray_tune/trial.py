"""A trial in Ray Tune's sense: one sample of the space and all it reports, however often our engine comes back to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.study import values

PENDING, RUNNING, TERMINATED, ERROR = "PENDING", "RUNNING", "TERMINATED", "ERROR"


@dataclass(eq=False)
class Trial:
    """What callbacks, and functions that name trials, see of one.

    Args:
        trial_id: the same in every process, and after a restore.
        trainable_name: of the function or class.
        config: its config.
        experiment_path: the study's folder.
    """

    trial_id: str
    trainable_name: str
    config: dict[str, Any]
    experiment_path: str
    status: str = PENDING
    last_result: dict[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    error: str | None = None
    custom_name: str | None = None
    custom_dirname: str | None = None

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """The config, flat."""
        return flatten(self.config)

    @property
    def experiment_tag(self) -> str:
        """The number of the trial, as text."""
        return self.trial_id.rpartition("_")[2]

    @property
    def path(self) -> str:
        """The trial's folder."""
        return str(Path(self.experiment_path, self.custom_dirname or f"{self.trainable_name}_{self.trial_id}"))

    local_path = logdir = path

    def init_local_path(self) -> None:
        """Makes the folder."""
        private_files.make_folder(Path(self.path), flush=False)

    def __str__(self) -> str:
        return self.custom_name or f"{self.trainable_name}_{self.trial_id}"

    __repr__ = __str__


@dataclass(frozen=True)
class TrialNaming:
    """How trials of a study are called.

    Args:
        prefix: of all its trials' ids.
        trainable_name: of the function or class.
        experiment_path: the study's folder.
        names: of each sample, its name and that of its folder, where the user's functions made them; None: ours.
    """

    prefix: str
    trainable_name: str
    experiment_path: str = ""
    names: Sequence[tuple[str | None, str | None]] | None = None

    def trial(self, number: int | None, config: Mapping[str, Any]) -> Trial:
        """The trial of a sample; without a number it is called by a hash of its config."""
        mark = f"{number:05d}" if number is not None else _hash(config)
        trial = Trial(f"{self.prefix}_{mark}", self.trainable_name, copy_tree(config), self.experiment_path)
        if number is not None and self.names is not None:
            trial.custom_name, trial.custom_dirname = self.names[number]
        return trial


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, their names joined by "/"."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found |= flatten(value, f"{name}/") if isinstance(value, Mapping) and value else {name: value}
    return found


def copy_tree(tree: Any) -> Any:
    """Dicts, lists and tuples anew, what they hold as it is: models and data in a config are not copied."""
    if isinstance(tree, Mapping):
        return {key: copy_tree(value) for key, value in tree.items()}
    if type(tree) is tuple:
        return tuple(copy_tree(value) for value in tree)
    return [copy_tree(value) for value in tree] if isinstance(tree, list) else tree


def to_python(tree: Any) -> Any:
    """The same with Python's numbers and texts in place of numpy's, which no JSON holds; dates stay as they are."""
    if isinstance(tree, Mapping):
        return {key: to_python(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(to_python(value) for value in tree)
    return tree.item() if isinstance(tree, np.generic) and tree.dtype.kind in "biufU" else tree


def _hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values.to_json(dict(config)), sort_keys=True).encode()).hexdigest()[:10]

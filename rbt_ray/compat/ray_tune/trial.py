"""Trials: their names, folders, reports and checkpoints.

A trial is one sample of the space, however often the engine continues it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.study import values

PENDING, RUNNING, TERMINATED, ERROR = "PENDING", "RUNNING", "TERMINATED", "ERROR"


@dataclass(eq=False)
class Trial:
    """A trial, as callbacks and functions that name trials receive it.

    Args:
        trial_id: its id, the same in every process and after a restore.
        trainable_name: the name of the function or class.
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
        """The config as a flat dict."""
        return flatten(self.config)

    @property
    def experiment_tag(self) -> str:
        """The trial's number as a string."""
        return self.trial_id.rpartition("_")[2]

    @property
    def path(self) -> str:
        """The trial's folder."""
        return str(Path(self.experiment_path, self.custom_dirname or f"{self.trainable_name}_{self.trial_id}"))

    local_path = logdir = path

    def init_local_path(self) -> None:
        """Creates the folder."""
        private_files.make_folder(Path(self.path), flush=False)

    def __str__(self) -> str:
        return self.custom_name or f"{self.trainable_name}_{self.trial_id}"

    __repr__ = __str__


@dataclass(frozen=True)
class TrialNaming:
    """Names of a study's trials.

    Args:
        prefix: prefix of the trials' ids.
        trainable_name: name of the function or class.
        experiment_path: the study's folder.
        names: for each sample, the names of the trial and its folder, if the user's functions made them; None: default names.
    """

    prefix: str
    trainable_name: str
    experiment_path: str = ""
    names: Sequence[tuple[str | None, str | None]] | None = None

    def trial(self, number: int | None, config: Mapping[str, Any]) -> Trial:
        """Returns the trial of a sample; without a number, its id contains a hash of the config."""
        mark = f"{number:05d}" if number is not None else _hash(config)
        trial = Trial(f"{self.prefix}_{mark}", self.trainable_name, copy_tree(config), self.experiment_path)
        if number is not None and self.names is not None:
            trial.custom_name, trial.custom_dirname = self.names[number]
        return trial


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts, joining names by "/"."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found |= flatten(value, f"{name}/") if isinstance(value, Mapping) and value else {name: value}
    return found


def copy_tree(tree: Any) -> Any:
    """Copies dicts, lists and tuples, but not the models and data in them."""
    if isinstance(tree, Mapping):
        return {key: copy_tree(value) for key, value in tree.items()}
    if type(tree) is tuple:
        return tuple(copy_tree(value) for value in tree)
    return [copy_tree(value) for value in tree] if isinstance(tree, list) else tree


def to_python(tree: Any) -> Any:
    """Converts numpy scalars, which JSON cannot hold, to Python numbers and strings; leaves dates unchanged."""
    if isinstance(tree, Mapping):
        return {key: to_python(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(to_python(value) for value in tree)
    return tree.item() if isinstance(tree, np.generic) and tree.dtype.kind in "biufU" else tree


def _hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values.to_json(dict(config)), sort_keys=True).encode()).hexdigest()[:10]


Report = dict[str, Any]
CHECKPOINT_DIR = "checkpoint_dir_name"
_FILE = "reports.jsonl"
_CHECKPOINT = re.compile(r"checkpoint_\d{6,}")
_END = {"trial_ended": True}
"""The last line of a trial that finished or met its stop criteria: no report follows."""


class TrialFolder:
    """A trial's folder: its reports, one JSON line each, and its checkpoints.

    Args:
        folder: created by the first write.
        keep: which checkpoints to keep.
    """

    CONFIG_FILE = "params.json"

    def __init__(self, folder: str | Path, keep: CheckpointConfig) -> None:
        self._folder, self._keep = Path(folder), keep

    def read(self) -> tuple[list[Report], bool]:
        """Returns the reports up to the first damaged line, and whether the trial has ended."""
        found: list[Report] = []
        file = self._folder / _FILE
        for line in file.read_text(errors="replace").splitlines() if file.exists() else ():
            try:
                report = json.loads(line)
            except ValueError:
                break
            if not isinstance(report, dict):
                break
            found.append(report)
        ended = bool(found) and found[-1] == _END
        if ended and len(found) > 1:
            found[-2]["done"] = True
        return (found[:-1] if ended else found), ended

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the trial's config; objects that JSON cannot hold as their string."""
        private_files.make_folder(self._folder, flush=False)
        private_files.write(self._folder / self.CONFIG_FILE, to_json(config))

    def begin(self, reports: list[Report]) -> None:
        """Restarts the file with these reports."""
        private_files.make_folder(self._folder, flush=False)
        private_files.write(self._folder / _FILE, "".join(f"{to_json(report)}\n" for report in reports))

    def add(self, report: Report) -> None:
        """Appends a report."""
        private_files.append(self._folder / _FILE, f"{to_json(report)}\n")

    def end(self) -> None:
        """Marks the trial as ended."""
        self.add(_END)

    def latest(self, reports: list[Report]) -> tuple[int, Checkpoint] | None:
        """Returns the number of the last report whose checkpoint exists, counted from 1, and that checkpoint."""
        for number in range(len(reports), 0, -1):
            if (checkpoint := self.checkpoint(reports[number - 1])) is not None:
                return number, checkpoint
        return None

    def checkpoint(self, report: Report) -> Checkpoint | None:
        """Returns the report's checkpoint, or None if it has none or it was deleted."""
        name = report.get(CHECKPOINT_DIR)
        if not isinstance(name, str) or not _CHECKPOINT.fullmatch(name):  # a path would lead out of the folder
            return None
        return Checkpoint(self._folder / name) if (self._folder / name).is_dir() else None

    def store(self, number: int, fill: Callable[[str], Any]) -> Path:
        """Stores the checkpoint of the `number`-th report atomically; `fill` writes it into a folder."""
        target = self._folder / f"checkpoint_{number - 1:06d}"
        partial = target.with_name(f".{target.name}")
        for folder in (partial, target):
            shutil.rmtree(folder, ignore_errors=True)
        private_files.make_folder(partial, flush=False)
        fill(str(partial))
        private_files.restrict_to_owner(partial)
        return partial.rename(target)

    def prune(self, reports: list[Report]) -> None:
        """Deletes the checkpoints that `CheckpointConfig` does not keep; the latest always stays."""
        if self._keep.num_to_keep is None:
            return
        held = [report for report in reports if self.checkpoint(report) is not None]
        key = self._keep.checkpoint_score_attribute
        if key is not None:
            sign = 1.0 if self._keep.checkpoint_score_order == "max" else -1.0
            scored = sorted(held, key=lambda report: _rank(flatten(report).get(key), sign))
            spare = [report for report in scored[: -self._keep.num_to_keep] if report is not held[-1]]
        else:
            spare = held[: -self._keep.num_to_keep]
        for report in spare:
            shutil.rmtree(self._folder / report[CHECKPOINT_DIR], ignore_errors=True)


def to_json(value: Any) -> str:
    """Returns a report as JSON: numpy values as Python's, other objects as their string."""
    return json.dumps(value, default=_plain)


def _rank(value: Any, sign: float) -> tuple[bool, float]:
    """Returns the sort key of a checkpoint: NaN first, so that it is deleted first."""
    score = np.nan if value is None else float(value)
    return (False, 0.0) if np.isnan(score) else (True, sign * score)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else str(value)

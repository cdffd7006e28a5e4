"""The base class of class trainables, and functions that drive one."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint, NotSerializableError, read_dict, write_dict
from rbt_ray.compat.ray_tune.trial import Trial
from rbt_ray.errors import TuneError


class Trainable:
    """Base class of trainables that run step by step; subclasses override `setup`, `step` and, if needed, the rest.

    Args:
        config: the trial's config.
        trial: the trial; None outside a study.
    """

    def __init__(self, config: dict[str, Any] | None = None, trial: Trial | None = None) -> None:
        self.config: dict[str, Any] = config or {}
        self._iteration = 0
        self._trial = trial
        self.setup(copy.deepcopy(self.config))

    def setup(self, config: dict[str, Any]) -> None:
        """Called once, before the first step."""

    def step(self) -> dict[str, Any]:
        """Runs one iteration and returns its metrics; ``"done": True`` among them ends the trial."""
        raise NotImplementedError

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """Writes what `load_checkpoint` needs into the folder, or returns it as a dict."""
        raise NotImplementedError

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Restores the state that `save_checkpoint` wrote (the folder) or returned (the dict)."""
        raise NotImplementedError

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: ARG002  overridden
        """Prepares the object for another trial's config; returns False if a new object is needed."""
        return False

    def cleanup(self) -> None:
        """Called once, after the last step."""

    def log_result(self, result: dict[str, Any]) -> None:
        """Called with every result of `train`."""

    @property
    def iteration(self) -> int:
        """Number of steps done."""
        return self._iteration

    training_iteration = iteration

    @property
    def trial_id(self) -> str:
        """The trial's id; "default" outside a study."""
        return "default" if self._trial is None else self._trial.trial_id

    @property
    def trial_name(self) -> str:
        """The trial's name; "default" outside a study."""
        return "default" if self._trial is None else str(self._trial)

    @property
    def logdir(self) -> str:
        """The trial's folder; a temporary one outside a study."""
        if self._trial is None:
            return tempfile.mkdtemp(prefix="trainable_")
        self._trial.init_local_path()
        return self._trial.path

    def get_config(self) -> dict[str, Any]:
        """The config."""
        return self.config

    def train(self) -> dict[str, Any]:
        """Runs one step and returns its metrics and number; for use outside a study.

        Raises:
            TuneError: `step` returned no dict.
        """
        result = one_step(self)
        self.log_result(result)
        return {"training_iteration": self._iteration, "done": False, **result}

    def save(self, checkpoint_dir: str | None = None) -> Checkpoint:
        """Writes a checkpoint into that folder, or into a temporary one; for use outside a study."""
        folder = checkpoint_dir or tempfile.mkdtemp(prefix="checkpoint_")
        private_files.make_folder(Path(folder), flush=False)
        save(self, folder)
        return Checkpoint(folder)

    def restore(self, checkpoint_path: str | Checkpoint) -> None:
        """Restores a checkpoint; for use outside a study."""
        folder = checkpoint_path if isinstance(checkpoint_path, str) else checkpoint_path.path
        load(self, folder)

    def stop(self) -> None:
        """Cleans up; for use outside a study."""
        self.cleanup()


_PICKLE, _STEPS = "_dict_checkpoint.pkl", ".steps"


def assign(trainable: Any, trial: Trial | None) -> None:
    """Assigns a new trial to an object of a `Trainable`, or of Ray Tune's class."""
    trainable._iteration, trainable._trial = 0, trial


def one_step(trainable: Any) -> dict[str, Any]:
    """Runs one step of a `Trainable`, or of an object of Ray Tune's class.

    Raises:
        TuneError: `step` did not return a dict.
    """
    result = trainable.step()
    if not isinstance(result, dict):
        raise TuneError(f"`step` of {type(trainable).__name__} must return a dict of metrics; it returned {result!r}.")
    trainable._iteration += 1
    return result


def save(trainable: Any, folder: str) -> None:
    """Writes a checkpoint and its number of steps into a folder without a checkpoint.

    A dict is stored as JSON and arrays, or pickled if these cannot hold it.
    """
    held = trainable.save_checkpoint(folder)
    if isinstance(held, dict):
        try:
            write_dict(held, Path(folder))
        except NotSerializableError:
            with private_files.replacing(Path(folder, _PICKLE), flush=False) as file:
                pickle.dump(held, file)
    private_files.write(Path(folder, _STEPS), str(trainable._iteration))


def load(trainable: Any, folder: str) -> None:
    """Restores what `save` wrote.

    No other function unpickles a checkpoint: this one runs in the process that is about to run the trainable's own code.

    Raises:
        SettingError: the checkpoint is damaged.
    """
    held = read_dict(Path(folder))
    pickled = Path(folder, _PICKLE)
    if held is not None:
        trainable.load_checkpoint(held)
    else:
        trainable.load_checkpoint(pickle.loads(pickled.read_bytes()) if pickled.exists() else folder)
    steps = Path(folder, _STEPS)
    trainable._iteration = int(steps.read_text()) if steps.exists() else trainable._iteration


def can_save(trainable: Any) -> bool:
    """Returns whether the class overrides `save_checkpoint`."""
    method = type(trainable).save_checkpoint
    return method is not Trainable.save_checkpoint and not method.__module__.startswith("ray.tune.trainable")

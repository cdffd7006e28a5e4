"""A trainable as a class, step by step."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune import plain_values
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.trial import Trial
from rbt_ray.errors import TuneError


class Trainable:
    """What is trained one step at a time; subclasses override `setup` and `step`, and what else they need.

    Args:
        config: the trial's.
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
        """One iteration: its metrics; ``"done": True`` among them ends the trial."""
        raise NotImplementedError

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """Writes into the folder what `load_checkpoint` needs, or returns it as a dict."""
        raise NotImplementedError

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Goes on from what `save_checkpoint` wrote (the folder) or returned (the dict)."""
        raise NotImplementedError

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: ARG002  overridden
        """Makes ready for another trial's config; False: it cannot, and a new object is made."""
        return False

    def cleanup(self) -> None:
        """Called once, after the last step."""

    def log_result(self, result: dict[str, Any]) -> None:
        """Called with every result of `train`."""

    @property
    def iteration(self) -> int:
        """Steps done."""
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
        """One step, with its number; for use outside a study.

        Raises:
            TuneError: `step` returned no dict.
        """
        result = one_step(self)
        self.log_result(result)
        return {"training_iteration": self._iteration, "done": False, **result}

    def save(self, checkpoint_dir: str | None = None) -> Checkpoint:
        """A checkpoint in that folder, or in a temporary one; for use outside a study."""
        folder = checkpoint_dir or tempfile.mkdtemp(prefix="checkpoint_")
        private_files.make_folder(Path(folder), flush=False)
        save(self, folder)
        return Checkpoint(folder)

    def restore(self, checkpoint_path: str | Checkpoint) -> None:
        """Goes on from a checkpoint; for use outside a study."""
        folder = checkpoint_path if isinstance(checkpoint_path, str) else checkpoint_path.path
        load(self, folder)

    def stop(self) -> None:
        """Cleans up; for use outside a study."""
        self.cleanup()


_PICKLE, _STEPS = "_dict_checkpoint.pkl", ".steps"


def one_step(trainable: Any) -> dict[str, Any]:
    """A step of ours or of Ray Tune's own kind.

    Raises:
        TuneError: it returned no dict.
    """
    result = trainable.step()
    if not isinstance(result, dict):
        raise TuneError(f"`step` of {type(trainable).__name__} returns a dict of metrics; it returned {result!r}.")
    trainable._iteration += 1
    return result


def save(trainable: Any, folder: str) -> None:
    """Writes a checkpoint and how many steps it holds into a folder that holds no other.

    A dict becomes JSON and arrays; one that these cannot hold is pickled.
    """
    held = trainable.save_checkpoint(folder)
    if isinstance(held, dict):
        try:
            plain_values.write(held, Path(folder))
        except plain_values.NotSerializableError:
            with private_files.replacing(Path(folder, _PICKLE), flush=False) as file:
                pickle.dump(held, file)
    private_files.write(Path(folder, _STEPS), str(trainable._iteration))


def load(trainable: Any, folder: str) -> None:
    """Goes on from what `save` wrote.

    Only here is a pickle of a checkpoint loaded: in the process that is about to run the trainable's own code.

    Raises:
        SettingError: the checkpoint is damaged.
    """
    held = plain_values.read(Path(folder))
    pickled = Path(folder, _PICKLE)
    if held is not None:
        trainable.load_checkpoint(held)
    else:
        trainable.load_checkpoint(pickle.loads(pickled.read_bytes()) if pickled.exists() else folder)
    steps = Path(folder, _STEPS)
    trainable._iteration = int(steps.read_text()) if steps.exists() else trainable._iteration


def can_save(trainable: Any) -> bool:
    """Whether the class has a `save_checkpoint` of its own."""
    method = type(trainable).save_checkpoint
    return method is not Trainable.save_checkpoint and not method.__module__.startswith("ray.tune.trainable")

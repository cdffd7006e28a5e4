"""Trials that were running when a study stopped: the engine has no result of them, but their folders have their reports."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trainable_objective import TrainableObjective
from rbt_ray.compat.ray_tune.trial import Report, Trial, TrialFolder


def unfinished_trials(
    objective: TrainableObjective, folder: Path, known: Collection[str], checkpoints: CheckpointConfig
) -> Iterator[tuple[Trial, list[Report]]]:
    """Yields the trials that have reports but no result, with their reports.

    A trial that ran on another host is found only if the study's folder is on a disk that both share.

    Args:
        objective: maps a config to its trial.
        folder: the study's folder.
        known: the ids of the trials that have a result.
        checkpoints: which checkpoints trials keep.
    """
    for trial in _trials(objective, folder):
        if trial.trial_id not in known and (reports := TrialFolder(trial.path, checkpoints).read()[0]):
            yield trial, reports


def _trials(objective: TrainableObjective, folder: Path) -> Iterator[Trial]:
    naming = objective.naming
    if objective.samples is not None:
        yield from (naming.trial(number, sample) for number, sample in enumerate(objective.samples))
        return
    start = f"{naming.trainable_name}_{naming.prefix}_"
    for path in sorted(folder.glob(f"{start}*")):
        config = _config_in(path)
        if config is not None:
            trial_id = path.name.removeprefix(f"{naming.trainable_name}_")
            yield Trial(trial_id, naming.trainable_name, config, str(folder))


def _config_in(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((folder / TrialFolder.CONFIG_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None

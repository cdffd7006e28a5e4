"""The definition of a study as a JSON file beside the journal, so that opening a foreign study runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune import schedulers
from rbt_ray.compat.ray_tune.settings import CheckpointConfig, FailureConfig
from rbt_ray.compat.ray_tune.spaces import generate_samples
from rbt_ray.errors import InputError, StudyMismatchError, StudyNotFoundError
from rbt_ray.private_files import make_folder, replacing
from rbt_ray.study import values

FILE = "tune.json"


@dataclass(frozen=True)
class Definition:
    """The settings that `Tuner.restore` needs.

    Args:
        trainable_name: name of the function or class.
        prefix: prefix of the trials' ids.
        metric: the study's metric; None: it has none.
        mode: "min" or "max".
        seed: seed of the samples.
        num_samples: how often the space is sampled.
        samples: the configs; None: a searcher proposes them.
        names: for each sample, the names of the trial and its folder, if the user's functions made them.
        points_to_evaluate: the first samples.
        constant_grid_search: whether all combinations of the grids share one draw.
        scheduler: one of `rbt_ray.tune.schedulers`.
        stop: as the user passed it.
        checkpoints: which checkpoints are taken and kept.
        failures: what to do when a trial fails.
        reuse: whether an object of a class may serve several trials.
        n_callbacks: number of callbacks that the user passed.
        constraints: conditions that the samples satisfy.
        max_concurrent_trials: limit of workers; None or 0: one worker per processor.
    """

    trainable_name: str
    prefix: str
    metric: str | None
    mode: str | None
    seed: int
    num_samples: int
    samples: Sequence[dict[str, Any]] | None
    names: Sequence[tuple[str | None, str | None]] | None
    points_to_evaluate: Sequence[Mapping[str, Any]]
    constant_grid_search: bool
    scheduler: Any
    stop: Any
    checkpoints: CheckpointConfig
    failures: FailureConfig
    reuse: bool
    n_callbacks: int
    constraints: Sequence[str] = ()
    max_concurrent_trials: int | None = None

    def save(self, folder: Path) -> None:
        """Writes the file."""
        scheduler = None if self.scheduler is None else [type(self.scheduler).__name__, asdict(self.scheduler)]
        plain = {
            **self.__dict__,
            "samples": None if self.samples is None else [values.to_json(sample) for sample in self.samples],
            "points_to_evaluate": [values.to_json(dict(point)) for point in self.points_to_evaluate],
            "scheduler": scheduler,
            "stop": values.to_json(dict(self.stop) if isinstance(self.stop, Mapping) else self.stop),
            "checkpoints": asdict(self.checkpoints),
            "failures": asdict(self.failures),
        }
        if self.max_concurrent_trials is None:  # versions that do not know it refuse the file
            del plain["max_concurrent_trials"]
        make_folder(folder)
        with replacing(folder / FILE) as file:
            file.write(json.dumps(plain).encode())

    @classmethod
    def load(cls, folder: Path, param_space: Any, stop: Any) -> Definition:
        """Reads the definition.

        Args:
            folder: the study's folder.
            param_space: the original space, if JSON cannot hold its samples; else None.
            stop: the original value, if JSON cannot hold it; else None.

        Raises:
            StudyNotFoundError: there is no such file.
            StudyMismatchError: an argument is missing or differs from the original, or the file is damaged.
        """
        file = folder / FILE
        if not file.exists():
            raise StudyNotFoundError(f"there is no study of `rbt_ray.tune` in {folder}.")
        try:
            return cls._read(file, param_space, stop)
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            raise StudyMismatchError(
                f"{file} cannot be read as the definition of a study ({error}); restore the folder from a copy."
            ) from error

    @classmethod
    def _read(cls, file: Path, param_space: Any, stop: Any) -> Definition:
        plain = json.loads(file.read_text())
        held, plain["samples"] = plain["samples"], None
        plain["points_to_evaluate"] = [values.from_json(point) for point in plain["points_to_evaluate"]]
        plain["stop"] = values.from_json(plain["stop"]) if stop is None else stop
        if stop is None and any(values.opaque_values_in(plain["stop"])):
            raise StudyMismatchError(
                "the study began with a function or an object as `stop`, which no file can hold; pass it again: "
                "`Tuner.restore(path, trainable, run_config=tune.RunConfig(stop=...))`."
            )
        if plain["scheduler"] is not None:
            kind, options = plain["scheduler"]
            if kind not in schedulers.__all__:  # the module has other names, which a file must not call
                raise ValueError(f"there is no scheduler {kind!r}")
            plain["scheduler"] = getattr(schedulers, kind)(**options)
        plain["checkpoints"] = CheckpointConfig(**plain["checkpoints"])
        plain["failures"] = FailureConfig(**plain["failures"])
        if held is not None:
            plain["samples"] = _samples(held, param_space, plain)
        definition = cls(**plain)
        for name in (definition.prefix, *(folder for _, folder in definition.names or () if folder is not None)):
            if Path(name).name != name or name == "..":
                raise ValueError(f"{name!r} is no name of a trial's folder")
        return definition


def _samples(held: list[Any], param_space: Any, plain: Mapping[str, Any]) -> list[dict[str, Any]]:
    if param_space is None:
        samples = [values.from_json(sample) for sample in held]
        if any(values.opaque_values_in(samples)):
            raise StudyMismatchError(
                "the study's configs contain objects that no file can hold; pass the same `param_space` to `Tuner.restore` again."
            )
        return samples
    again = generate_samples(
        param_space,
        plain["num_samples"],
        plain["seed"],
        points_to_evaluate=plain["points_to_evaluate"],
        constant_grid_search=plain["constant_grid_search"],
        constraints=plain.get("constraints", ()),
    )
    if [values.to_json(sample) for sample in again] != held:
        raise StudyMismatchError(
            "`param_space` gives other configs than the study began with. If functions of `sample_from` draw random "
            "numbers themselves, leave out `param_space`, or draw them with a domain."
        )
    return again

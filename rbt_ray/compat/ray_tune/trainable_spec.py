"""Trainables with parameters and resources: `with_parameters`, `with_resources`, `register_trainable`."""

from __future__ import annotations

import inspect
import json
import mmap
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune.settings import Resources
from rbt_ray.compat.ray_tune.trainable import Trainable, assign
from rbt_ray.compat.ray_tune.trial import Trial
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.objectives import pickling
from rbt_ray.private_files import make_folder, replacing

_ALIGNED = 64
_FILE = "parameters.bin"
_registered: dict[str, Any] = {}


class Parameters:
    """Objects by name, sent to workers by reference.

    On one machine, the arrays and buffers in them (of numpy, pandas, pyarrow) are in a file in the study's folder. Workers map
    it read-only, so that they share one copy in memory. On Ray they are in its object store.

    Args:
        values: the objects.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self._folder: Path | None = None
        self._on_ray = False

    def store_in(self, folder: Path, *, on_ray: bool) -> None:
        """Sets where to store the objects when they are sent."""
        self._folder, self._on_ray = folder, on_ray

    def clear(self) -> None:
        """Removes the file; workers that have mapped it keep their data."""
        if self._folder is not None:
            (self._folder / _FILE).unlink(missing_ok=True)

    def __reduce__(self) -> Any:
        if self._on_ray:
            return _from_ray, (_into_ray(self.values),)
        if self._folder is None:
            return Parameters, (self.values,)
        return _from_file, (str(_write(self.values, self._folder / _FILE)),)


def _into_ray(values: Mapping[str, Any]) -> bytes:
    """Copies values into the store, where they stay until the driver exits."""
    import ray

    return pickling.pack_reference(ray.put(values))


def _from_ray(reference: bytes) -> Parameters:
    """Returns the values with read-only arrays in the store of this node."""
    import ray

    return Parameters(ray.get(pickle.loads(reference)))


def _from_file(path: str) -> Parameters:
    with Path(path).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    n_head = int.from_bytes(mapped[:8], "little")
    offsets = json.loads(bytes(mapped[8 : 8 + n_head]))
    body, *buffers = (mapped[start : start + length] for start, length in offsets)
    return Parameters(pickle.loads(body, buffers=buffers))


def _write(values: Mapping[str, Any], path: Path) -> Path:
    """Writes the file: the length of the header; the header, the offsets of the parts as JSON; the parts, a pickle and its buffers."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickling.dumps(dict(values), protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    start_of_parts = _aligned(8 + 48 * len(parts) + 2)  # two numbers of at most 19 digits a part, and their punctuation
    offsets, end = [], start_of_parts
    for part in parts:
        offsets.append((end, part.nbytes))
        end = _aligned(end + part.nbytes)
    head = json.dumps(offsets).encode()
    make_folder(path.parent)
    with replacing(path, flush=False) as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for (start, _), part in zip(offsets, parts, strict=True):
            file.seek(start)
            file.write(part)
    return path.absolute()


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNED) * _ALIGNED


@dataclass(frozen=True, eq=False)
class TrainableSpec:
    """A trainable with its parameters and resources.

    Args:
        target: the function or class.
        parameters: keyword arguments of the function, or of the class's `setup`.
        resources: what a trial uses.
    """

    target: Callable[..., Any]
    parameters: Parameters = field(default_factory=lambda: Parameters({}))
    resources: Resources = field(default_factory=Resources)

    @classmethod
    def of(cls, trainable: Any) -> TrainableSpec:
        """Returns the spec of what a user passed as trainable.

        Raises:
            SettingError: it is not a function, a class with `step`, or a name from `register_trainable`.
            NotSupportedError: it needs a feature that is not supported.
        """
        if isinstance(trainable, TrainableSpec):
            return trainable
        if isinstance(trainable, str):
            if trainable not in _registered:
                raise SettingError(
                    f"no trainable is registered as {trainable!r}; known: {', '.join(_registered) or 'none'}."
                )
            return cls.of(_registered[trainable])
        if not callable(trainable):
            raise SettingError(
                f"a trainable is a function of a config, or a class with `setup` and `step`; got {trainable!r}."
            )
        if inspect.isclass(trainable):
            if not callable(getattr(trainable, "step", None)):
                raise SettingError(f"a trainable class needs a method `step`; {trainable.__name__} has none.")
            own = getattr(trainable, "default_resource_request", None)
            if own is not None and not own.__module__.startswith("ray.tune.trainable"):
                raise NotSupportedError(
                    f"`default_resource_request` of {trainable.__name__} is not supported, as trials share workers: "
                    f"use `tune.with_resources({trainable.__name__}, {{'cpu': 2}})`."
                )
        else:
            _check_signature(trainable)
        return cls(trainable)

    @property
    def is_class(self) -> bool:
        """Returns whether the trainable is a class."""
        return inspect.isclass(self.target)

    @property
    def __name__(self) -> str:
        """Name of the function or class."""
        name = getattr(self.target, "__name__", None) or getattr(getattr(self.target, "func", None), "__name__", None)
        return (name or type(self.target).__name__).strip("<>")

    def __call__(self, config: dict[str, Any]) -> Any:
        """Calls the function, or creates an object of the class."""
        return self.create(None, config) if self.is_class else self.target(config, **self.parameters.values)

    def create(self, trial: Trial | None, config: dict[str, Any]) -> Any:
        """Creates an object of the class for a trial."""
        kind: Any = self.target
        if values := self.parameters.values:

            class WithParameters(kind):  # type: ignore[misc]
                def setup(self, config: dict[str, Any]) -> None:
                    super().setup(config, **values)

            WithParameters.__name__ = WithParameters.__qualname__ = self.__name__
            kind = WithParameters
        if issubclass(kind, Trainable):
            return kind(config, trial)
        made = kind(config)  # a class of Ray Tune's own base
        assign(made, trial)
        return made


def with_parameters(trainable: Any, **parameters: Any) -> TrainableSpec:
    """Adds keyword arguments that all trials share, however large: one read-only copy per machine.

    They are passed to the function, or to the class's `setup`.
    """
    spec = TrainableSpec.of(trainable)
    return replace(spec, parameters=Parameters({**spec.parameters.values, **parameters}))


def with_resources(trainable: Any, resources: Mapping[str, float]) -> TrainableSpec:
    """Sets the resources that each trial uses, such as ``{"cpu": 2}``."""
    return replace(TrainableSpec.of(trainable), resources=Resources.of(resources))


def register_trainable(name: str, trainable: Any) -> None:
    """Registers a trainable, so that `Tuner(name, ...)` runs it."""
    _registered[name] = TrainableSpec.of(trainable)


def _check_signature(function: Any) -> None:
    if inspect.isgeneratorfunction(function):
        raise NotSupportedError("trainables that yield are not supported: call `tune.report({...})` instead.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind in (0, 1)]
    if not any(p.kind in (0, 1, 2) for p in signature.parameters.values()):
        raise SettingError(
            f"a trainable must take a config; {getattr(function, '__name__', function)}{signature} does not."
        )
    if [p.name for p in needed][1:2] == ["reporter"]:
        raise NotSupportedError(
            "trainables of (config, reporter) are not supported: call `tune.report({...})` instead."
        )

"""A trainable with what it needs beside its config: `with_parameters`, `with_resources`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rbt_ray.compat.ray_tune.parameters import Parameters
from rbt_ray.compat.ray_tune.settings import Resources
from rbt_ray.compat.ray_tune.trainable import Trainable
from rbt_ray.compat.ray_tune.trial import Trial
from rbt_ray.errors import NotSupportedError, SettingError

_registered: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class TrainableSpec:
    """A function or class, its parameters and its resources.

    Args:
        target: the function, or the class.
        parameters: keyword arguments of the function, or of the class's `setup`.
        resources: what a trial takes.
    """

    target: Callable[..., Any]
    parameters: Parameters = field(default_factory=lambda: Parameters({}))
    resources: Resources = field(default_factory=Resources)

    @classmethod
    def of(cls, trainable: Any) -> TrainableSpec:
        """What a user passed as trainable.

        Raises:
            SettingError: it is no function, no class with `step`, and no name that `register_trainable` knows.
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
                raise SettingError(f"a trainable class has a method `step`; {trainable.__name__} has none.")
            own = getattr(trainable, "default_resource_request", None)
            if own is not None and not own.__module__.startswith("ray.tune.trainable"):
                raise NotSupportedError(
                    f"`default_resource_request` of {trainable.__name__} is not asked: workers stay from trial to trial. "
                    f"Say what they take by `tune.with_resources({trainable.__name__}, {{'cpu': 2}})`."
                )
        else:
            _check_signature(trainable)
        return cls(trainable)

    @property
    def is_class(self) -> bool:
        """Whether it is a class, trained step by step."""
        return inspect.isclass(self.target)

    @property
    def __name__(self) -> str:
        """Of the function or class."""
        name = getattr(self.target, "__name__", None) or getattr(getattr(self.target, "func", None), "__name__", None)
        return (name or type(self.target).__name__).strip("<>")

    def __call__(self, config: dict[str, Any]) -> Any:
        """The function's answer, or the class's object."""
        return self.create(None, config) if self.is_class else self.target(config, **self.parameters.values)

    def create(self, trial: Trial | None, config: dict[str, Any]) -> Any:
        """The class's object."""
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
        made._trial = trial
        return made


def with_parameters(trainable: Any, **parameters: Any) -> TrainableSpec:
    """The trainable with keyword arguments that all its trials share, however large: one copy a machine, read-only.

    A function is called with them; of a class, `setup` is.
    """
    spec = TrainableSpec.of(trainable)
    return replace(spec, parameters=Parameters({**spec.parameters.values, **parameters}))


def with_resources(trainable: Any, resources: Mapping[str, float]) -> TrainableSpec:
    """The trainable with what each of its trials takes, such as ``{"cpu": 2}``."""
    return replace(TrainableSpec.of(trainable), resources=Resources.of(resources))


def register_trainable(name: str, trainable: Any) -> None:
    """Lets `Tuner(name, ...)` mean this trainable."""
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
            f"a trainable takes a config; {getattr(function, '__name__', function)}{signature} does not."
        )
    if [p.name for p in needed][1:2] == ["reporter"]:
        raise NotSupportedError(
            "trainables of (config, reporter) are not supported: call `tune.report({...})` instead."
        )

"""The words of a Ray Tune search space, where they are not those of `rbt_ray.study.space`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rbt_ray.errors import SpaceError
from rbt_ray.study.numeric_domains import Normal
from rbt_ray.study.primitives import choice as choice
from rbt_ray.study.primitives import lograndint as lograndint
from rbt_ray.study.primitives import loguniform as loguniform
from rbt_ray.study.primitives import normal, qnormal
from rbt_ray.study.primitives import qlograndint as qlograndint
from rbt_ray.study.primitives import qloguniform as qloguniform
from rbt_ray.study.primitives import qrandint as qrandint
from rbt_ray.study.primitives import quniform as quniform
from rbt_ray.study.primitives import randint as randint
from rbt_ray.study.primitives import uniform as uniform


@dataclass(frozen=True)
class SampleFrom:
    """A parameter that a function of the others makes.

    Args:
        func: of the config so far, or of nothing. It may read `config["x"]`, `spec["x"]`, `spec.config.x` or
            `spec.config["x"]`: all mean the same.
    """

    func: Callable[..., Any]

    def __call__(self, config: Any) -> Any:
        """The value for a config."""
        return self.func(config) if _takes_one(self.func) else self.func()


def sample_from(func: Callable[..., Any]) -> SampleFrom:
    """A parameter whose value `func` returns, for each sample anew; it may depend on the other parameters.

    Raises:
        SpaceError: `func` cannot be called with one argument or none.
    """
    if not callable(func):
        raise SpaceError(f"`sample_from` takes a function of the config, or of nothing; got {func!r}.")
    if not _takes_one(func):
        try:
            inspect.signature(func).bind()
        except TypeError:
            raise SpaceError(
                f"`sample_from` takes a function of the config, or of nothing; {func!r} needs more arguments."
            ) from None
    return SampleFrom(func)


def grid_search(values: Iterable[Any]) -> dict[str, Iterable[Any]]:
    """Every one of `values`, with all combinations of other grids, each `num_samples` times."""
    return {"grid_search": values}


def randn(mean: float = 0.0, sd: float = 1.0) -> Normal:
    """A normally distributed float."""
    return normal(mean, sd)


def qrandn(mean: float, sd: float, q: float) -> Normal:
    """A normally distributed multiple of `q`."""
    return qnormal(mean, sd, q)


def _takes_one(func: Callable[..., Any]) -> bool:
    try:
        inspect.signature(func).bind(None)
    except TypeError:
        return False
    except ValueError:  # some functions of compiled modules have no signature
        return True
    return True

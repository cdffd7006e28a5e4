"""Ray Tune's search spaces: their functions, and the samples drawn from a space.

Each sample has every combination of the grids; all other parameters are drawn.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.compat.ray_tune.constraints import SampleConstraints
from rbt_ray.compat.ray_tune.trial import copy_tree, to_python
from rbt_ray.errors import SpaceError
from rbt_ray.study.constraint_parser import Names
from rbt_ray.study.convert import class_names, from_tune
from rbt_ray.study.domains import Domain
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
    """A parameter computed by a function of the others.

    Args:
        func: a function of the config so far, or without arguments. It may read `config["x"]`, `spec["x"]`, `spec.config.x` or
            `spec.config["x"]`: all are the same.
    """

    func: Callable[..., Any]

    def __call__(self, config: Any) -> Any:
        """Returns the value for a config."""
        return self.func(config) if _takes_one(self.func) else self.func()


def sample_from(func: Callable[..., Any]) -> SampleFrom:
    """Returns a parameter that `func` computes for each sample; it may depend on the other parameters.

    Raises:
        SpaceError: `func` cannot be called with one argument or none.
    """
    if not callable(func):
        raise SpaceError(f"`sample_from` needs a function of the config, or of nothing; got {func!r}.")
    if not _takes_one(func):
        try:
            inspect.signature(func).bind()
        except TypeError:
            raise SpaceError(
                f"`sample_from` needs a function of the config, or of nothing; {func!r} needs more arguments."
            ) from None
    return SampleFrom(func)


def grid_search(values: Iterable[Any]) -> dict[str, Iterable[Any]]:
    """Returns a parameter that takes each of `values`, in all combinations with other grids, `num_samples` times."""
    return {"grid_search": values}


def randn(mean: float = 0.0, sd: float = 1.0) -> Normal:
    """Returns a normally distributed float parameter."""
    return normal(mean, sd)


def qrandn(mean: float, sd: float, q: float) -> Normal:
    """Returns a normally distributed parameter, rounded to multiples of `q`."""
    return qnormal(mean, sd, q)


def _takes_one(func: Callable[..., Any]) -> bool:
    try:
        inspect.signature(func).bind(None)
    except TypeError:
        return False
    except ValueError:  # some functions of compiled modules have no signature
        return True
    return True


Path = tuple[Any, ...]
_PASSES = 20
_MOST_DRAWS = 1000
"""How many draws of one sample may break a constraint before the sample is left out."""
_RAY_DOMAINS = "ray.tune.search.sample"


def generate_samples(
    param_space: Mapping[str, Any],
    num_samples: int,
    seed: int,
    *,
    points_to_evaluate: Sequence[Mapping[str, Any]] = (),
    constant_grid_search: bool = False,
    constraints: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Returns the configs, in the order of trials.

    For each of `num_samples` there is one config per combination of the grids. The grid that is first in alphabetical order
    changes fastest. Domains are drawn for each config, and functions are called when the values they read are known.

    Args:
        param_space: dicts, lists and tuples of constants, domains, `grid_search` and `sample_from`.
        num_samples: how often to sample the space.
        seed: seed of the draws.
        points_to_evaluate: values of some parameters for the first samples.
        constant_grid_search: draw once for all combinations of the grids.
        constraints: conditions on parameters. A sample that breaks one is drawn again; a combination of the grids for which
            1,000 draws break one is left out.

    Raises:
        SpaceError: it is not a space, functions in it depend on one another, or no sample satisfies the constraints.
        InputError: a constraint is invalid, or has a name that is not of a parameter.
    """
    if not isinstance(param_space, Mapping):
        raise SpaceError(f"`param_space` must be a dict; got {param_space!r} of type {type(param_space).__name__}.")
    limits = SampleConstraints.of(constraints, _names_of(param_space) if constraints else Names())
    found: list[dict[str, Any]] = []
    for number in range(max(num_samples, len(points_to_evaluate))):
        spec = copy_tree(param_space)
        if number < len(points_to_evaluate):
            _overwrite(spec, points_to_evaluate[number])
        for variant, resolved in enumerate(_variants(spec)):
            rng = np.random.default_rng([seed, number, 0 if constant_grid_search else variant])
            for _ in range(_MOST_DRAWS if constraints else 1):
                drawn = _resolve(copy_tree(resolved) if constraints else resolved, rng)
                configs = [to_python(config) for config in drawn]
                if kept := [config for config in configs if limits.allow(config)]:
                    found += kept
                    break
    if constraints and not found:
        raise SpaceError(
            f"no sample satisfies the constraints {', '.join(map(repr, constraints))}: loosen them, or use narrower domains."
        )
    return found


def _names_of(param_space: Mapping[str, Any]) -> Names:
    """Returns the parameters and constants of a space, as constraints name them."""
    parameters: dict[str, tuple[Any, ...] | None] = {}
    constants: dict[str, Any] = {}
    for path, leaf in _leaves(param_space):
        name = "/".join(map(str, path))
        if _is_grid(leaf):
            parameters[name] = tuple(leaf["grid_search"])
        elif _is_open(leaf):
            parameters[name] = getattr(_domain(leaf), "options", None)
        else:
            constants[name] = leaf
    return Names(parameters, constants)


def require_flat(param_space: Any) -> None:
    """Checks that a searcher can propose every parameter of a space.

    Raises:
        SpaceError: an option of a domain is a space itself.
    """
    for path, leaf in _leaves(param_space):
        if _is_grid(leaf):
            options = leaf["grid_search"]
        else:
            options = getattr(leaf, "options", None) or getattr(leaf, "categories", ())
        for option in options if _is_open(leaf) else ():
            if any(_is_open(inner) for _, inner in _leaves(option)):
                name = "/".join(map(str, path))
                raise SpaceError(
                    f"{name!r} chooses between spaces, such as {option!r}, which no `search_alg` can propose: choose between "
                    f"constants and make the inner domains parameters, or leave out `search_alg`."
                )


def _variants(spec: Any) -> Iterator[Any]:
    """Yields a copy of the space for each combination of its grids."""
    grids = sorted(((path, leaf) for path, leaf in _leaves(spec) if _is_grid(leaf)), key=lambda pair: str(pair[0]))
    values = [list(leaf["grid_search"]) for _, leaf in grids]
    for combination in itertools.product(*reversed(values)):
        resolved = copy_tree(spec)
        for (path, _), value in zip(grids, reversed(combination), strict=True):
            resolved = _put(resolved, path, copy_tree(value))
        yield resolved


def _resolve(spec: Any, rng: np.random.Generator) -> list[Any]:
    """Draws all domains and calls all functions; returns several configs if a drawn value contains a grid."""
    for _ in range(_PASSES):
        waiting = [(path, leaf) for path, leaf in _leaves(spec) if _is_open(leaf)]
        if not waiting:
            return [spec]
        if any(_is_grid(leaf) for _, leaf in waiting):
            return [config for variant in _variants(spec) for config in _resolve(variant, rng)]
        for path, leaf in waiting:
            if (domain := _domain(leaf)) is not None:
                column = domain.from_unit(np.array([rng.random()]))
                _put(spec, path, copy.deepcopy(domain.to_python(column)[0]))
        for path, leaf in waiting:
            if (func := _function(leaf)) is not None:
                try:
                    _put(spec, path, func(_ConfigView(spec)))
                except _NotResolvedError:
                    continue
                except Exception as error:  # a user's own code
                    name = "/".join(map(str, path))
                    raise SpaceError(f"the function of {name!r} raised {type(error).__name__}: {error}.") from error
    names = ", ".join("/".join(map(str, path)) for path, _ in waiting)
    raise SpaceError(f"functions in `param_space` depend on one another: {names}.")


class _NotResolvedError(Exception):
    """Raised when a function reads a parameter whose value is not known yet; the next pass calls it again."""


class _ConfigView(dict[str, Any]):
    """The config passed to a function of `sample_from`: `spec.config.x`, `spec["x"]` and `config["x"]` are the same."""

    def __getattr__(self, name: str) -> Any:
        if name == "config" and name not in self:
            return self
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if _is_open(value):
            raise _NotResolvedError
        return _ConfigView(value) if isinstance(value, dict) else value

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401  it would call this method


def _leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict) and not _is_grid(tree):
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(tree, list) or type(tree) is tuple:
        for place, value in enumerate(tree):
            yield from _leaves(value, (*path, place))
    else:
        yield path, tree


def _put(tree: Any, path: Path, value: Any) -> Any:
    """Sets a value in a tree in place, except that it replaces tuples; returns the tree."""
    if not path:
        return value
    inner = _put(tree[path[0]], path[1:], value)
    if isinstance(tree, tuple):
        return (*tree[: path[0]], inner, *tree[path[0] + 1 :])
    tree[path[0]] = inner
    return tree


def _overwrite(spec: dict[str, Any], point: Mapping[str, Any]) -> None:
    for key, value in point.items():
        if key not in spec:
            raise SpaceError(
                f"`points_to_evaluate` contains {key!r}, which is not in `param_space`: {', '.join(spec)}."
            )
        if isinstance(value, Mapping) and isinstance(spec[key], dict) and not _is_grid(spec[key]):
            _overwrite(spec[key], value)
        else:
            spec[key] = value


def _is_grid(leaf: Any) -> bool:
    return isinstance(leaf, Mapping) and set(leaf) == {"grid_search"}


def _is_open(leaf: Any) -> bool:
    return _is_grid(leaf) or isinstance(leaf, (Domain, SampleFrom)) or bool(class_names(leaf, _RAY_DOMAINS))


def _function(leaf: Any) -> SampleFrom | None:
    if "Function" in class_names(leaf, _RAY_DOMAINS):
        return SampleFrom(leaf.func)
    return leaf if isinstance(leaf, SampleFrom) else None


def _domain(leaf: Any) -> Domain | None:
    if isinstance(leaf, Domain):
        return leaf
    if _function(leaf) is not None or not class_names(leaf, _RAY_DOMAINS):
        return None
    return from_tune(leaf)

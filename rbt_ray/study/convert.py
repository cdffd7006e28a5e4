"""Converts a user's `param_space` (domains of rbt_ray or Ray Tune, values, or a ConfigSpace) to the parts of a space.

Objects of other libraries are recognized by class name, so that those libraries need not be imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.study import primitives, values
from rbt_ray.study.domains import Domain
from rbt_ray.study.nesting import Parts, check_name

_RAY_DOMAINS = "ray.tune.search.sample"


def parts_of(param_space: Any) -> Parts:
    """Returns the parts of a user's `param_space`.

    Raises:
        SpaceError: it, or a part of it, is not a space.
    """
    if "ConfigurationSpace" in class_names(param_space, "ConfigSpace"):
        from rbt_ray.study.convert_configspace import configspace_parts

        return configspace_parts(param_space)
    if not isinstance(param_space, Mapping):
        raise SpaceError(
            f"`param_space` is a dict such as {{'fast': rbt.randint(5, 60)}}, or a ConfigSpace.ConfigurationSpace; "
            f"got {param_space!r} of type {type(param_space).__name__}."
        )
    parts = Parts()
    _walk(param_space, "", parts)
    return parts


def class_names(value: Any, module: str) -> set[str]:
    """Returns the names of a value's classes and base classes that `module` or a submodule defines."""
    return {c.__name__ for c in type(value).__mro__ if c.__module__ == module or c.__module__.startswith(f"{module}.")}


def _walk(tree: Mapping[Any, Any], prefix: str, parts: Parts) -> None:
    for key, value in tree.items():
        name = prefix + check_name(key, f" in `{prefix[:-1]}`" if prefix else "")
        if isinstance(value, Mapping) and value and set(value) != {"grid_search"} and not _is_configspace(value):
            _walk(value, f"{name}/", parts)
        else:
            parts.add(name, _leaf(name, value))


def _leaf(name: str, value: Any) -> Any:
    domain = value if isinstance(value, Domain) else None
    try:
        if isinstance(value, Mapping) and "grid_search" in value:
            domain = primitives.grid_search(value["grid_search"])
        if class_names(value, _RAY_DOMAINS):
            domain = from_tune(value)
    except SpaceError as error:
        raise SpaceError(f"`{name}`: {error}") from error
    if domain is not None:
        for inner in _domains_in(getattr(domain, "options", ())):
            raise SpaceError(
                f"`{name}` has an option with the domain {inner!r} in it. A parameter that exists only for some options is a "
                f"condition: write the space as a ConfigSpace.ConfigurationSpace."
            )
        return domain
    if values.is_plain(values.to_python(value)):
        return value
    raise SpaceError(f"`{name}` is {value!r} of type {type(value).__name__}. {_hint(name, value)}")


def _domains_in(value: Any) -> Iterator[Any]:
    """Yields every domain, of rbt_ray or Ray Tune, in nested dicts, lists and tuples."""
    if isinstance(value, Domain) or class_names(value, _RAY_DOMAINS):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _domains_in(part)


def _hint(name: str, value: Any) -> str:
    if _is_configspace(value):
        return "A ConfigSpace.ConfigurationSpace is the whole `param_space`, not a part of a dict."
    if isinstance(value, (list, tuple)):
        return "Domains nest in dicts only, not in lists or tuples: give each a name."
    if isinstance(value, np.ndarray) or (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        return f"To try its values one by one, write {{'{name}': choice(list(...))}}."
    if callable(value):
        return (
            "A function as a parameter, as with Ray Tune's `sample_from`, is not supported: use a domain such as "
            "`randint(5, 60)`, or conditions by ConfigSpace. To pass the function itself, write choice([function])."
        )
    return "A parameter is a domain such as `randint(5, 60)`, or a plain value; to pass an object as it is, write choice([object])."


def _is_configspace(value: Any) -> bool:
    return bool(class_names(value, "ConfigSpace"))


def from_tune(domain: Any) -> Domain:
    """Returns the domain that corresponds to one of ray.tune (2.40 to 2.60), whose `sampler` has the distribution.

    Raises:
        SpaceError: it is a function, or unknown.
    """
    kinds = class_names(domain, _RAY_DOMAINS)
    if "Function" in kinds:
        raise SpaceError(
            "`sample_from` is not supported: use a domain such as `randint(5, 60)`; for a parameter that depends on "
            "another, write the space as a ConfigSpace.ConfigurationSpace with conditions or forbidden clauses."
        )
    sampler, q = domain.get_sampler(), None
    if "Quantized" in class_names(sampler, _RAY_DOMAINS):
        sampler, q = sampler.get_sampler(), sampler.q
    how = class_names(sampler, _RAY_DOMAINS)
    if "Categorical" in kinds:
        return (primitives.grid_search if "Grid" in how else primitives.choice)(domain.categories)
    steps = () if q is None else (q,)
    log = "LogUniform" in how
    if "Integer" in kinds:
        words = (primitives.lograndint, primitives.qlograndint) if log else (primitives.randint, primitives.qrandint)
        return words[len(steps)](domain.lower, domain.upper, *steps)
    if "Float" in kinds and "Normal" in how:
        return (primitives.qnormal if steps else primitives.normal)(sampler.mean, sampler.sd, *steps)
    if "Float" in kinds:
        floats = (primitives.loguniform, primitives.qloguniform) if log else (primitives.uniform, primitives.quniform)
        return floats[len(steps)](domain.lower, domain.upper, *steps)
    raise SpaceError(f"the domain {domain!r} of Ray Tune is unknown; use one such as `rbt.randint(5, 60)`.")

"""Converts a user's `param_space` (domains of rbt_ray or Ray Tune, values, or a ConfigSpace) to the parts of a space.

Objects of other libraries are recognized by class name, so that those libraries need not be imported.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.study import primitives, values
from rbt_ray.study.conditions import BooleanExpression, Compare, Expression, OneOf, Operator, Relation, names_in
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.fixed import Fixed
from rbt_ray.study.nesting import Parts, check_name
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.priors import BetaPrior, NormalPrior, Prior

_RAY_DOMAINS = "ray.tune.search.sample"
_WORDS: Mapping[str, Operator] = {
    "Equals": "==",
    "NotEquals": "!=",
    "LessThan": "<",
    "LessThanEquals": "<=",
    "GreaterThan": ">",
    "GreaterThanEquals": ">=",
}


def parts_of(param_space: Any) -> Parts:
    """Returns the parts of a user's `param_space`.

    Raises:
        SpaceError: it, or a part of it, is not a space.
    """
    if "ConfigurationSpace" in class_names(param_space, "ConfigSpace"):
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
    value = value.value if isinstance(value, Fixed) else value
    domain = value if isinstance(value, Domain) else None
    try:
        if isinstance(value, Mapping) and "grid_search" in value:
            domain = primitives.grid_search(value["grid_search"])
        if class_names(value, _RAY_DOMAINS):
            domain = from_tune(value)
    except SpaceError as error:
        raise SpaceError(f"`{name}`: {error}") from error
    if domain is not None:
        for option in getattr(domain, "options", ()):
            for where in _domains_in(option):
                raise SpaceError(
                    f"`{name}` has an option that is not a value: it holds a domain{where}. An option is taken as it is, and nothing is "
                    f"drawn in it. Give the inner parameter a name of its own beside `{name}`; to have it for some options only, write "
                    f"the space as a ConfigSpace.ConfigurationSpace with a condition."
                )
        return domain
    if values.is_plain(values.to_python(value)):
        return value
    raise SpaceError(f"`{name}` is {value!r} of type {type(value).__name__}. {_hint(name, value)}")


def _domains_in(value: Any, where: str = "") -> Iterator[str]:
    """Yields where each domain, of rbt_ray or Ray Tune, is in nested dicts, lists and tuples, such as " under 'n'"."""
    if isinstance(value, Domain) or class_names(value, _RAY_DOMAINS):
        yield where
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _domains_in(part, where or f" under {key!r}")
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _domains_in(part, where)


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


def configspace_parts(space: Any) -> Parts:
    """Returns the parts of a `ConfigSpace.ConfigurationSpace`.

    A constant in a condition or a forbidden clause becomes a choice with one option. Default values and metadata are
    dropped.

    Raises:
        SpaceError: one of its classes is not defined by ConfigSpace.
    """
    domains: dict[str, Domain] = {
        check_name(name, " of the ConfigurationSpace"): _domain(name, hyperparameter)
        for name, hyperparameter in space.items()
    }
    conditions = {condition.child.name: _expression(condition, domains) for condition in space.conditions}
    forbidden = [_expression(clause, domains) for clause in space.forbidden_clauses]
    bound = set(conditions).union(*(names_in(part) for part in (*conditions.values(), *forbidden)))
    parts = Parts(forbidden=forbidden)
    for name, domain in domains.items():
        constant = isinstance(domain, Choice) and domain.word == "constant"
        parts.add(name, domain.options[0] if isinstance(domain, Choice) and constant and name not in bound else domain)
    parents_first = TopologicalSorter({child: names_in(condition) for child, condition in conditions.items()})
    parts.conditions = [(name, conditions[name]) for name in parents_first.static_order() if name in conditions]
    return parts


def _domain(name: str, hyperparameter: Any) -> Domain:
    kind = type(hyperparameter).__name__.removesuffix("Hyperparameter")
    if kind == "Categorical":
        options = tuple(values.to_python(option) for option in hyperparameter.choices)
        weights = hyperparameter.weights
        return Choice(options, None if weights is None else tuple(float(weight) for weight in weights))
    if kind == "Ordinal":
        return Choice(tuple(values.to_python(option) for option in hyperparameter.sequence), word="ordinal")
    if kind == "Constant":
        return Choice((values.to_python(hyperparameter.value),), word="constant")
    if kind not in {f"{shape}{number}" for shape in ("Uniform", "Normal", "Beta") for number in ("Float", "Integer")}:
        raise SpaceError(f"`{name}` is a {type(hyperparameter).__name__}, which is not one of ConfigSpace's own kinds.")
    lower, upper, log = hyperparameter.lower, hyperparameter.upper, bool(hyperparameter.log)
    try:
        prior = _prior(hyperparameter)
    except SpaceError as error:
        raise SpaceError(f"`{name}`: {error}") from error
    if kind.endswith("Integer"):
        return Stepped(int(lower), int(upper) - int(lower) + 1, log=log, prior=prior)
    return Float(float(lower), float(upper), log, prior)


def _prior(hyperparameter: Any) -> Prior | None:
    """Returns a prior on the unit interval; ConfigSpace's `UnitScaler` defines how to scale a deviation in logarithms."""
    kind = type(hyperparameter).__name__
    if kind.startswith("Beta"):
        return BetaPrior(hyperparameter.alpha, hyperparameter.beta)
    if not kind.startswith("Normal"):
        return None
    mean, sd, half = float(hyperparameter.mu), float(hyperparameter.sigma), 0.5 * ("Integer" in kind)
    lower, upper = hyperparameter.lower - half, hyperparameter.upper + half
    if hyperparameter.log:
        start, width = math.log(lower), math.log(upper) - math.log(lower)
        return NormalPrior((math.log(mean) - start) / width, abs(math.log(hyperparameter.lower + sd) / width))
    return NormalPrior((mean - lower) / (upper - lower), sd / (upper - lower))


def _expression(clause: Any, domains: Mapping[str, Domain]) -> Expression:
    """Returns a condition or forbidden clause; their class names differ in prefix and suffix only."""
    word = type(clause).__name__.removeprefix("Forbidden")
    if word in ("AndConjunction", "OrConjunction"):
        parts = tuple(_expression(part, domains) for part in clause.components)
        return BooleanExpression("and" if word == "AndConjunction" else "or", parts)
    if word.endswith("Relation") and word.removesuffix("Relation") in _WORDS:
        return _relation(clause.left.name, _WORDS[word.removesuffix("Relation")], clause.right.name, domains)
    word = word.removesuffix("Condition").removesuffix("Clause")
    name = (clause.parent if hasattr(clause, "parent") else clause.hyperparameter).name
    if word == "In":
        return OneOf(name, tuple(_code(name, value, domains) for value in clause.values))
    if word in _WORDS:
        return Compare(name, _WORDS[word], _code(name, clause.value, domains))
    raise SpaceError(
        f"`{clause!r}` is a {type(clause).__name__}, which is not one of ConfigSpace's own conditions or clauses."
    )


def _code(name: str, value: Any, domains: Mapping[str, Domain]) -> float:
    code = domains[name].to_column(value)
    if code is None:
        raise SpaceError(
            f"a condition or forbidden clause compares `{name}` with {value!r}; it takes {domains[name].takes}."
        )
    return code


def _relation(left: str, op: Operator, right: str, domains: Mapping[str, Domain]) -> Relation:
    sides = [list(domain.options) if isinstance(domain, Choice) else None for domain in (domains[left], domains[right])]
    numbers = [option for options in sides for option in options or () if isinstance(option, (int, float))]
    if any(abs(number) > sys.float_info.max for number in numbers if isinstance(number, int)):
        raise SpaceError(
            f"a forbidden clause compares `{left}` with `{right}`, which have numbers beyond the range of floats."
        )
    if len(numbers) == sum(len(options or ()) for options in sides):
        return Relation(
            left, op, right, *(None if options is None else tuple(map(float, options)) for options in sides)
        )
    if sides[0] is None or sides[1] is None:
        raise SpaceError(f"a forbidden clause compares `{left}` with `{right}`: options with numbers.")
    ordered, _ = values.distinct([*sides[0], *sides[1]])
    try:
        ordered = sorted(ordered)
    except TypeError as error:
        if op not in ("==", "!="):
            raise SpaceError(
                f"a forbidden clause compares `{left}` with `{right}`, whose options have no order."
            ) from error
    return Relation(left, op, right, _ranks(sides[0], ordered), _ranks(sides[1], ordered))


def _ranks(options: Iterable[Any], ordered: list[Any]) -> tuple[float, ...]:
    return tuple(float(next(i for i, other in enumerate(ordered) if values.alike(option, other))) for option in options)

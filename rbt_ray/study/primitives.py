"""The functions that define parameters, with the names and bounds of Ray Tune."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import SpaceError
from rbt_ray.study import values
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Normal, Stepped
from rbt_ray.study.priors import prior_from_json
from rbt_ray.types import is_integer, is_real

_LARGEST = 2**50  # a float64 can distinguish the centres of so many cells
_LARGEST_LOG = 2**40  # and of so many cells on a log scale


def choice(options: Sequence[Any] | NDArray[Any]) -> Choice:
    """Returns a choice among `options`, which may be any objects. An option listed twice is drawn twice as often.

    Raises:
        SpaceError: `options` is empty or not a sequence.
    """
    return _choice("choice", "options", options)


def grid_search(values: Sequence[Any] | NDArray[Any]) -> Choice:
    """Returns a choice among `values`; a grid search tries all of them.

    Raises:
        SpaceError: `values` is empty or not a sequence.
    """
    return _choice("grid_search", "values", values)


def uniform(lower: float, upper: float) -> Float:
    """Returns the domain of floats from `lower` to `upper`.

    Raises:
        SpaceError: a bound is not a finite number, or `lower` is not below `upper`.
    """
    return Float(*_floats("uniform", lower, upper))


def loguniform(lower: float, upper: float) -> Float:
    """Returns the domain of floats from `lower` to `upper`, uniform in the logarithm.

    Raises:
        SpaceError: a bound is not a finite number above 0, or `lower` is not below `upper`.
    """
    return Float(*_positive("loguniform", *_floats("loguniform", lower, upper)), log=True)


def quniform(lower: float, upper: float, q: float) -> Stepped:
    """Returns the domain of multiples of `q` from `lower` to `upper`, both inclusive, with equal probabilities.

    Raises:
        SpaceError: a bound is not a finite number or not a multiple of `q`, or `lower` is not below `upper`.
    """
    return _stepped_float("quniform", lower, upper, q, log=False)


def qloguniform(lower: float, upper: float, q: float) -> Stepped:
    """Returns the domain of multiples of `q` from `lower` to `upper`, both inclusive, uniform in the logarithm.

    Raises:
        SpaceError: as for `quniform`; or `lower` is not above 0.
    """
    return _stepped_float("qloguniform", lower, upper, q, log=True)


def randint(lower: int, upper: int) -> Stepped:
    """Returns the domain of ints from `lower` to `upper - 1`.

    Raises:
        SpaceError: a bound is not an int, or `upper` is not above `lower`.
    """
    return _stepped_int("randint", lower, upper, 1, log=False)


def lograndint(lower: int, upper: int) -> Stepped:
    """Returns the domain of ints from `lower` to `upper - 1`, uniform in the logarithm.

    Raises:
        SpaceError: as for `randint`; or `lower` is below 1.
    """
    return _stepped_int("lograndint", lower, upper, 1, log=True)


def qrandint(lower: int, upper: int, q: int = 1) -> Stepped:
    """Returns the domain of multiples of `q` from `lower` to `upper`; as in Ray Tune, `upper` is exclusive if ``q=1``.

    Raises:
        SpaceError: a bound or `q` is not an int, or there is no multiple of `q` between them.
    """
    return _stepped_int("qrandint", lower, upper, q, log=False)


def qlograndint(lower: int, upper: int, q: int) -> Stepped:
    """Returns the domain of `qrandint`, uniform in the logarithm.

    Raises:
        SpaceError: as for `qrandint`; or `lower` is below 1.
    """
    return _stepped_int("qlograndint", lower, upper, q, log=True)


def normal(mean: float, sd: float) -> Normal:
    """Returns a normal distribution of floats with a mean and a standard deviation.

    Raises:
        SpaceError: one is not a finite number, or `sd` is not above 0.
    """
    return _normal("normal", mean, sd, None)


def qnormal(mean: float, sd: float, q: float) -> Normal:
    """Returns the domain of `normal`, rounded to multiples of `q`.

    Raises:
        SpaceError: one is not a finite number, or `sd` or `q` is not above 0.
    """
    return _normal("qnormal", mean, sd, q)


def _choice(word: str, argument: str, options: Any) -> Choice:
    listed = options
    if isinstance(options, np.ndarray):
        listed = list(options) if options.ndim == 1 else options.tolist()  # `tolist` would turn times into ints
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Sequence):
        if isinstance(listed, (set, frozenset)):
            hint = "A set has no order, so runs would not be repeatable: sort it into a list."
        elif isinstance(listed, Iterable) and not isinstance(listed, (str, bytes)):
            hint = f"Write `{word}(list(...))`."
        else:
            hint = f"For a single option write `{word}([{options!r}])`."
        raise SpaceError(f"`{word}({argument})` takes a list; got {options!r} of type {type(options).__name__}. {hint}")
    if not len(listed):
        raise SpaceError(f"`{word}({argument})` needs at least one option; got {options!r}.")
    found, counts = values.distinct([values.to_python(option) for option in listed])
    nested = next((n for n, option in enumerate(listed, 1) if isinstance(option, Domain)), None)
    if nested is not None:
        raise SpaceError(
            f"`{word}({argument})` takes plain options, and option {nested} is a domain: nothing is drawn in an option. A parameter "
            f"that exists only for some options is a condition: write the space as a ConfigSpace.ConfigurationSpace."
        )
    return Choice(tuple(found), tuple(map(float, counts)) if max(counts) > 1 else None, word)


def _float(word: str, argument: str, value: Any) -> float:
    number = math.nan
    if is_real(value):
        with suppress(OverflowError):  # an int of more than 308 digits
            number = float(value)
    if not math.isfinite(number):
        raise SpaceError(f"`{argument}` of `{word}` is a finite number; got {value!r} of type {type(value).__name__}.")
    return number


def _floats(word: str, lower: Any, upper: Any) -> tuple[float, float]:
    low, high = _float(word, "lower", lower), _float(word, "upper", upper)
    if not low < high:
        raise SpaceError(
            f"`{word}(lower, upper)` needs lower < upper; got lower={lower!r}, upper={upper!r}. "
            f"For a fixed value write the value itself."
        )
    if not math.isfinite(high - low):
        raise SpaceError(
            f"`{word}(lower, upper)`: the range from {lower!r} to {upper!r} is wider than a float can hold; narrow it."
        )
    return low, high


def _positive(word: str, low: float, high: float) -> tuple[float, float]:
    if low <= 0:
        raise SpaceError(
            f"`lower` of `{word}` is above 0, since it is drawn by its logarithm; got {low!r}. Give the value itself, not "
            f"its logarithm; for a range that holds 0 use `uniform`."
        )
    return low, high


def _stepped_float(word: str, lower: Any, upper: Any, q: Any, *, log: bool) -> Stepped:
    low, high = _floats(word, lower, upper)
    if log:
        _positive(word, low, high)
    step = _float(word, "q", q)
    if step <= 0:
        raise SpaceError(f"`q` of `{word}` is the step between values, above 0; got {q!r}.")
    for argument, bound in (("lower", low), ("upper", high)):
        steps = bound / step
        if not math.isclose(steps, round(steps) if math.isfinite(steps) else 0.0, rel_tol=1e-9):
            raise SpaceError(
                f"`{argument}` of `{word}` is a multiple of q; got {argument}={bound!r}, q={step!r}: "
                f"{bound / step:.6g} steps. Move the bound, or choose a q that divides it."
            )
    first, last = round(low / step), round(high / step)
    return _stepped(word, first, last, step, integer=False, log=log)


def _stepped_int(word: str, lower: Any, upper: Any, q: Any, *, log: bool) -> Stepped:
    given = {"lower": lower, "upper": upper, "q": q}
    for argument, value in given.items():
        if not is_integer(value):
            raise SpaceError(
                f"`{argument}` of `{word}` is an int; got {value!r} of type {type(value).__name__}. "
                f"For floats use `{'loguniform' if log else 'uniform'}`{' or `quniform`' if not log else ''}."
            )
    low, high, step = int(lower), int(upper), int(q)
    if step < 1:
        raise SpaceError(f"`q` of `{word}` is the step between values, at least 1; got {q!r}.")
    if log and low < 1:
        raise SpaceError(
            f"`lower` of `{word}` is at least 1, since it is drawn by its logarithm; got {lower!r}. For a range that holds "
            f"0 use `randint`."
        )
    exclusive = step == 1
    first, last = -(-low // step), high // step - exclusive
    if last < first:
        reason = "`upper` itself is never drawn" if exclusive else f"no multiple of q={step} lies between them"
        raise SpaceError(f"`{word}` has no value to draw from lower={lower!r}, upper={upper!r}: {reason}.")
    return _stepped(word, first, last, step, integer=True, log=log)


def _stepped(word: str, first: int, last: int, q: float, *, integer: bool, log: bool) -> Stepped:
    largest = _LARGEST_LOG if log else _LARGEST
    if max(abs(first), abs(last)) > largest or max(abs(first), abs(last)) * q > 2**53:
        raise SpaceError(
            f"`{word}` reaches {max(abs(first), abs(last))} steps of {q!r} from 0; at most 2**{largest.bit_length() - 1} "
            f"steps, and values up to 2**53, can be told apart. Use `{'loguniform' if log else 'uniform'}` and round."
        )
    return Stepped(first, last - first + 1, q, integer, log)


def _normal(word: str, mean: Any, sd: Any, q: Any) -> Normal:
    centre, spread = _float(word, "mean", mean), _float(word, "sd", sd)
    if spread <= 0:
        raise SpaceError(f"`sd` of `{word}` is above 0; got {sd!r}. For a fixed value write the value itself.")
    if q is None:
        return Normal(centre, spread)
    step = _float(word, "q", q)
    if step <= 0:
        raise SpaceError(f"`q` of `{word}` is the step between values, above 0; got {q!r}.")
    return Normal(centre, spread, step)


def domain_from_json(held: Mapping[str, Any]) -> Domain:
    """Returns the domain that `to_json` was called on; options that JSON cannot represent are `OpaqueValue`."""
    kind = held["kind"]
    if "options" in held:
        weights = tuple(held["weights"]) if "weights" in held else None
        return Choice(tuple(values.from_json(option) for option in held["options"]), weights, kind)
    if "mean" in held:
        return Normal(held["mean"], held["sd"], held.get("q"))
    prior, log = prior_from_json(held.get("prior")), "log" in kind
    if "q" not in held:
        return Float(held["lower"], held["upper"], log, prior)
    first, last = round(held["lower"] / held["q"]), round(held["upper"] / held["q"])
    return Stepped(first, last - first + 1, held["q"], kind.endswith("randint"), log, prior)

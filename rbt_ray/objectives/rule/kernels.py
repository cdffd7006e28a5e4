"""Compiles a rule into a kernel, once for each rule, and caches the machine code on disk."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import types as python_types
from collections.abc import Callable
from typing import Any

import numba
from numba import float64, int64, types

from rbt_ray.objectives.fingerprint.fingerprint import fingerprint_of
from rbt_ray.objectives.rule.bar import Names
from rbt_ray.objectives.rule.compile_errors import compile_error, result_error
from rbt_ray.objectives.rule.decide import decision_of
from rbt_ray.objectives.rule.drifting import drifting
from rbt_ray.objectives.rule.resetting import resetting
from rbt_ray.objectives.sweep.bits import FLAGS
from rbt_ray.simulate.compiled import COUNTS, FLAG, INTEGER, NUMBER, VECTOR, compiled, sources_digest
from rbt_ray.types import Rebalance

_NUMBERS, _INTEGERS = float64[::1], int64[::1]
_BARS = (INTEGER, INTEGER, INTEGER)
_RULE = (COUNTS, COUNTS, VECTOR, FLAGS)
_MEMORY = (_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS, _INTEGERS)
_STATISTICS = (FLAG, _NUMBERS, COUNTS, _NUMBERS, FLAGS, COUNTS, VECTOR, _NUMBERS)
_EXITS = (VECTOR, VECTOR, VECTOR, VECTOR)
_DRIFTING = (*_BARS, FLAG, *_RULE, VECTOR, VECTOR, VECTOR, NUMBER, NUMBER, NUMBER, *_EXITS, *_MEMORY, *_STATISTICS)
_RESETTING = (*_BARS, *_RULE, *(VECTOR,) * 6, NUMBER, NUMBER, *_MEMORY, *_STATISTICS)


@functools.lru_cache(maxsize=64)
def kernel_of(
    step: Callable[..., Any], names: Names, rebalance: Rebalance, segmented: bool, exits: bool
) -> Callable[..., None]:
    """Returns the kernel of a rule.

    Args:
        step: the rule, a plain function.
        names: what it gets.
        rebalance: accounting.
        segmented: whether there are several segments.
        exits: whether positions have exits.

    Raises:
        RuleError: Numba cannot compile the rule.
    """
    contents = digest_of(step, names, segmented, exits)
    decide = decision_of(compiled_step(step, names, contents), names)
    drifts = rebalance == "on_change"
    run = drifting(decide, segmented, exits) if drifts else resetting(decide, segmented)
    return compiled(*(_DRIFTING if drifts else _RESETTING), contents=contents)(run)


def digest_of(step: Callable[..., Any], names: Names, *settings: bool) -> str:
    """Returns what identifies the machine code of a rule: its code and all it reads, its arguments, and the code that calls it.

    The kernel's own module does not import the code that calls the rule. Functions of installed packages count by name in a
    fingerprint, so the versions of the packages that the rule names count too.
    """
    found = fingerprint_of(step)
    total = hashlib.sha256(repr((found.digest, names, settings)).encode() + sources_digest(__name__))
    for distribution in sorted(_packages_read_by(step)):
        total.update(distribution.encode())
    return total.hexdigest()[:32]


def compiled_step(step: Callable[..., Any], names: Names, contents: str) -> Any:
    """Returns the rule compiled for the types of its arguments, and checks what it returns.

    Raises:
        RuleError: Numba cannot compile it, or it does not return a number on every path.
    """
    assert isinstance(step, python_types.FunctionType)
    # Its name in machine code must not be that of another version of the rule, which a kernel of the cache may contain.
    named = python_types.FunctionType(
        step.__code__, step.__globals__, step.__name__, step.__defaults__, step.__closure__
    )
    named.__qualname__ = f"{step.__name__}_{contents}"
    named.__module__ = step.__module__
    rule = numba.njit(nogil=True, error_model="numpy")(named)
    try:
        rule.compile(names.step_types())
    except Exception as error:  # Numba raises errors of many kinds, such as KeyError for an unsupported statement
        raise compile_error(step, names, error) from None
    (overload,) = rule.overloads.values()
    result = overload.signature.return_type
    if not isinstance(result, types.Float | types.Integer | types.Boolean):
        raise result_error(step, result)
    return rule


def _packages_read_by(step: Callable[..., Any]) -> set[str]:
    """Returns the names and versions of the installed packages of functions and modules that the rule's globals name."""
    code: Any = step.__code__
    names = [getattr(step.__globals__.get(name), "__module__", None) or "" for name in code.co_names]
    names += [getattr(step.__globals__.get(name), "__name__", "") for name in code.co_names]
    found = set()
    for name in {name.partition(".")[0] for name in names if isinstance(name, str)} - {"", "__main__"}:
        try:
            found.add(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

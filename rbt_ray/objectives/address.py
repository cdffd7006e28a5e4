"""Where an objective is found again, and how `restore` knows that it is the same."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
from pathlib import Path
from types import CodeType
from typing import Any

from rbt_ray.objectives.adapted import Adapted
from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.study.study import Address


def address_of(objective: Any) -> Address:
    """The address of a built-in objective, an adapted strategy, a function, or another callable object (without a name)."""
    if isinstance(objective, Strategy):
        options = dataclasses.asdict(objective)
        hashed = dict(options)
        if objective.rebalance == "every_bar":  # the only one there was, when fingerprints did not name it
            del hashed["rebalance"]
        return Address(objective.name, options, "", _hash(json.dumps([objective.name, hashed])))
    if isinstance(objective, Adapted):
        return Address(f"<{objective.title}>", {}, "", _fingerprint(objective))
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", None)
    if name is None:
        return Address(f"<{type(objective).__qualname__}>", {}, "", _fingerprint(objective))
    return Address(f"{module}:{name}", {}, _folder(module), _fingerprint(objective))


def _folder(module: str) -> str:
    """The folder from which a module can be imported by its name; "" where it has none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    depth = module.count(".") + (path.stem == "__init__")
    return str(path.parents[depth])


def _fingerprint(objective: Any) -> str:
    """A hash of the objective's own source, or its class's, not of the functions it calls.

    One that runs what others wrote lists that in `made_of`: functions, classes and what JSON can hold.
    """
    if isinstance(objective, functools.partial):
        given = json.dumps([objective.args, objective.keywords], sort_keys=True, default=lambda o: type(o).__qualname__)
        return _hash(_fingerprint(objective.func) + given)
    if (parts := getattr(objective, "made_of", None)) is not None:
        return _hash(json.dumps(parts, default=_fingerprint))
    code = getattr(objective, "__code__", None)
    if code is None or code.co_name != "<lambda>":  # a lambda's source is the whole line it stands on
        for source in (objective, type(objective)):
            try:
                return _hash(inspect.getsource(source))
            except (OSError, TypeError):
                continue
    # A function typed at a prompt has no source to read, nor has what is written in C.
    return _hash(json.dumps([type(objective).__qualname__, code and _instructions(code)]))


def _instructions(code: CodeType) -> list[Any]:
    return [code.co_code.hex(), code.co_names, [_constant(constant) for constant in code.co_consts]]


def _constant(constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return _instructions(constant)
    if isinstance(constant, frozenset):  # which comes in another order in every process
        return sorted(map(repr, constant))
    return repr(constant)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

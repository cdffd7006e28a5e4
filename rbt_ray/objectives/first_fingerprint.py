"""The first rule for comparing objectives: by their own source, without what that calls.

Studies that were begun by it are resumed by it. Newer studies record it too, for a resumption by another version of Python,
whose compiled code differs.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from types import CodeType
from typing import Any

from rbt_ray.objectives.builtin.strategy import Strategy


def first_fingerprint(objective: Any) -> str:
    """A hash of the objective's own source, or its class's; of a built-in objective, of its options.

    One that runs what others wrote lists that in `made_of`: functions, classes and what JSON can hold.
    """
    if isinstance(objective, Strategy):
        hashed = dataclasses.asdict(objective)
        if objective.rebalance == "every_bar":  # the only one there was, when fingerprints did not name it
            del hashed["rebalance"]
        return _hash(json.dumps([objective.name, hashed]))
    if isinstance(objective, functools.partial):
        given = json.dumps([objective.args, objective.keywords], sort_keys=True, default=lambda o: type(o).__qualname__)
        return _hash(first_fingerprint(objective.func) + given)
    if (parts := getattr(objective, "made_of", None)) is not None:
        return _hash(json.dumps(parts, default=first_fingerprint))
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

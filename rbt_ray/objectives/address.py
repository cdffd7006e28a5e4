"""The address of an objective, and the comparison of objectives when a study is resumed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType
from typing import Any

from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.objectives.fingerprint.fingerprint import Fingerprint, fingerprint_of
from rbt_ray.objectives.kind import kind_of
from rbt_ray.study.study import Address


def source_fingerprint(objective: Any) -> str:
    """Returns a hash of the source of the objective or its class; of a built-in objective, of its options.

    An objective that runs other code lists it in `made_of`: functions, classes and JSON values.

    The first studies recorded only this hash. Newer ones record it as well, so that another version of Python, whose
    compiled code differs, can resume them.
    """
    if isinstance(objective, Strategy):
        hashed = dataclasses.asdict(objective)
        if objective.rebalance == "every_bar":  # fingerprints did not contain it when it was the only one
            del hashed["rebalance"]
        return _hash(json.dumps([objective.name, hashed]))
    if isinstance(objective, functools.partial):
        given = json.dumps([objective.args, objective.keywords], sort_keys=True, default=lambda o: type(o).__qualname__)
        return _hash(source_fingerprint(objective.func) + given)
    if (parts := getattr(objective, "made_of", None)) is not None:
        return _hash(json.dumps(parts, default=source_fingerprint))
    code = getattr(objective, "__code__", None)
    if code is None or code.co_name != "<lambda>":  # the source of a lambda is its whole line
        for source in (objective, type(objective)):
            try:
                return _hash(inspect.getsource(source))
            except (OSError, TypeError):
                continue
    # Functions typed at a prompt or written in C have no source.
    return _hash(json.dumps([type(objective).__qualname__, code and _instructions(code)]))


def _instructions(code: CodeType) -> list[Any]:
    return [code.co_code.hex(), code.co_names, [_constant(constant) for constant in code.co_consts]]


def _constant(constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return _instructions(constant)
    if isinstance(constant, frozenset):  # its order differs between processes
        return sorted(map(repr, constant))
    return repr(constant)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_VALUES = (
    "the attribute",
    "the argument",
    "the default",
    "the global",
    "the variable",
    "the setting",
    "the class attribute",
)
_MOST = 4


@dataclass(frozen=True, slots=True)
class LocatedObjective:
    """The address of an objective, and the fingerprint of its code; None for a built-in objective."""

    address: Address
    fingerprint: Fingerprint | None


def address_of(objective: Any) -> Address:
    """Returns the address of an objective."""
    return locate(objective).address


def locate(objective: Any) -> LocatedObjective:
    """Returns the address and the fingerprint of an objective."""
    address = replace(address_by_name(objective), fingerprint=source_fingerprint(objective))
    if kind_of(objective).builtin is not None:
        return LocatedObjective(address, None)
    found = fingerprint_of(objective)
    return LocatedObjective(replace(address, code=found.digest, parts=found.parts, python=_PYTHON), found)


def address_by_name(objective: Any) -> Address:
    """Returns the address without fingerprints, which are added when the study starts."""
    kind = kind_of(objective)
    if kind.builtin is not None:
        return Address(kind.builtin.name, dataclasses.asdict(kind.builtin), "", "")
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", None)
    folder = ""
    if kind.adapter is not None:
        address = f"<{kind.adapter.title}>"
    elif kind.swept is not None:
        address = f"<{kind.swept.title}>"
    elif name is None:
        address = f"<{type(objective).__qualname__}>"
    else:
        address, folder = f"{module}:{name}", _folder(module)
    return Address(address, {}, folder, "")


def differences(then: Address, now: Address) -> list[str]:
    """Returns the differences between the objective of a study and another, in words; empty if they compute the same."""
    if not then.code or not now.code:
        if then.fingerprint == now.fingerprint:
            return []
        changed = _changed(_as_parts(then.options), _as_parts(now.options)) if then.name == now.name else []
        return changed or [f"{then.name} then, {now.name} now" if then.name != now.name else "its code or its settings"]
    if then.code == now.code:
        return []
    if then.python == now.python:
        return _changed(then.parts, now.parts) or ["which functions its names stand for"]
    changed = _changed(_values_in(then.parts), _values_in(now.parts))
    return changed if changed or then.fingerprint == now.fingerprint else ["its code"]


def listed(changes: list[str]) -> str:
    """Returns the changes as part of a sentence."""
    rest = len(changes) - _MOST
    return "; ".join([*changes[:_MOST], *([f"{rest} more"] if rest > 0 else [])])


def _changed(then: dict[str, str], now: dict[str, str]) -> list[str]:
    lines = [_change(label, then[label], now[label]) for label in then if label in now and then[label] != now[label]]
    lines += [f"{label} is not there any more" for label in then if label not in now]
    return lines + [f"{label} is new" for label in now if label not in then]


def _change(label: str, then: str, now: str) -> str:
    if label.startswith(_VALUES) or label.startswith("the option"):
        return (
            f"{label} has another value"
            if then.startswith("#") or now.startswith("#")
            else f"{label}: {then} then, {now} now"
        )
    return f"{label} was changed"


def _values_in(parts: dict[str, str]) -> dict[str, str]:
    return {label: shown for label, shown in parts.items() if label.startswith(_VALUES)}


def _as_parts(options: dict[str, Any]) -> dict[str, str]:
    shown = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {f"the option `{name}`": repr(value)[:80] for name, value in shown.items()}


def _folder(module: str) -> str:
    """Returns the folder from which a module can be imported by its name; "" if there is none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    depth = module.count(".") + (path.stem == "__init__")
    return str(path.parents[depth])

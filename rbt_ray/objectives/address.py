"""Where an objective is found again, and how `restore` knows that it is the same."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.objectives.fingerprint import Fingerprint, fingerprint_of
from rbt_ray.objectives.first_fingerprint import first_fingerprint
from rbt_ray.objectives.strategy_adapter import Adapted
from rbt_ray.study.study import Address

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
class Found:
    """An objective's address, and what of its code was reached; None for a built-in objective."""

    address: Address
    fingerprint: Fingerprint | None


def address_of(objective: Any) -> Address:
    """The address of a built-in objective, an adapted strategy, a function, or another callable object (without a name)."""
    return find(objective).address


def find(objective: Any) -> Found:
    """The address, and what of the objective's code was reached."""
    address = replace(named(objective), fingerprint=first_fingerprint(objective))
    if isinstance(objective, Strategy):
        return Found(address, None)
    found = fingerprint_of(objective)
    return Found(replace(address, code=found.digest, parts=found.parts, python=_PYTHON), found)


def named(objective: Any) -> Address:
    """The address without what it takes to compare the objective, which is found when its study begins."""
    if isinstance(objective, Strategy):
        return Address(objective.name, dataclasses.asdict(objective), "", "")
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", None)
    folder = ""
    if isinstance(objective, Adapted):
        address = f"<{objective.title}>"
    elif name is None:
        address = f"<{type(objective).__qualname__}>"
    else:
        address, folder = f"{module}:{name}", _folder(module)
    return Address(address, {}, folder, "")


def differences(then: Address, now: Address) -> list[str]:
    """What differs between the objective a study was begun with and another, in words; empty if they compute the same."""
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
    """The changes as a part of a sentence."""
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
    """The folder from which a module can be imported by its name; "" where it has none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    depth = module.count(".") + (path.stem == "__init__")
    return str(path.parents[depth])

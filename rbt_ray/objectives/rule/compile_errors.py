"""Turns the errors of Numba's compiler into sentences that show the user's line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rbt_ray.errors import RuleError
from rbt_ray.nearest import nearest
from rbt_ray.objectives.rule.bar import Names

_ATTRIBUTE = re.compile(r"Unknown attribute '(\w+)' of type (Bar|Params)\(")
_GLOBAL = re.compile(r"Untyped global name '(\w+)'|global name '(\w+)'|NameError: name '(\w+)'|Variable '(\w+)' refer")
_ASSIGNED = re.compile(r"lowering (Bar|Params)\(.*\)\.(\w+) = ")
_LINES = (re.compile(r'File "([^"]+)", line (\d+)'), re.compile(r"(/\S+) \((\d+)\)"))
_FUNCTION = re.compile(r"Function\(<(?:built-in )?(?:function|method|ufunc) '?(\w+)'?[^>]*>\)")


def compile_error(step: Callable[..., Any], names: Names, error: Exception) -> RuleError:
    """Returns the error for a rule that Numba cannot compile."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    reason, advice = _reason(text, names)
    return RuleError(f"Numba cannot compile `{step.__name__}`{_where(step, error, text)}: {reason}. {advice}")


def result_error(step: Callable[..., Any], result: Any) -> RuleError:
    """Returns the error for a rule that does not return a number."""
    nothing = str(result) == "none" or hasattr(result, "type")  # an optional number
    literal = getattr(result, "literal_value", None)
    got = "nothing on some path" if nothing else repr(literal) if literal is not None else f"a {type(result).__name__}"
    first = f"{Path(step.__code__.co_filename).name}, line {step.__code__.co_firstlineno}"
    return RuleError(
        f"`{step.__name__}` ({first}) returns {got}: return the target weight of the symbol, a number, on every path, such as "
        "`return bar.target` to leave it as it is."
    )


def _reason(text: str, names: Names) -> tuple[str, str]:
    """Returns why it cannot be compiled, and what to do."""
    if found := _ATTRIBUTE.search(text):
        name, owner = found.groups()
        known = names.of_bar if owner == "Bar" else names.params
        argument = "bar" if owner == "Bar" else "params"
        return f"`{argument}` has no `{name}`", _sentence(nearest(name, known))
    if found := _ASSIGNED.search(text):
        argument = "bar" if found[1] == "Bar" else "params"
        return (
            f"`{argument}.{found[2]}` is assigned to, and `{argument}` cannot change",
            "Numbers of your own go into `state`.",
        )
    if found := _GLOBAL.search(text):
        name = next(group for group in found.groups() if group)
        return (
            f"`{name}` is nothing that compiled code can use",
            "A rule may use numbers, `math`, numpy and functions with the decorator numba.njit.",
        )
    lines = [line.strip() for line in text.splitlines()]
    noise = ("Failed in", "During:", "File ", "This ", "- argument", "*", ">", "<source", "Traceback", "In definition")
    said = [line for line in lines if line and not line.startswith(noise)]
    reason = said[0].partition(" Raised from")[0] if said else "it uses what Numba does not know"
    reason = _FUNCTION.sub(r"the function `\1`", reason).partition(", defined at")[0].rstrip(".:")
    return (
        reason[:1].lower() + reason[1:200],
        "A rule may use numbers, comparisons, loops, `math` and numpy; see Numba's list of supported features.",
    )


def _where(step: Callable[..., Any], error: Exception, text: str) -> str:
    """Returns the file, line and source of the fault, as the end of a clause."""
    code = step.__code__
    found = [
        int(line)
        for pattern in _LINES
        for file, line in pattern.findall(text)
        if Path(file).name == Path(code.co_filename).name
    ]
    line = found[-1] if found else getattr(getattr(error, "loc", None), "line", code.co_firstlineno)
    try:
        source, first = inspect.getsourcelines(step)
        shown = source[line - first].strip() if 0 <= line - first < len(source) else ""
    except (OSError, TypeError):
        shown = ""
    return f" at line {line} of {Path(code.co_filename).name}" + (f", `{shown}`" if shown else "")


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}".rstrip(".") + ("" if clause.endswith("?") else ".")

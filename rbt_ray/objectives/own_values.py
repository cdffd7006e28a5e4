"""What functions, classes and wrappers belong to, and how parts of them are named."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rbt_ray.objectives.own_code import is_own

CONSTRUCTORS = {"__new__", "__init__", "__post_init__", "__setstate__", "__init_subclass__", "__set_name__"}
"""Methods that give an object its state; what others change is working memory."""


def namespace_of(value: Any) -> Mapping[str, Any]:
    """The globals of the module that defines a function or a class; an empty mapping where there is no such module."""
    if isinstance(value, types.FunctionType):
        return value.__globals__
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return {} if module is None else vars(module)


def file_of(namespace: Mapping[str, Any]) -> str:
    """How messages name a module: its file, with the folders of its packages."""
    file, name = namespace.get("__file__"), str(namespace.get("__name__", "__main__"))
    if not isinstance(file, str):
        return name
    path = Path(file)
    depth = name.count(".") + 1 + (path.stem == "__init__")
    return "/".join(path.parts[-depth:])


def function_in(attribute: Any) -> types.FunctionType | None:
    """The function behind a class's attribute; None where that is something else."""
    if isinstance(attribute, (staticmethod, classmethod)):
        attribute = attribute.__func__
    elif isinstance(attribute, functools.cached_property):
        attribute = attribute.func
    return attribute if isinstance(attribute, types.FunctionType) else None


def is_counted(owner: type, attribute: str) -> bool:
    """Whether an attribute is part of an object's state, and not what a `cached_property` keeps."""
    found = next((vars(base)[attribute] for base in owner.__mro__ if attribute in vars(base)), None)
    return not isinstance(found, functools.cached_property)


def wrapped_by(value: Any) -> Any:
    """The function that an object of an installed library wraps, such as a numba dispatcher; None where there is none."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return None
    for name in ("py_func", "__wrapped__", "pyfunc", "func"):
        inner = inspect.getattr_static(value, name, None)
        if isinstance(inner, (types.FunctionType, type, functools.partial)):
            return inner
    return None


def is_library_function(value: Any) -> bool:
    """Whether it is a function of an installed library in an object of its own kind, such as a `numpy.ufunc`."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return False
    return callable(value) and isinstance(
        inspect.getattr_static(value, "__name__", None), (str, types.GetSetDescriptorType)
    )

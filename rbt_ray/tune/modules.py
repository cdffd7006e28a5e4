"""Which of the user's own modules are loaded, and whether a file changed since: warm workers hold the old code."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Modules: TypeAlias = Mapping[str, tuple[str, int]]
"""A module's file and when it was last changed, in nanoseconds, by the module's name."""

_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).parents[1])


def user_modules() -> Modules:
    """Modules that are neither installed nor rbt_ray's own; `__main__` travels with the objective."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name == "__main__" or file.startswith((*_INSTALLED, _OURS)):
            continue
        try:
            found[name] = (file, Path(file).stat().st_mtime_ns)
        except OSError:
            continue
    return found


def changed(before: Modules, now: Modules) -> bool:
    """Whether a module comes from another file, or its file has other content, than before."""
    return any(name in now and now[name] != stamp for name, stamp in before.items())

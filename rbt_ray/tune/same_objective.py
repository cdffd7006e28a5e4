"""Whether a study continues with the objective it was begun with, and runs the code that this process has loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

import psutil

from rbt_ray.errors import ObjectiveError, StudyMismatchError
from rbt_ray.objectives.address import differences, listed
from rbt_ray.objectives.fingerprint import Fingerprint, codes_of
from rbt_ray.objectives.own_code import Source, closure
from rbt_ray.study.study import Address

_MARGIN_S = 2.0
"""By how much the clocks of a file system and of processes may differ."""
_loaded: dict[str, tuple[ModuleSpec, str]] = {}
"""The modules of earlier studies of this process: what each was imported by, and the hash of its code."""


def refuse_another(then: Address, now: Address, folder: Path) -> None:
    """Refuses to mix the results of two objectives in one table.

    Args:
        then: the objective's that the study was begun with.
        now: the one's that is to go on.
        folder: the study's.

    Raises:
        StudyMismatchError: they differ; the message says in what.
    """
    if changes := differences(then, now):
        raise StudyMismatchError(
            f"the objective is not the one the study in {folder} was begun with ({then.name}). What differs: "
            f"{listed(changes)}. Results of two objectives do not mix: begin a new study under another name, or go on all the "
            f"same by Tuner.restore(..., accept_changes=True) or `rbt-ray resume --accept-changes`."
        )


def refuse_stale(found: Fingerprint, sources: Mapping[str, Source]) -> None:
    """Refuses to send workers a file that this process has loaded an earlier version of.

    What a module was when this process imported it is known of its functions, and from its first study on of all of it. A
    function that a file from before this process does not have is one that a decorator has rewritten.

    Raises:
        ObjectiveError: a module that the objective reaches has changed since.
    """
    for name in closure(found.codes, sources):
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is None or type(spec.loader) is not SourceFileLoader:  # such as pytest's, which rewrites what it loads
            continue
        codes = codes_of(sources[name].content)
        if name not in _loaded or _loaded[name][0] is not spec:  # its first study since it was imported, or reloaded
            _loaded[name] = spec, codes.whole
        whole = _loaded[name][1]
        here = found.codes.get(name, {}) if _is_new(sources[name].file) else {}
        functions = [function for digest, function in here.items() if digest not in codes.functions]
        if functions or whole != codes.whole:
            other = f"`{functions[0]}`" if functions else "version"
            raise ObjectiveError(
                f"{sources[name].file} has changed since this process imported it: workers would run another {other} than is "
                f"loaded here. Start Python again, or `importlib.reload` the module, and make the objective again."
            )


def _is_new(file: str) -> bool:
    """Whether a file was changed since this process was started."""
    try:
        return Path(file).stat().st_mtime > psutil.Process().create_time() - _MARGIN_S
    except (OSError, psutil.Error):
        return True

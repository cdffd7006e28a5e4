"""Checks that a study continues with the same objective, and that workers run the code that this process has imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.errors import StudyMismatchError
from rbt_ray.objectives.address import differences, listed
from rbt_ray.objectives.fingerprint.definitions import Definitions
from rbt_ray.objectives.fingerprint.fingerprint import Fingerprint
from rbt_ray.objectives.fingerprint.own_code import Source, closure, spec_of
from rbt_ray.study.study import Address, Study
from rbt_ray.types import ACCOUNTING

_MARGIN_S = 2.0
"""Seconds by which the clocks of a file system and of the process table may differ."""
_first: dict[str, tuple[Any, Source]] = {}
"""The modules used by studies of this process: the spec each was imported by, and its source at its first study."""
_ran: dict[Path, dict[str, bytes]] = {}
"""For the folder of each study that this process has run: the module sources of the last run."""


def require_same_accounting(study: Study, folder: Path) -> None:
    """Refuses to mix the results of two versions of the accounting rules of backtests in one table.

    Args:
        study: the study's definition.
        folder: the study's folder.

    Raises:
        StudyMismatchError: the study has prices and was begun by another version.
    """
    if study.bundle is not None and study.accounting != ACCOUNTING:
        raise StudyMismatchError(
            f"the study in {folder} was begun by version {study.accounting} of the accounting rules of backtests, and "
            f"the same config scores differently by version {ACCOUNTING}, which is installed. Begin a new study under "
            f"another name, or continue this one with Tuner.restore(..., accept_changes=True)."
        )


def require_same_objective(then: Address, now: Address, folder: Path) -> None:
    """Refuses to mix the results of two objectives in one table.

    Args:
        then: the address of the objective that the study was begun with.
        now: the address of the objective that continues it.
        folder: the study's folder.

    Raises:
        StudyMismatchError: they differ; the message says how.
    """
    if changes := differences(then, now):
        raise StudyMismatchError(
            f"the objective is not the one the study in {folder} was begun with ({then.name}). What differs: "
            f"{listed(changes)}. Results of two objectives cannot be mixed: begin a new study under another name, or "
            f"continue this one with Tuner.restore(..., accept_changes=True) or `rbt-ray resume --accept-changes`."
        )


def changed_parts(found: Fingerprint, sources: Mapping[str, Source]) -> dict[str, str]:
    """Returns the modules whose files differ from what this process has imported, in parts that the objective uses.

    For functions and constants, the imported version is known; for everything else, the version at the first study of this
    process. A function that is missing in a file older than this process was rewritten by a decorator, and is no difference.

    Args:
        found: the objective's fingerprint.
        sources: the user's own modules.

    Returns:
        For each module that differs, the name of a part that does. A part of an edited file that cannot be compared counts as
        different.
    """
    specs = {name: spec_of(name) for name in sources}
    loaded = {name for name, spec in specs.items() if spec is not None and type(spec.loader) is SourceFileLoader}
    for name in loaded:  # loaders such as pytest's rewrite the code they load
        if name not in _first or _first[name][0] is not specs[name]:  # its first study since its import or reload
            _first[name] = specs[name], sources[name]
    started = _started()
    changed = {name for name in loaded if _first[name][1].content != sources[name].content}
    edited = changed | {name for name in loaded if _modified(sources[name].file) > started}
    then, now = Definitions({**sources, **{name: _first[name][1] for name in loaded}}), Definitions(sources)
    differing: dict[str, str] = {}
    for name in sorted(loaded & (found.codes.keys() | found.reads.keys())):
        functions = found.codes.get(name, set())
        values = found.reads.get(name, {})
        if name in edited:
            differing.update((name, function) for function, _ in sorted(functions - now.functions(name)))
        if edited.isdisjoint(closure([name], sources)):
            continue
        for value in sorted(values):
            literal = now.literal(name, value)
            if literal is not None and literal[0] in edited and not _same(literal[1], values[value]):
                differing[literal[0]] = value
        if not changed.isdisjoint(closure([name], sources)):
            for part in sorted({*values, *(function.partition(".")[0] for function, _ in functions)}):
                differing.update((other, part) for other, _ in then.of(name, part) ^ now.of(name, part))
    return differing


def refuse_changed_code(differing: Mapping[str, str], sources: Mapping[str, Source], folder: Path) -> None:
    """Refuses to continue a study with other code than the driver has imported.

    Args:
        differing: the result of `changed_parts`.
        sources: the user's own modules.
        folder: the study's folder. Sources that this process has run the study with before are accepted.

    Raises:
        StudyMismatchError: a module that the objective uses differs.
    """
    before = _ran.get(folder.absolute(), {})
    if new := {name: part for name, part in differing.items() if before.get(name) != sources[name].content}:
        raise StudyMismatchError(
            f"{describe_changes(new, sources)} The study in {folder} may have been begun with either version, and results of two "
            f"objectives cannot be mixed. To continue it with the file as it is now, pass accept_changes=True to Tuner.restore."
        )


def record_sources(sources: Mapping[str, Source], folder: Path) -> None:
    """Remembers the module sources that the study in a folder is run with."""
    _ran[folder.absolute()] = {name: source.content for name, source in sources.items()}


def describe_changes(differing: Mapping[str, str], sources: Mapping[str, Source]) -> str:
    """Returns a message about modules whose files differ from what this process has imported."""
    files = ", ".join(f"{sources[name].file} (`{part}`)" for name, part in sorted(differing.items()))
    differ, the_file, it = ("differs", "the file", "it") if len(differing) == 1 else ("differ", "the files", "them")
    return (
        f"{files} {differ} from what this process imported, and workers run the current version of {the_file}. Restart Python, "
        f"or reload {it} and the modules that import from {it} and create the objective again."
    )


def _same(literal: Any, value: Any) -> bool:
    return type(value) is type(literal) and (value == literal if type(literal) is set else repr(value) == repr(literal))


def _started() -> float:
    """Returns when this process started, in seconds since the epoch, less a margin; -inf if it is not known."""
    try:
        return psutil.Process().create_time() - _MARGIN_S
    except psutil.Error:
        return -math.inf


def _modified(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return math.inf

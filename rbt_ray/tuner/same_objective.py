"""Whether a study continues with the objective it was begun with, and runs the code that this process has imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.errors import StudyMismatchError
from rbt_ray.objectives.address import differences, listed
from rbt_ray.objectives.definitions import Definitions
from rbt_ray.objectives.fingerprint import Fingerprint
from rbt_ray.objectives.own_code import Source, closure, spec_of
from rbt_ray.study.study import Address

_MARGIN_S = 2.0
"""By how much the clocks of a file system and of processes may differ."""
_first: dict[str, tuple[Any, Source]] = {}
"""The modules of studies of this process: the spec each was imported by, and its source at its first study."""
_ran: dict[Path, dict[str, bytes]] = {}
"""By the folder of each study that this process has run, the sources of the modules that it last ran it with."""


def require_same_objective(then: Address, now: Address, folder: Path) -> None:
    """Refuses to mix the results of two objectives in one table.

    Args:
        then: the objective's that the study was begun with.
        now: the address of the objective that continues it.
        folder: the study's.

    Raises:
        StudyMismatchError: they differ; the message says in what.
    """
    if changes := differences(then, now):
        raise StudyMismatchError(
            f"the objective is not the one the study in {folder} was begun with ({then.name}). What differs: "
            f"{listed(changes)}. Results of two objectives do not mix: begin a new study under another name, or "
            f"continue this one with Tuner.restore(..., accept_changes=True) or `rbt-ray resume --accept-changes`."
        )


def changed_parts(found: Fingerprint, sources: Mapping[str, Source]) -> dict[str, str]:
    """Where the sources that workers will run differ from what this process has of the parts that an objective reaches.

    What a module was when this process imported it is known of its functions and of constants, and of all else from its
    first study on. A function that a file from before this process does not have is one that a decorator has rewritten.

    Args:
        found: the objective's fingerprint.
        sources: the user's own modules.

    Returns:
        By the name of each module that differs, the name of a part that does. Where a module's file was changed and it is
        not known whether a part is the same, it counts as different.
    """
    specs = {name: spec_of(name) for name in sources}
    loaded = {name for name, spec in specs.items() if spec is not None and type(spec.loader) is SourceFileLoader}
    for name in loaded:  # and not by a loader such as pytest's, which rewrites what it loads
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
    """Refuses to continue a study with other code than the driver compared.

    Args:
        differing: what `changed_parts` found.
        sources: the user's own modules.
        folder: the study's. What this process has run it with before, it may run it with again.

    Raises:
        StudyMismatchError: a module that the objective reaches differs.
    """
    before = _ran.get(folder.absolute(), {})
    if new := {name: part for name, part in differing.items() if before.get(name) != sources[name].content}:
        raise StudyMismatchError(
            f"{describe_changes(new, sources)} The study in {folder} may have been begun with either version: results of two "
            f"objectives do not mix. To continue it with the file as it is now, pass accept_changes=True to Tuner.restore."
        )


def record_sources(sources: Mapping[str, Source], folder: Path) -> None:
    """Records what the study in a folder is run with."""
    _ran[folder.absolute()] = {name: source.content for name, source in sources.items()}


def describe_changes(differing: Mapping[str, str], sources: Mapping[str, Source]) -> str:
    """A message about modules whose files differ from what this process has imported."""
    files = ", ".join(f"{sources[name].file} (`{part}`)" for name, part in sorted(differing.items()))
    one = len(differing) == 1
    return (
        f"{files} {'differs' if one else 'differ'} from what this process imported: workers run {'the file' if one else 'the files'} "
        f"as {'it is' if one else 'they are'} now. Reload {'it' if one else 'them'} and the modules that import from "
        f"{'it' if one else 'them'}, and make the objective again, or restart Python, for the driver to agree."
    )


def _same(literal: Any, value: Any) -> bool:
    return type(value) is type(literal) and (value == literal if type(literal) is set else repr(value) == repr(literal))


def _started() -> float:
    """When this process was started, in seconds since the epoch, less a margin; -inf where that is not known."""
    try:
        return psutil.Process().create_time() - _MARGIN_S
    except psutil.Error:
        return -math.inf


def _modified(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return math.inf

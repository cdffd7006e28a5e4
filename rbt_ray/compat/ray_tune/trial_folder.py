"""What a trial has reported, in its folder: one JSON line a report, and its checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trial import flat

Report = dict[str, Any]
CHECKPOINT_DIR = "checkpoint_dir_name"
_FILE = "reports.jsonl"
_CHECKPOINT = re.compile(r"checkpoint_\d{6,}")
_END = {"trial_ended": True}
"""The last line of a trial that ended by itself or by its stopping criteria: more of it will not come."""


class Records:
    """A trial's folder.

    Args:
        folder: made when first written to.
        keep: which checkpoints stay.
    """

    def __init__(self, folder: str | Path, keep: CheckpointConfig) -> None:
        self._folder, self._keep = Path(folder), keep

    def read(self) -> tuple[list[Report], bool]:
        """All reports, and whether the trial ended; a line that was cut off, or is no report, is left out with the rest."""
        found: list[Report] = []
        file = self._folder / _FILE
        for line in file.read_text(errors="replace").splitlines() if file.exists() else ():
            try:
                report = json.loads(line)
            except ValueError:
                break
            if not isinstance(report, dict):
                break
            found.append(report)
        ended = bool(found) and found[-1] == _END
        if ended and len(found) > 1:
            found[-2]["done"] = True
        return (found[:-1] if ended else found), ended

    def begin(self, reports: list[Report]) -> None:
        """Begins again after these reports."""
        private_files.make_folder(self._folder, flush=False)
        private_files.write(self._folder / _FILE, "".join(f"{to_json(report)}\n" for report in reports))

    def add(self, report: Report) -> None:
        """One report more."""
        self._write(report)

    def end(self) -> None:
        """There will be no more."""
        self._write(_END)

    def latest(self, reports: list[Report]) -> tuple[int, Checkpoint] | None:
        """The latest checkpoint that is there, and after how many of the reports it was taken."""
        for number in range(len(reports), 0, -1):
            if (checkpoint := self.checkpoint(reports[number - 1])) is not None:
                return number, checkpoint
        return None

    def checkpoint(self, report: Report) -> Checkpoint | None:
        """The one that came with a report, unless it was let go."""
        name = report.get(CHECKPOINT_DIR)
        if not isinstance(name, str) or not _CHECKPOINT.fullmatch(name):  # a path would lead out of the folder
            return None
        return Checkpoint(self._folder / name) if (self._folder / name).is_dir() else None

    def store(self, number: int, fill: Callable[[str], Any]) -> Path:
        """The checkpoint after the `number`-th report; `fill` writes it into a folder, which appears whole."""
        target = self._folder / f"checkpoint_{number - 1:06d}"
        partial = target.with_name(f".{target.name}")
        for folder in (partial, target):
            shutil.rmtree(folder, ignore_errors=True)
        private_files.make_folder(partial, flush=False)
        fill(str(partial))
        private_files.restrict_to_owner(partial)
        return partial.rename(target)

    def prune(self, reports: list[Report]) -> None:
        """Lets checkpoints go that `CheckpointConfig` does not keep; the latest always stays."""
        if self._keep.num_to_keep is None:
            return
        held = [report for report in reports if self.checkpoint(report) is not None]
        key = self._keep.checkpoint_score_attribute
        if key is not None:
            sign = 1.0 if self._keep.checkpoint_score_order == "max" else -1.0
            scored = sorted(held, key=lambda report: _rank(flat(report).get(key), sign))
            spare = [report for report in scored[: -self._keep.num_to_keep] if report is not held[-1]]
        else:
            spare = held[: -self._keep.num_to_keep]
        for report in spare:
            shutil.rmtree(self._folder / report[CHECKPOINT_DIR], ignore_errors=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        private_files.append(self._folder / _FILE, f"{to_json(line)}\n")


def to_json(value: Any) -> str:
    """JSON of what a trainable reported: numpy's numbers and arrays as Python's, other objects as their text."""
    return json.dumps(value, default=_plain)


def _rank(value: Any, sign: float) -> tuple[bool, float]:
    """Among a trial's checkpoints: what is no number comes before everything else, and goes first."""
    score = np.nan if value is None else float(value)
    return (False, 0.0) if np.isnan(score) else (True, sign * score)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else str(value)

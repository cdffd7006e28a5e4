"""All studies below a folder as one table, a row per study, for `rbt.studies` and `rbt-ray ls`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rbt_ray.errors import RbtError, SettingError, StudyNotFoundError
from rbt_ray.html_text import encodable
from rbt_ray.os_errors import explanation
from rbt_ray.store import trust
from rbt_ray.store.continuation import since_extension, study_of
from rbt_ray.store.journal import Distrusted, Ended, Journal, Reviewed
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.lease import is_running
from rbt_ray.store.storage import is_uri
from rbt_ray.store.study_record import read_study
from rbt_ray.study.study import Study
from rbt_ray.types import Config

if TYPE_CHECKING:
    import pandas as pd

READ_WHOLE = 10_000
"""Studies with more trials are not read whole."""


@dataclass(frozen=True, slots=True)
class StudySummary:
    """What one line says of a study; None for what is not known, and `note` says why.

    Args:
        name: the study's name; its folder's if it cannot be read.
        path: the study's folder.
        state: "done", "running", "killed" (its last run did not record an end), "unreadable", or why its last run ended early.
        n_trials: how many trials have finished.
        n_failed: how many of them did not complete.
        metric: the metric that the study optimizes; of several, the first.
        mode: "max" or "min".
        best: that metric of the best feasible trial at full fidelity.
        config: that trial's config.
        verdict: the verdict's word, of a study that is done.
        started: when the first batch started, in seconds since the epoch.
        ended: when the last batch ended, in seconds since the epoch.
        note: why something is missing.
    """

    name: str
    path: str
    state: str
    n_trials: int | None = None
    n_failed: int | None = None
    metric: str | None = None
    mode: str | None = None
    best: float | None = None
    config: Config | None = None
    verdict: str | None = None
    started: float | None = None
    ended: float | None = None
    note: str | None = None


def studies(path: str | Path = "studies") -> pd.DataFrame:
    """Returns the studies below a folder, the latest first: a row per study, with the columns of `StudySummary`.

    `started` and `ended` are in UTC. A study that cannot be read is a row whose `note` says why. Of a study with more than
    10,000 trials only the counts and the review of the best trials are read, so it has no `n_failed` and no `verdict`.

    Args:
        path: a folder with studies, at any depth, or one study's folder.

    Raises:
        StudyNotFoundError: there is no such folder, or no study below it.
        SettingError: the path is a URI.
    """
    import pandas as pd

    rows = [asdict(found) for found in summaries(path)]
    frame = pd.DataFrame({field.name: pd.Series([row[field.name] for row in rows]) for field in fields(StudySummary)})
    for name in ("n_trials", "n_failed"):
        frame[name] = frame[name].astype("Int64")
    for name in ("started", "ended"):
        frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True)
    frame["best"] = frame["best"].astype("float64")
    for name in ("name", "path", "state", "metric", "mode", "config", "verdict", "note"):
        frame[name] = pd.Series([_encodable(row[name]) for row in rows], dtype=object)
    return frame


def summaries(path: str | Path) -> list[StudySummary]:
    """Returns a summary of each study below a folder, the latest first; see `studies`."""
    if is_uri(path):
        raise SettingError(
            "studies are listed below a folder of this machine, and this is a URI. `rbt-ray show URI` prints one study there."
        )
    top = Path(path)
    if not top.is_dir():
        raise StudyNotFoundError(f"there is no folder {top}.")
    found = [summary_of(folder) for folder in _folders(top)]
    if not found:
        raise StudyNotFoundError(f"there are no studies below {top}.")
    return sorted(found, key=lambda one: (-(one.ended or 0.0), one.path))


def summary_of(folder: Path) -> StudySummary:
    """Returns the summary of the study in a folder; if it cannot be read, `note` says why."""
    name = folder.resolve().name
    try:
        return _read(folder)
    except RbtError as error:
        return StudySummary(name, str(folder), "unreadable", note=str(error))
    except (OSError, MemoryError) as error:
        return StudySummary(name, str(folder), "unreadable", note=explanation(error) or f"{folder}: {error}.")


def _folders(top: Path) -> Iterator[Path]:
    """Yields the folders of studies in the order of their names; what is inside of a study's folder belongs to it."""
    for folder, inner, files in os.walk(top):
        if FILE_NAME in files:
            inner.clear()
            yield Path(folder)
        inner.sort()


def _read(folder: Path) -> StudySummary:
    running = is_running(folder)
    with closing(Journal(folder)) as journal:
        study = study_of(journal)
        n, started, ended, last = journal.count_trials()
        few = list(journal.read_few("reviewed", *trust.KINDS))
    facts: dict[str, object] = {"metric": study.metric, "mode": study.mode, "started": started, "ended": ended}
    ends = [event for event in few if isinstance(event, Ended)]
    state = "running" if running else "killed" if last != "ended" or not ends else ends[-1].reason
    if n > READ_WHOLE and not any(isinstance(event, Distrusted) for event in few):  # else some are counted twice
        facts |= _from_review(study, n, [event for event in since_extension(few) if isinstance(event, Reviewed)], state)
    else:
        facts |= _from_trials(folder, state)
    return StudySummary(study.name, str(folder), state, **facts)  # type: ignore[arg-type]  # by name


def _from_review(study: Study, n: int, reviews: list[Reviewed], state: str) -> dict[str, object]:
    why = f"{n:,} trials, which were counted and not read: `rbt-ray show` reads them"
    if state != "done" or not reviews or not reviews[-1].rows:
        return {"n_trials": n, "note": why}
    best = reviews[-1].rows[0]
    value = best["sweep"].get(study.metric)
    return {"n_trials": n, "best": value, "config": best["config"], "note": why}


def _from_trials(folder: Path, state: str) -> dict[str, object]:
    from rbt_ray.analysis.recorded import verdict_inputs
    from rbt_ray.analysis.verdict import judge

    record = read_study(folder)
    found: dict[str, object] = {"n_trials": len(record), "n_failed": record.num_errors}
    if len(record.best_row):
        result = record.table.results()[int(record.best_row[0])]
        found |= {"best": result.metrics[record.study.metric], "config": dict(result.config)}
    elif len(record):
        found["note"] = str(record.no_result())
    if state == "done" and len(record):
        found["verdict"] = judge(verdict_inputs(record)).word
    return found


def _encodable(value: object) -> object:
    return encodable(value) if isinstance(value, str) else value

"""Shows progress: a bar in a terminal, a line that changes in a notebook, else a line on stderr every second. Calls callbacks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.columns import Proposals, Results
from rbt_ray.engine.progress import Progress
from rbt_ray.store.journal import Finished
from rbt_ray.study.study import Study
from rbt_ray.tuner.notebook import ChangingLine, is_notebook

if TYPE_CHECKING:
    from rbt_ray.tuner.result_grid import ResultGrid

_LINE_SECONDS = 1.0


@contextmanager
def show_progress(progress: Progress, *, verbose: int) -> Iterator[None]:
    """Shows a study's progress until the block ends, and then the study's notes; shows nothing for ``verbose=0``.

    If the terminal was closed, the study continues without output.
    """
    if not verbose:
        yield
        return
    if sys.stderr.isatty():
        shown = _bar(progress)
    elif is_notebook():
        shown = _changing_line(progress)
    else:
        shown = _every_second(lambda: _print(line(progress)))
    with shown:
        yield
    for note in progress.notes:
        _print(note)


def _print(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _every_second(show: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(_LINE_SECONDS):
            show()

    printer = threading.Thread(target=repeat, name="rbt-ray-progress", daemon=True)
    printer.start()
    try:
        yield
    finally:
        stop.set()
        printer.join()


@contextmanager
def _changing_line(progress: Progress) -> Iterator[None]:
    shown = ChangingLine()
    shown.show(line(progress))
    try:
        with _every_second(lambda: shown.show(line(progress))):
            yield
    finally:
        shown.show(line(progress))


@contextmanager
def _bar(progress: Progress) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    class Status:
        def __rich__(self) -> Table:
            row = Table.grid(padding=(0, 2))
            bar = ProgressBar(
                total=progress.total or None, completed=progress.n_done, width=30, pulse=progress.total is None
            )
            row.add_row(bar, Text(line(progress), style="cyan"))
            return row

    live = Live(Status(), console=Console(stderr=True), refresh_per_second=5, transient=True)
    live.start()
    try:
        yield
    finally:
        with suppress(OSError):
            live.stop()


def line(progress: Progress) -> str:
    """Returns trials done and in total, pace, best metric, failures, infeasible trials and time left, in one line."""
    of = "" if progress.total is None else f"/{progress.total:,}"
    best = "-" if progress.best is None else f"{progress.best:.4g}"
    parts = [f"{progress.n_done:,}{of} trials", f"best {progress.study.metric} {best}"]
    if progress.study.further_goals:
        parts.append(f"{len(progress.front):,} on the Pareto front")
    if progress.n_failed:
        parts.append(f"{progress.n_failed:,} without a result")
    if progress.n_infeasible:
        parts.append(f"{progress.n_infeasible:,} infeasible")
    if progress.stage:
        return " | ".join([*parts, progress.stage])
    parts.insert(1, f"{progress.trials_per_s:,.0f}/s")
    if progress.total is not None and progress.trials_per_s > 0:
        parts.append(f"{duration((progress.total - progress.n_done) / progress.trials_per_s)} left")
    return " | ".join(parts)


def duration(seconds: float) -> str:
    """Formats seconds: "8 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Callbacks:
    """Calls `on_trial_complete(result)` and `on_study_end(results)` of each callback object that has them.

    Callbacks run in the driver, between batches. An exception that one raises stops the study, which can be resumed.
    """

    def __init__(self, callbacks: Sequence[Any], study: Study) -> None:
        self._study = study
        self._on_trial = [c.on_trial_complete for c in callbacks if hasattr(c, "on_trial_complete")]
        self._on_end = [c.on_study_end for c in callbacks if hasattr(c, "on_study_end")]

    def on_finished(self, event: Finished) -> None:
        """Calls `on_trial_complete` for each trial of a batch that finished in this run."""
        if not self._on_trial:
            return
        n = len(event.trials)
        fidelity = event.outcomes.reached(np.full(n, event.fidelity))
        proposals = Proposals(event.points, fidelity, self._study.space)
        loss = self._study.loss_of(event.outcomes.metrics, n)
        violation = self._study.violation(event.points, event.outcomes, event.fidelity)
        losses = self._study.losses_of(event.outcomes.metrics, n) if self._study.further_goals else None
        for result in Results(event.trials, proposals, event.outcomes, loss, [event.worker] * n, violation, losses):
            for call in self._on_trial:
                call(result)

    def on_study_end(self, results: ResultGrid) -> None:
        """Calls `on_study_end` after a run has completed or stopped."""
        for call in self._on_end:
            call(results)

"""Shows progress on stderr: a bar in a terminal or notebook, else a line of text every second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rbt_ray.engine.progress import Progress

_LINE_SECONDS = 1.0


@contextmanager
def show_progress(progress: Progress, *, verbose: int) -> Iterator[None]:
    """Shows the progress of a study until the block ends, then its notes; shows nothing for ``verbose=0``.

    If the terminal was closed, the study continues without output.
    """
    if not verbose:
        yield
        return
    with _bar(progress) if sys.stderr.isatty() else _lines(progress):
        yield
    for note in progress.notes:
        _print(note)


def _print(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _lines(progress: Progress) -> Iterator[None]:
    stop = threading.Event()

    def print_lines() -> None:
        while not stop.wait(_LINE_SECONDS):
            _print(line(progress))

    printer = threading.Thread(target=print_lines, name="rbt-ray-progress", daemon=True)
    printer.start()
    try:
        yield
    finally:
        stop.set()
        printer.join()


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

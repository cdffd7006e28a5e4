"""Live progress on stderr: a bar in a terminal or notebook, one plain line a second elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rbt_ray.engine.watch import Watch

_LINE_SECONDS = 1.0


@contextmanager
def show_progress(watch: Watch, *, verbose: int) -> Iterator[None]:
    """Shows how a study gets on until the block ends, then what it decided; nothing for ``verbose=0``.

    A terminal that was closed ends no study: what cannot be shown is left out.
    """
    if not verbose:
        yield
        return
    with _bar(watch) if sys.stderr.isatty() else _lines(watch):
        yield
    for note in watch.notes:
        _print(note)


def _print(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _lines(watch: Watch) -> Iterator[None]:
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(_LINE_SECONDS):
            _print(line(watch))

    teller = threading.Thread(target=tell, name="rbt-ray-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        stop.set()
        teller.join()


@contextmanager
def _bar(watch: Watch) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    class Status:
        def __rich__(self) -> Table:
            row = Table.grid(padding=(0, 2))
            bar = ProgressBar(total=watch.total or None, completed=watch.n_done, width=30, pulse=watch.total is None)
            row.add_row(bar, Text(line(watch), style="cyan"))
            return row

    live = Live(Status(), console=Console(stderr=True), refresh_per_second=5, transient=True)
    live.start()
    try:
        yield
    finally:
        with suppress(OSError):
            live.stop()


def line(watch: Watch) -> str:
    """Done and total, pace, best so far, failures and time left, in one line."""
    of = "" if watch.total is None else f"/{watch.total:,}"
    best = "-" if watch.best is None else f"{watch.best:.4g}"
    parts = [f"{watch.n_done:,}{of} trials", f"best {watch.study.metric} {best}"]
    if watch.n_failed:
        parts.append(f"{watch.n_failed:,} without a result")
    if watch.stage:
        return " | ".join([*parts, watch.stage])
    parts.insert(1, f"{watch.trials_per_s:,.0f}/s")
    if watch.total is not None and watch.trials_per_s > 0:
        parts.append(f"{duration((watch.total - watch.n_done) / watch.trials_per_s)} left")
    return " | ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

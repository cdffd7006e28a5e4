"""Prints a table of all studies below a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rbt_ray.cli.streams import visible
from rbt_ray.cli.tables import cell, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from rbt_ray.tuner.studies import StudySummary

_LEAST_COLUMNS = 4


def list_studies(path: Path, *, as_json: bool) -> int:
    """Prints the studies below a folder, the latest first; returns 1 if one of them cannot be read."""
    from rbt_ray.tuner.studies import summaries

    found = summaries(path)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(path, found)
    return int(any(one.state == "unreadable" for one in found))


def _print(path: Path, found: Sequence[StudySummary]) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, markup=False)
    unlimited = console.options.update(max_width=10_000)
    columns: list[tuple[str, Callable[[StudySummary], str]]] = [
        ("study", lambda one: os.path.relpath(one.path, path) if Path(one.path) != path else one.name),
        ("state", lambda one: one.state),
        ("trials", lambda one: "-" if one.n_trials is None else f"{one.n_trials:,}"),
        ("best", lambda one: "-" if one.best is None else f"{one.metric} {cell(one.best)}"),
        ("verdict", lambda one: one.verdict or "-"),
        ("last trial (UTC)", lambda one: _time(one.ended)),
    ]
    table = _table(columns, found)
    while len(columns) > _LEAST_COLUMNS and console.measure(table, options=unlimited).maximum > console.width:
        columns.pop()
        table = _table(columns, found)
    console.print(table)
    for one in found:
        if one.note is not None:
            console.print(visible(f"{one.name}: {one.note}"), highlight=False, soft_wrap=True)


def _table(columns: Sequence[tuple[str, Callable[[StudySummary], str]]], found: Sequence[StudySummary]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title, _ in columns:
        table.add_column(title, justify="right" if title == "trials" else "left", overflow="fold")
    for one in found:
        style = "red" if one.state == "unreadable" else ""
        table.add_row(*(Text(visible(text_of(one)), style=style) for _, text_of in columns))
    return table


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")

"""The windows of a walk-forward as HTML tables: what was chosen on which bars, and what it gave on the next ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.analysis.recorded import walk_forward_of
from rbt_ray.analysis.validation import validation_result
from rbt_ray.analysis.walk_forward import WalkForwardResult
from rbt_ray.block_sums import block_ends
from rbt_ray.reporting.best_trials import format_option
from rbt_ray.reporting.text import align_decimals, escape, exact_json, format_value, scrolling, shortened
from rbt_ray.reporting.verdict_charts import bar_times, beside_name
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.types import FloatArray

_MOST_OPEN = 24
"""Tables with more windows are collapsed."""
_MOST_RANGES = 2


@dataclass(frozen=True, slots=True)
class _Row:
    """One window.

    Args:
        train: ranges of bars, each the first and the one after the last.
        test: ranges of bars.
        trial: the number of the chosen trial; None if none was chosen.
        params: its values by flat name.
        in_sample: on the bars that it was chosen on.
        out_of_sample: on the test bars.
        benchmark: of the benchmark on the test bars; None if unknown.
        error: why there is no value on the test bars.
    """

    train: Sequence[tuple[int, int]]
    test: Sequence[tuple[int, int]]
    trial: int | None
    params: Mapping[str, Any]
    in_sample: float
    out_of_sample: float
    benchmark: float | None = None
    error: str | None = None


def windows(record: StudyRecord) -> str:
    """Returns the tables of the study's validation and of the walk-forwards by blocks; empty if there are none."""
    times, parts, by_blocks = bar_times(record), [], ""
    validation = record.study.validation
    if validation is not None and record.validated is not None:
        found = validation_result(record.validated, validation.name, record.study.metric)
        rows = [
            _Row(
                one.train,
                one.test,
                one.trial,
                _flat(one.config or {}),
                one.in_sample,
                one.out_of_sample,
                error=one.error,
            )
            for one in found.windows
        ]
        summary = _summary(found.in_sample, found.out_of_sample, found.efficiency, record.study.metric)
        parts.append(_table(validation.name, record.study.metric, rows, summary, times, None))
    for title, anchored in (
        ("Rolling, 8 blocks to choose on and 1 to test", False),
        ("Anchored at the first bar", True),
    ):
        walk = walk_forward_of(record, anchored=anchored)
        if walk is not None:
            beside = beside_name(record)
            text = f"Sharpe ratio of all test blocks: {walk.sharpe:.2f}"
            text += "." if beside is None else f"; {beside} {walk.benchmark_sharpe:.2f}."
            by_blocks += _table(title, "Sharpe ratio", _of_blocks(walk, record), text, times, beside)
    if by_blocks and parts:
        by_blocks = f"<details><summary>Walk-forward by blocks</summary>{by_blocks}</details>"
    return "".join(parts) + by_blocks


def _of_blocks(walk: WalkForwardResult, record: StudyRecord) -> list[_Row]:
    assert record.benchmark is not None
    table = record.table
    ends = [0, *block_ends(int(record.benchmark.lengths.sum())).tolist()]
    at = np.searchsorted(table.trials, [window.trial for window in walk.windows])
    columns, points = table.study.space.columns(table.points[at]), table.points[at]
    rows = []
    for place, window in enumerate(walk.windows):
        active = [name for name, value in zip(columns, points[place], strict=True) if not math.isnan(value)]
        train, test = ((ends[first], ends[last]) for first, last in (window.train, window.test))
        rows.append(
            _Row(
                [train],
                [test],
                window.trial,
                {name: columns[name][place] for name in active},
                window.in_sample,
                window.out_of_sample,
                window.benchmark,
            )
        )
    return rows


def _table(
    title: str, metric: str, rows: Sequence[_Row], summary: str, times: FloatArray | None, beside: str | None
) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    heads = [
        "chosen on",
        "tested on",
        "trial",
        *(escape(name) for name in names),
        f"{escape(metric)}<br><small>in sample</small>",
        f"{escape(metric)}<br><small>out of sample</small>",
    ]
    columns = [align_decimals(row.in_sample for row in rows), align_decimals(row.out_of_sample for row in rows)]
    if beside is not None:
        heads.append(f"{escape(beside)}<br><small>out of sample</small>")
        columns.append(align_decimals(row.benchmark for row in rows))
    body = ""
    for place, row in enumerate(rows):
        cells = [_bars(row.train, times), _bars(row.test, times), "–" if row.trial is None else str(row.trial)]
        cells += [format_option(row.params[name]) if name in row.params else "–" for name in names]
        marked = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        values = "".join(
            f'<td data-value="{escape(exact_json(value if math.isfinite(value) else None))}">{escape(column[place])}</td>'
            for column, value in zip(columns, (row.in_sample, row.out_of_sample, row.benchmark or 0.0), strict=False)
        )
        body += f'<tr><th scope="row">{place + 1}</th>{marked}{values}</tr>'
        if row.error is not None:
            body += f'<tr><td colspan="{len(heads) + 1}" class="error">{escape(shortened(row.error, 300))}</td></tr>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("window", *heads))
    table = scrolling(f'<table class="windows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', title)
    if len(rows) > _MOST_OPEN:
        table = f"<details><summary>{len(rows):,} windows</summary>{table}</details>"
    return f"<h3>{escape(title)}</h3><p>{escape(summary)}</p>{table}"


def _summary(in_sample: float, out_of_sample: float, efficiency: float, metric: str) -> str:
    text = f"Mean {metric} of the windows: {format_value(in_sample)} in sample, {format_value(out_of_sample)} out of sample."
    return text + (f" Efficiency: {efficiency:.0%}." if math.isfinite(efficiency) else "")


def _bars(ranges: Sequence[tuple[int, int]], times: FloatArray | None) -> str:
    """Returns ranges of bars as dates, or as numbers if the times are unknown; many ranges as their number of bars."""
    if len(ranges) > _MOST_RANGES:
        return f"{sum(stop - start for start, stop in ranges):,} bars in {len(ranges)} ranges"
    if times is None:
        return ", ".join(f"bars {start:,} to {stop - 1:,}" for start, stop in ranges)
    at = times[[[start, stop - 1] for start, stop in ranges]].astype(np.int64).astype("datetime64[ms]")
    days = np.datetime_as_string(at, "D").tolist()
    return ", ".join(f"{first} to {last}" for first, last in days)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat

"""Parameters as chart axes: positions of values, and cells for heat maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rbt_ray.reporting.text import label
from rbt_ray.reporting.theme import clip_for_plot
from rbt_ray.store.table import TrialTable
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.types import FloatArray, IntArray

MOST_CELLS = 60
OFF = "off"
"""The label for trials in which a condition excludes the parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The axis of one parameter, for some trials.

    Args:
        name: the parameter's name.
        position: ``(n,)`` the number itself, or the index of an option in `options`; NaN if the parameter is off.
        options: the options' labels; empty for numbers.
        log: whether the scale is logarithmic.
        cell: ``(n,)`` indices into `labels`.
        labels: the cells' unique labels for plotly; the last is `OFF` if the parameter is off in some trials.
    """

    name: str
    position: FloatArray
    options: tuple[str, ...]
    log: bool
    cell: IntArray
    labels: tuple[str, ...]


def axes_of(table: TrialTable, rows: IntArray) -> list[Axis]:
    """Returns an axis for each parameter with more than one value in these rows."""
    space, points = table.study.space, table.points[rows]
    axes = [
        axis_of(name, domain, column)
        for name, domain, column in zip(space.names, space.domains, points.T, strict=True)
        if len(column)
    ]
    return [axis for axis in axes if len(axis.labels) > 1]


def axis_of(name: str, domain: Domain, column: FloatArray) -> Axis:
    """Returns the axis for one column of points."""
    if isinstance(domain, Choice) and not all(_is_number(option) for option in domain.options):
        options = tuple(option if isinstance(option, str) else repr(option) for option in domain.options)
        cell, labels = _cells_of_options(column, options)
        position, log = column, False
    else:
        position, options, log = clip_for_plot(domain.numbers(column)), (), "log" in domain.kind
        cell, labels = _cells_of_numbers(position, log=log)
    off = np.isnan(column)
    if off.any():
        cell = np.where(off, len(labels), cell)
        labels = (*labels, OFF)
    return Axis(name, position, options, log, cell, labels)


def most_influential(axes: Sequence[Axis], loss: FloatArray, most: int) -> list[Axis]:
    """Returns the axes whose cells differ most in the mean rank of their trials' loss, in their given order."""
    if len(axes) <= most:
        return list(axes)
    rank = np.argsort(np.argsort(loss, kind="stable")).astype(np.float64)
    spread = [_between(axis.cell, rank) for axis in axes]
    chosen = sorted(sorted(range(len(axes)), key=lambda i: -spread[i])[:most])
    return [axes[i] for i in chosen]


def _between(cell: IntArray, rank: FloatArray) -> float:
    n = np.bincount(cell)
    means = np.bincount(cell, rank) / np.maximum(n, 1)
    return float((n * (means - rank.mean()) ** 2).sum())


def _cells_of_options(column: FloatArray, options: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    used, n = np.unique(column[~np.isnan(column)].astype(np.int64), return_counts=True)
    cell_of = np.full(len(options) + 1, -1)
    if len(used) <= MOST_CELLS:
        cell_of[used] = np.arange(len(used))
        labels = [label(options[i]) for i in used]
    else:  # the most frequent options keep separate cells
        kept = np.sort(used[np.argsort(-n, kind="stable")[: MOST_CELLS - 1]])
        cell_of[used] = len(kept)
        cell_of[kept] = np.arange(len(kept))
        labels = [*(label(options[i]) for i in kept), f"{len(used) - len(kept)} others"]
    return cell_of[np.where(np.isnan(column), -1, column).astype(np.int64)], _distinct(labels)


def _cells_of_numbers(numbers: FloatArray, *, log: bool) -> tuple[IntArray, tuple[str, ...]]:
    values = np.unique(numbers[~np.isnan(numbers)])
    if len(values) <= MOST_CELLS:
        return np.searchsorted(values, numbers), _distinct(_number(v) for v in values.tolist())
    low, high = float(values[0]), float(values[-1])
    whole = bool((values == np.rint(values)).all()) and not log
    if whole:
        width = -(-(high - low + 1) // MOST_CELLS)
        edges = low + width * np.arange(MOST_CELLS + 1)
        edges = edges[: np.searchsorted(edges, high, side="right") + 1]
    else:
        edges = np.geomspace(low, high, MOST_CELLS + 1) if log else np.linspace(low, high, MOST_CELLS + 1)
    cell = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    ends = edges[1:] - 1 if whole else edges[1:]
    digits = 12 if whole else 3
    texts = [
        _number(a, digits) if a == b else f"{_number(a, digits)} to {_number(b, digits)}"
        for a, b in zip(edges[:-1].tolist(), ends.tolist(), strict=True)
    ]
    return cell, _distinct(texts)


def _is_number(option: object) -> bool:
    return type(option) is int or (type(option) is float and math.isfinite(option))


def _number(value: float, digits: int = 6) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.{digits}g}"


def _distinct(labels: Iterable[str]) -> tuple[str, ...]:
    """Makes labels unique, since plotly merges equal ones."""
    found: dict[str, None] = {}
    for text in labels:
        name, number = text, 1
        while name in found:
            number += 1
            name = f"{text} ({number})"
        found[name] = None
    return tuple(found)

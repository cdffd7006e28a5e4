"""Whether what an event says can be: its checksum shows that nobody changed it, not that it was one of ours who wrote it.

Everything is looked at once, when events are read and when a table is made of them, so that whoever shows or draws it may
trust it.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.study.space import Space
from rbt_ray.types import RESULT_COLUMNS, STATUSES, FloatArray

LATEST_S = 4_102_444_800.0
"""The year 2100, in seconds since the epoch: no batch has begun later, or taken longer."""
_DETAILS = ("order_level", "holdout", "holdout_order_level")
_LARGEST = 2**62
_LARGEST_INT = int(sys.float_info.max)


def finished(header: dict[str, Any], body: bytes) -> None:
    """Looks at a batch's header, and whether its body can hold that many trials.

    Raises:
        ValueError: it cannot, or a part of the header is not what it should be.
    """
    n = header["n"]
    must(whole(n, 1, len(body) // 8), "n", n)  # every trial has at least its duration there
    must(whole(header["n_params"], 0, len(body) // 8), "n_params", header["n_params"])
    must(whole(header["first"], 0, _LARGEST), "first", header["first"])
    must(number(header["fidelity"]) and 0 < header["fidelity"] <= 1, "fidelity", header["fidelity"])
    for name in ("contiguous", "all_completed"):
        must(isinstance(header[name], bool), name, header[name])
    for name in ("started", "cpu_s", "wall_s"):
        must(number(header[name]) and 0 <= header[name] <= LATEST_S, name, header[name])
    must(isinstance(header["worker"], str), "worker", header["worker"])
    must(whole(header.get("accounting", 1), 1, _LARGEST), "accounting", header.get("accounting"))
    for row, text in header["errors"].items():
        must(whole(int(row), 0, n - 1) and isinstance(text, str), "errors", text)
    for row, n_reports in header.get("checkpoints", {}).items():
        must(whole(int(row), 0, n - 1) and whole(n_reports, 0, _LARGEST), "checkpoints", n_reports)
    for name, described in header["metrics"].items():
        must(isinstance(described["all"], bool) and name not in RESULT_COLUMNS, "metrics", name)
        if described["kind"] == "json":
            values = described["values"]
            must(isinstance(values, list) and len(values) == n and all(map(plain, values)), name, values)


def table(space: Space, points: FloatArray, status: NDArray[np.uint8], duration_s: FloatArray) -> None:
    """Looks at the columns of all trials at once, which costs less than batch by batch.

    Raises:
        ValueError: a config is not of the space, or a status or a duration is one that no trial has.
    """
    must(space.has(points), "points", "configs that are not of its space")
    must(bool((status < len(STATUSES)).all()), "status", status)
    must(bool(((duration_s >= 0) & (duration_s <= LATEST_S)).all()), "duration_s", duration_s)


def reviewed(header: dict[str, Any], body: bytes) -> None:
    """Looks at the best trials in detail.

    Raises:
        ValueError: a part is not what it should be.
    """
    for row in header["rows"]:
        must(isinstance(row, dict) and whole(row["trial"], 0, _LARGEST), "rows", row)
        must(isinstance(row.get("error"), (str, type(None))), "error", row)
        for name in _DETAILS:
            metrics = row.get(name)
            there = isinstance(metrics, dict) and all(map(plain, metrics.values()))
            must(metrics is None or there, name, metrics)
    must(whole(header.get("accounting", 1), 1, _LARGEST), "accounting", header.get("accounting"))
    lengths = header["curves"]
    must(all(whole(length, 0, len(body) // 8) for length in lengths.values()), "curves", lengths)


def curves(found: dict[str, FloatArray]) -> None:
    """Looks at the curves themselves.

    Raises:
        ValueError: their dates are none.
    """
    time_ms = found.get("time_ms", np.empty(0))
    must(bool((np.abs(time_ms) <= 2**53).all()), "time_ms", time_ms)


def must(holds: bool, name: str, value: Any) -> None:
    """Refuses a value that does not hold.

    Raises:
        ValueError: it names the part and shows the value.
    """
    if not holds:
        raise ValueError(f"its `{name}` is {str(value)[:80]!r}")


def whole(value: Any, least: int, most: int) -> bool:
    """Whether it is a whole number within these bounds, both inclusive."""
    return type(value) is int and least <= value <= most


def number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max and not math.isnan(value)


def plain(value: Any) -> bool:
    """Whether it is what a metric can be: of numbers, what a float can hold, or no finite one."""
    if type(value) is int:
        return abs(value) <= _LARGEST_INT
    return value is None or isinstance(value, (bool, float, str))

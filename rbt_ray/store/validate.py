"""Checks events read from a file: a checksum shows that a row is unchanged, not that a driver of rbt_ray wrote it.

These checks concern files only, such as columns that the bytes cannot hold; `recordable` has those for all events.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from rbt_ray import recordable
from rbt_ray.block_sums import N_SUMS, N_WITH_GROWTH
from rbt_ray.recordable import require
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_DETAILS = ("order_level", "holdout", "holdout_order_level")


def check_layout(header: dict[str, Any], body: bytes) -> None:
    """Checks that a batch's body can hold the columns that its header describes, before any is allocated.

    Raises:
        ValueError: it cannot.
    """
    n, most = header["n"], len(body) // 8  # every trial has at least a duration there
    require(recordable.is_whole(n, most) and n > 0, "n", n)
    require(recordable.is_whole(header["n_params"], most), "n_params", header["n_params"])
    require(recordable.is_whole(header["first"]), "first", header["first"])
    for name in ("contiguous", "all_completed"):
        require(type(header[name]) is bool, name, header[name])
    if "block_sums" in header:
        n_rows = header["block_sums"]
        require(type(header.get("growth", False)) is bool, "growth", header.get("growth"))
        width = N_WITH_GROWTH if header.get("growth") else N_SUMS
        require(recordable.is_whole(n_rows, min(n, most // width)) and n_rows > 0, "block_sums", n_rows)
    for name, described in header["metrics"].items():
        require(type(described["all"]) is bool, "metrics", name)
        if described["kind"] == "json":
            values = described["values"]
            require(type(values) is list and len(values) == n, name, values)


def check_lengths(curves: Mapping[str, Any], body: bytes) -> None:
    """Checks that a review's body can hold its curves.

    Raises:
        ValueError: it cannot.
    """
    require(all(recordable.is_whole(n, len(body) // 8) for n in curves.values()), "curves", curves)


def check_table(space: Space, points: FloatArray) -> None:
    """Checks the configs of all trials at once, which is faster than batch by batch.

    Raises:
        ValueError: a config is not of the space.
    """
    require(space.has(points), "points", "configs that are not of its space")


def check_reviewed(rows: list[dict[str, Any]], curves: Mapping[str, FloatArray]) -> None:
    """Checks the rows and curves of a review.

    Raises:
        ValueError: a part has another type or value than a review can have.
    """
    for row in rows:
        require(type(row) is dict and recordable.is_whole(row.get("trial")), "rows", row)
        for name in ("error", "note"):
            require(type(row.get(name)) in (str, type(None)), name, row)
        for name in _DETAILS:
            metrics = row.get(name)
            require(metrics is None or type(metrics) is dict, name, metrics)
            recordable.json_values(list((metrics or {}).values()))
    for name, curve in curves.items():
        require(np.ndim(curve) == 1, name, curve)
    time_ms = curves.get("time_ms", np.empty(0))
    require(bool((np.abs(time_ms) <= 2**53).all()), "time_ms", time_ms)


def check_validated(rows: list[dict[str, Any]], curves: Mapping[str, FloatArray], periods_per_year: Any) -> None:
    """Checks the rows and curves of a validation.

    Raises:
        ValueError: a part has another type or value than a validation can have.
    """
    require(is_finite_number(periods_per_year) and periods_per_year > 0, "periods_per_year", periods_per_year)
    for name, curve in curves.items():
        require(np.ndim(curve) == 1, name, curve)
    require({"time_ms", "benchmark", "returns"} <= curves.keys(), "curves", list(curves))
    n_bars = len(curves["time_ms"])
    require(bool((np.abs(curves["time_ms"]) <= 2**53).all()) and len(curves["benchmark"]) == n_bars, "curves", n_bars)
    n_tested = 0
    for row in rows:
        require(row.get("trial") is None or recordable.is_whole(row["trial"]), "trial", row)
        require(type(row.get("config")) in (dict, type(None)), "config", row)
        require(type(row.get("error")) in (str, type(None)), "error", row)
        require(row.get("in_sample") is None or is_finite_number(row["in_sample"]), "in_sample", row)
        require(type(row.get("metrics")) is dict, "metrics", row)
        recordable.json_values(list(row["metrics"].values()))
        for name in ("train", "test"):
            edges = [edge for one in row[name] for edge in one]
            require(bool(edges) and all(recordable.is_whole(edge, n_bars) for edge in edges), name, row)
            require(edges == sorted(set(edges)) and len(edges) == 2 * len(row[name]), name, row)
        n_tested += sum(stop - start for start, stop in row["test"])
    require(len(curves["returns"]) in (0, n_tested), "returns", len(curves["returns"]))


def is_finite_number(value: Any) -> bool:
    """Returns whether it is a finite number that a float can hold."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max and not math.isnan(value)

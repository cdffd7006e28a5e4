"""The event that extends a study: from there on, its search has other limits, or a grid that contains the earlier one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rbt_ray import recordable
from rbt_ray.recordable import require
from rbt_ray.store import validate
from rbt_ray.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """The study was extended.

    A search that learns, or that has a scheduler, reaches its earlier limits first and then continues. Any other search has
    the new limits from its start, which changes none of its earlier trials.

    Args:
        num_samples: how many new configs the search may propose in all; None: all.
        max_cost: the maximum cost of all trials; None: no limit.
        space: the new space of a grid, as JSON values; None: the space stays.
        points: with a new space, ``(n, n_params)`` the earlier configs, which come first; else ``(0, 0)``.

    Raises:
        ValueError: a part has another type or value than an extension can have.
    """

    num_samples: int | None
    max_cost: float | None
    space: dict[str, Any] | None = None
    points: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        require(self.num_samples is None or is_positive_whole(self.num_samples), "num_samples", self.num_samples)
        cost = self.max_cost
        require(cost is None or (validate.is_finite_number(cost) and cost > 0), "max_cost", cost)
        require(self.space is None or type(self.space) is dict, "space", self.space)
        points = np.asarray(self.points, np.float64)
        require(points.ndim == 2 and (self.space is not None or points.size == 0), "points", points)
        object.__setattr__(self, "points", points)


def is_positive_whole(value: Any) -> bool:
    """Returns whether it is a whole number above 0 that a journal can hold."""
    return recordable.is_whole(value) and value > 0


def pack(event: Extended) -> tuple[dict[str, Any], bytes | None]:
    """Returns the event's header of JSON values, and its body."""
    header: dict[str, Any] = {"num_samples": event.num_samples, "max_cost": event.max_cost}
    if event.space is None:
        return header, None
    n, n_params = event.points.shape
    space = json.loads(json.dumps(event.space))
    return {**header, "space": space, "n": n, "n_params": n_params}, event.points.astype("<f8").tobytes()


def unpack(header: dict[str, Any], body: bytes) -> Extended:
    """Returns the event of a row.

    Raises:
        ValueError: or a LookupError or TypeError: the row is invalid.
    """
    space, points = header.get("space"), np.empty((0, 0))
    n_bytes = 0
    if space is not None:
        n, n_params, most = header["n"], header["n_params"], len(body) // 8
        require(recordable.is_whole(n, most) and recordable.is_whole(n_params, most), "points", (n, n_params))
        n_bytes = 8 * n * n_params
        require(n_bytes <= len(body), "points", (n, n_params))
        points = np.frombuffer(body[:n_bytes], "<f8").astype(np.float64).reshape(n, n_params)
    require(n_bytes == len(body), "body", len(body))
    return Extended(header["num_samples"], header["max_cost"], space, points)

"""The words of the project as frozen values: config, proposal, result, checkpoint.

These are the views somebody looks at. What moves between searcher, worker and journal is the batch, in columns:
see `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Config: TypeAlias = Mapping[str, Any]
"""A point of the space as the objective gets it: nested where the space is nested, inactive parameters absent."""

Metrics: TypeAlias = dict[str, Any]
"""Plain Python values by name: float, int, bool, str or None."""

Status: TypeAlias = Literal["COMPLETED", "FAILED", "CRASHED", "TIMED_OUT"]
STATUSES: tuple[Status, ...] = ("COMPLETED", "FAILED", "CRASHED", "TIMED_OUT")
StatusCode: TypeAlias = Literal[0, 1, 2, 3]
"""The position of a status in `STATUSES`, as columns hold it. An enum member would slow comparisons with columns."""
COMPLETED: Final = 0
FAILED: Final = 1
CRASHED: Final = 2
TIMED_OUT: Final = 3

RESULT_COLUMNS = ("trial_id", "status", "fidelity", "error", "duration_s", "worker")
"""Columns of the table of results that are not metrics; no metric may be called so."""

Mode: TypeAlias = Literal["min", "max"]
FidelityKind: TypeAlias = Literal["prefix", "blocks", "symbols", "reports"]
"""What a fidelity is a share of: the first bars, of blocks of bars, of the symbols, of the objective's reports."""
Execution: TypeAlias = Literal["next_open", "next_close", "close"]
Rebalance: TypeAlias = Literal["every_bar", "on_change"]
ACCOUNTING: Final = 2
"""The version of the rules in package `rbt_ray.simulate`, which a study records.

Version 1 closed a holding on a bar without a price, let `every_bar` undo drift for nothing, and counted fills in
`n_trades`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config at a fidelity: what a searcher wants evaluated."""

    config: Config
    fidelity: float = 1.0
    """The share of the training bars to use, above 0 and at most 1, from the start (hpbandster: budget)."""
    tag: tuple[int, ...] = ()
    """The searcher's own note, such as (bracket, rung, slot); nobody else reads it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where an objective that reports can go on: after so many reports, from what it left, which only workers unpack.

    The journal keeps no payload: a checkpoint read from it says that there was one, and holds ``b""``.
    """

    n_reports: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """A trial with its outcome.

    `loss` is what every searcher minimises: the study's metric with its sign turned for `mode="max"`; None where
    the trial did not complete. A searcher gets None too where a trial stopped by itself before the fidelity it was asked for.
    """

    trial_id: int
    config: Config
    fidelity: float
    status: Status
    metrics: Metrics
    error: str | None
    loss: float | None
    duration_s: float
    worker: str
    tag: tuple[int, ...] = ()


def is_real(value: object) -> TypeGuard[float]:
    """Whether it is a real number of Python's or numpy's, no bool, and no duration, which numpy takes for an integer."""
    if type(value) in (float, int):  # nearly always; the abstract class takes ten times as long
        return True
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_, np.timedelta64))


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is such a number of an integer type."""
    return isinstance(value, Integral) and is_real(value)

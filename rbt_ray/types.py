"""The basic values as frozen classes: config, proposal, result, checkpoint.

Searchers, workers and the journal exchange batches in columns (see `columns`); these values are created on access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Config: TypeAlias = Mapping[str, Any]
"""A point of the space as the objective gets it: nested like the space, without inactive parameters."""

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
"""The columns of the results table that are not metrics; no metric may have one of these names."""

Mode: TypeAlias = Literal["min", "max"]
FidelityKind: TypeAlias = Literal["prefix", "blocks", "symbols", "reports"]
"""The quantity that a fidelity is a share of: the first bars, the bars of each block, the symbols, or the objective's reports."""
Execution: TypeAlias = Literal["next_open", "next_close", "close"]
Rebalance: TypeAlias = Literal["every_bar", "on_change"]
ACCOUNTING: Final = 2
"""The version of the accounting rules in `rbt_ray.simulate`, which a study records.

Version 1 closed a holding on a bar without a price, did not charge `every_bar` for undoing drift, and counted fills as
`n_trades`."""
_NO_NUMBERS = {"c": "complex numbers", "m": "durations", "M": "times", "V": "raw bytes"}
"""Kinds of dtypes that numpy would cast to float64 by dropping or inventing something."""
_NO_REAL_OBJECTS = (np.complexfloating, np.datetime64, np.timedelta64, np.void, type(np.ma.masked))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config at a fidelity, proposed by a searcher.

    Args:
        config: a value for each parameter.
        fidelity: the share of the training bars to use, from the first one: above 0 and at most 1 (hpbandster: budget).
        tag: the searcher's own data, such as (bracket, rung, slot); nothing else reads it.
    """

    config: Config
    fidelity: float = 1.0
    tag: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state that an objective can continue from, after a number of reports; only workers unpack the payload.

    The journal does not record the payload: a checkpoint that is read from it has the payload ``b""``.
    """

    n_reports: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """A trial with its outcome.

    Args:
        trial_id: its number in the study, from 0.
        config: a value for each parameter.
        fidelity: the share of the data that it used, above 0 and at most 1.
        status: "COMPLETED", "FAILED", "CRASHED" or "TIMED_OUT".
        metrics: what the objective returned, by name; empty if the trial did not complete.
        error: why the trial did not complete, or None.
        loss: the value that every searcher minimises: the study's metric, negated for ``mode="max"``. None if the trial did not
            complete. In a study of several metrics it is that of the first. A searcher also gets None if the trial stopped by
            itself below the requested fidelity, or is infeasible.
        duration_s: seconds that the evaluation took on its worker.
        worker: the name of that worker.
        tag: that of the proposal.
        violation: how far the trial breaks the study's constraints on metrics; 0 if it breaks none, and the config is feasible.
        losses: the loss by each metric; empty in a study of one metric, and where `loss` is None.
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
    violation: float = 0.0
    losses: tuple[float, ...] = ()


def is_real(value: object) -> TypeGuard[float]:
    """Returns whether it is a real number of Python or numpy; False for a bool, and for a numpy duration."""
    if type(value) in (float, int):  # the usual case; checking the abstract class takes ten times as long
        return True
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_, np.timedelta64))


def is_integer(value: object) -> TypeGuard[int]:
    """Returns whether it is a real number of an integer type."""
    return isinstance(value, Integral) and is_real(value)


def floats(values: ArrayLike) -> FloatArray:
    """Returns the values as float64, NaN if masked; returns an array of float64 unchanged.

    Args:
        values: an array, a frame, or nested lists, of real numbers or of text with numbers.

    Raises:
        TypeError: it holds values of another kind: complex numbers, times, durations, raw bytes, objects.
        ValueError: a text is not a number, an int is too large for float64, or lists have different lengths.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    is_frame = hasattr(values, "iloc") and hasattr(values, "columns")
    given: Any = values if is_frame else np.asanyarray(values)
    for kind in {dtype.kind for dtype in (given.dtypes if is_frame else [given.dtype])}:
        if kind in _NO_NUMBERS:
            raise TypeError(f"it holds {_NO_NUMBERS[kind]}")
    if not is_frame and given.dtype.kind == "O":
        for cell in given.flat:
            if isinstance(cell, _NO_REAL_OBJECTS):
                raise TypeError(f"it holds a value of type {type(cell).__name__}")
    try:
        with np.errstate(over="ignore"):  # a long double that is too large becomes infinite, which callers refuse
            array = np.asarray(given, np.float64)
    except OverflowError:
        raise ValueError("it holds a whole number that is too large for float64") from None
    masked = np.ma.getmask(given)
    return array if masked is np.ma.nomask else np.where(masked, np.nan, array)

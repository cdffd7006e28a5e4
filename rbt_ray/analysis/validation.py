"""The result of a validation: the returns on bars that the search did not choose on, stitched together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.store.journal import Validated
from rbt_ray.types import Config, FloatArray, Metrics

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The config that was chosen in a window, and its results on bars that it was not chosen on.

    Args:
        train: ranges of bars that it was chosen on, each the first bar and the bar after the last.
        test: ranges of bars that it was tested on.
        trial: its number: in the study's table, or in that of the window's search for a search that learns; None if no config
            had a value on the training bars.
        config: the config, or None.
        in_sample: the study's metric on the training bars; NaN without a config.
        out_of_sample: the study's metric on the test bars; NaN without a value.
        metrics: all metrics of the test bars.
        error: why there are none.
    """

    train: tuple[tuple[int, int], ...]
    test: tuple[tuple[int, int], ...]
    trial: int | None
    config: Config | None
    in_sample: float
    out_of_sample: float
    metrics: Metrics
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ValidationResult:
    """How a search did on bars that it did not choose on.

    Args:
        name: what made the windows, such as "WalkForward(train=8, test=1)".
        metric: of the study.
        periods_per_year: bars in a year.
        windows: the result of each window.
        time: ``(n_bars,)`` times of the stitched bars: those that some window tests on.
        paths: ``(n_paths, n_bars)`` returns out of sample. A walk-forward has one path. In CPCV each bar is tested in several
            windows: path `i` has its returns in the `i`-th of them. NaN where a test failed; empty if the objective returns no
            returns per bar.
        benchmark: ``(n_bars,)`` returns of the study's benchmark: by default, of holding all symbols equally without costs.
    """

    name: str
    metric: str
    periods_per_year: float
    windows: tuple[WindowResult, ...]
    time: NDArray[np.datetime64]
    paths: FloatArray
    benchmark: FloatArray

    @property
    def returns(self) -> FloatArray:
        """``(n_bars,)`` returns out of sample, of the first path."""
        return self.paths[0] if len(self.paths) else np.empty(0)

    @property
    def equity(self) -> FloatArray:
        """``(n_bars,)`` stitched equity of the first path, from a capital of 1."""
        return _equity(self.returns)

    @property
    def benchmark_equity(self) -> FloatArray:
        """``(n_bars,)`` equity of the benchmark on the same bars."""
        return _equity(self.benchmark)

    @property
    def path_sharpes(self) -> FloatArray:
        """``(n_paths,)`` annual Sharpe ratios of the paths."""
        return np.array([_sharpe(path, self.periods_per_year) for path in self.paths])

    @property
    def sharpe(self) -> float:
        """The annual Sharpe ratio out of sample, the mean over the paths; NaN without returns."""
        return float(np.mean(self.path_sharpes)) if len(self.paths) else np.nan

    @property
    def benchmark_sharpe(self) -> float:
        """The annual Sharpe ratio of the benchmark on the same bars."""
        return _sharpe(self.benchmark, self.periods_per_year)

    @property
    def in_sample(self) -> float:
        """The mean of the study's metric on the training bars of the windows."""
        return _mean([window.in_sample for window in self.windows])

    @property
    def out_of_sample(self) -> float:
        """The mean of the study's metric on the test bars of the windows."""
        return _mean([window.out_of_sample for window in self.windows])

    @property
    def efficiency(self) -> float:
        """`out_of_sample` as a share of `in_sample`; NaN if that is not above 0.

        Source:
            Pardo (2008), "The Evaluation and Optimization of Trading Strategies", chapter 11.
        """
        return self.out_of_sample / self.in_sample if self.in_sample > 0 else np.nan

    def __repr__(self) -> str:
        """Returns one sentence with the metric out of sample and in-sample, and the Sharpe ratios beside holding's."""
        n = len(self.windows)
        text = f"{self.name}: {self.metric} {self.out_of_sample:.3g} out of sample, {self.in_sample:.3g} in-sample, "
        text += f"mean of {n} {'window' if n == 1 else 'windows'}"
        if len(self.paths):
            text += f"; Sharpe ratio {self.sharpe:.2f} of the stitched returns, benchmark {self.benchmark_sharpe:.2f}"
        return f"{text}."

    def get_dataframe(self) -> pd.DataFrame:
        """Returns a row per window: its bars, config/<name>..., in_sample, out_of_sample, the metrics on test bars, error."""
        import pandas as pd

        rows = []
        for window in self.windows:
            named = {f"config/{name}": value for name, value in (window.config or {}).items()}
            (train_from, _), (test_from, _) = window.train[0], window.test[0]
            rows.append(
                {
                    "train_from": train_from,
                    "train_to": window.train[-1][1],
                    "test_from": test_from,
                    "test_to": window.test[-1][1],
                    "trial": window.trial,
                    **named,
                    "in_sample": window.in_sample,
                    "out_of_sample": window.out_of_sample,
                    **window.metrics,
                    "error": window.error,
                }
            )
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN becomes None."""
        summary = {
            name: getattr(self, name)
            for name in ("name", "metric", "sharpe", "benchmark_sharpe", "in_sample", "out_of_sample", "efficiency")
        }
        found = {
            **summary,
            "windows": [asdict(window) for window in self.windows],
            "path_sharpes": self.path_sharpes.tolist(),
            "time": np.datetime_as_string(self.time).tolist(),
            "equity": self.equity.tolist(),
            "benchmark_equity": self.benchmark_equity.tolist(),
        }
        plain: dict[str, Any] = _plain(found)
        return plain


def validation_result(event: Validated, name: str, metric: str) -> ValidationResult:
    """Returns the result that a journal has recorded.

    Args:
        event: the record.
        name: what made the windows.
        metric: of the study.
    """
    windows = tuple(_window(row, metric) for row in event.rows)
    tests = [np.concatenate([np.arange(*ends) for ends in window.test]) for window in windows]
    bars, counts = np.unique(np.concatenate(tests), return_counts=True)
    paths = np.empty((0, len(bars)))
    if len(event.curves["returns"]):
        paths = np.full((int(counts.min()), len(bars)), np.nan)
        used = np.zeros(len(bars), np.int64)
        for test, returns in zip(tests, _pieces(event.curves["returns"], tests), strict=True):
            at = np.searchsorted(bars, test)
            inside = used[at] < len(paths)
            paths[used[at][inside], at[inside]] = returns[inside]
            used[at] += 1
    time = event.curves["time_ms"][bars].astype(np.int64).astype("datetime64[ms]")
    return ValidationResult(name, metric, event.periods_per_year, windows, time, paths, event.curves["benchmark"][bars])


def _window(row: Mapping[str, Any], metric: str) -> WindowResult:
    value = row["metrics"].get(metric)
    return WindowResult(
        tuple((start, stop) for start, stop in row["train"]),
        tuple((start, stop) for start, stop in row["test"]),
        row["trial"],
        row["config"],
        np.nan if row["in_sample"] is None else float(row["in_sample"]),
        float(value) if type(value) in (int, float) else np.nan,
        row["metrics"],
        row["error"],
    )


def _pieces(returns: FloatArray, tests: list[NDArray[np.int64]]) -> list[FloatArray]:
    return np.split(returns, np.cumsum([len(test) for test in tests])[:-1])


def _equity(returns: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        equity: FloatArray = np.cumprod(1 + np.nan_to_num(returns), dtype=np.float64)
    return equity


def _sharpe(returns: FloatArray, periods_per_year: float) -> float:
    known = returns[np.isfinite(returns)]
    if len(known) < 2:
        return np.nan
    with np.errstate(over="ignore", invalid="ignore"):  # of huge returns
        mean, variance = float(known.mean()), float(known.var(ddof=1))
    return (
        mean / float(np.sqrt(variance)) * float(np.sqrt(periods_per_year)) if variance > 1e-12 * mean * mean else np.nan
    )


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value

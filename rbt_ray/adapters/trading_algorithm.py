"""Makes an objective of a TradingAlgorithm of zipline or RustyBT, whose bundle each worker opens once."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rbt_ray.data import backtester_bundle
from rbt_ray.data.backtester_bundle import ASSETS, DAILY, newest
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import BundleNotFoundError, ObjectiveError, SettingError
from rbt_ray.nearest import did_you_mean
from rbt_ray.types import Config, FloatArray, Metrics

_NOT_READ = ("minute_equities.bcolz",)


def find_bundle(bundle: str | Path, root: Path, package: str) -> FileTree:
    """Finds the files of an ingested bundle.

    Args:
        bundle: the name of an ingested bundle, whose newest ingestion is used; or the path of its folder, or of a folder of
            ingestions.
        root: the folder in which the backtester keeps its bundles.
        package: the name of the backtester, for messages.

    Raises:
        BundleNotFoundError: there is no such bundle.
    """
    named = isinstance(bundle, str) and os.sep not in bundle
    folder = newest(root / bundle if named else Path(bundle).expanduser())
    if folder is not None:
        return FileTree.of(folder.resolve(), without=_NOT_READ)
    if not named:
        raise BundleNotFoundError(
            f"`{bundle}` is not the folder of a bundle that {package} ingested: it must have {DAILY} and {ASSETS}."
        )
    names = sorted(path.name for path in root.glob("*") if newest(path) is not None)
    hint = did_you_mean(bundle, names)
    raise BundleNotFoundError(
        f"There is no bundle {bundle!r} of {package} in {root}{': ' + hint if hint else '.'} There are: "
        f"{', '.join(names) or 'none'}. Ingest it with `{package} ingest -b {bundle}`, or pass the path of its folder."
    )


@dataclass(frozen=True, slots=True)
class Backtester:
    """zipline or RustyBT, which have the same modules.

    Args:
        package: the name to import.
        distribution: the name to install.
        settings: further arguments of its TradingAlgorithm.
        prepare: called once on each worker.
    """

    package: str
    distribution: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None

    def part(self, module: str, name: str) -> Any:
        """Imports a class or function of the backtester.

        Raises:
            ObjectiveError: the backtester is not installed.
        """
        try:
            return getattr(importlib.import_module(f"{self.package}.{module}"), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != self.package:
                raise
            raise ObjectiveError(
                f"{self.distribution} is not installed here: `pip install 'rbt-ray[{self.package}]'`."
            ) from None

    def root(self) -> Path:
        """Returns the folder of its ingested bundles."""
        return Path(self.part("utils.paths", "data_root")())

    def objective(
        self,
        algorithm: type | None = None,
        *,
        initialize: Callable[..., Any] | None = None,
        handle_data: Callable[..., Any] | None = None,
        before_trading_start: Callable[..., Any] | None = None,
        bundle: str | Path,
        start: str | date | None = None,
        end: str | date | None = None,
        capital_base: float = 1e7,
    ) -> AlgorithmObjective:
        """Returns an objective for a `rbt.Tuner` without `bundle`, which runs an algorithm on daily bars once for each config.

        The params are keyword arguments of `initialize`: ``initialize(context, fast=10, slow=50)``, in a class
        ``initialize(self, fast, slow)``. Metrics are `total_return, sharpe, sortino, max_drawdown, volatility, cagr`, with
        the values of the performance frame. A fidelity below 1 ends earlier; a hold-out begins after the training sessions.

        Args:
            algorithm: a subclass of TradingAlgorithm, instead of functions.
            initialize: as in `run_algorithm`, with the params as keyword arguments.
            handle_data: as in `run_algorithm`.
            before_trading_start: as in `run_algorithm`.
            bundle: the name of an ingested bundle, whose newest ingestion is used, or the path of its folder.
            start: the first day; the bundle's first day for None or an earlier day.
            end: the last day; the bundle's last day for None or a later day.
            capital_base: the money at the start.

        Raises:
            ObjectiveError: there is no algorithm, or both kinds, or the backtester is not installed.
            BundleNotFoundError: there is no such bundle.
            SettingError: a date or `capital_base` is invalid.
        """
        functions = {
            "initialize": initialize,
            "handle_data": handle_data,
            "before_trading_start": before_trading_start,
        }
        given = {name: function for name, function in functions.items() if function is not None}
        base = self.part("algorithm", "TradingAlgorithm")
        if algorithm is not None and not (isinstance(algorithm, type) and issubclass(algorithm, base)):
            raise ObjectiveError(f"`algorithm` is a subclass of {self.package}'s TradingAlgorithm; got {algorithm!r}.")
        if (algorithm is None) == ("initialize" not in given) or (algorithm is not None and given):
            raise ObjectiveError(
                "pass either a subclass of TradingAlgorithm as `algorithm`, or functions: `initialize`, `handle_data`, "
                "`before_trading_start`."
            )
        for name, function in given.items():
            if not callable(function):
                raise ObjectiveError(f"`{name}` is a function; got {function!r}.")
        if (
            isinstance(capital_base, bool)
            or not isinstance(capital_base, (int, float))
            or not 0 < capital_base < np.inf
        ):
            raise SettingError(f"`capital_base` is an amount of money above 0; got {capital_base!r}.")
        files = find_bundle(bundle, self.root(), self.package)
        objective = AlgorithmObjective(self, Algorithm(algorithm, given), files, start, end, capital_base)
        objective.bundle  # noqa: B018 - opens the bundle, and raises for invalid dates
        return objective


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """The user's algorithm: a subclass of TradingAlgorithm, or functions.

    Args:
        cls: the subclass; None for functions.
        functions: `initialize` and the others, by TradingAlgorithm's names for them.
    """

    cls: type | None
    functions: Mapping[str, Callable[..., Any]]

    @property
    def name(self) -> str:
        """The name of the class or of `initialize`."""
        made_by = self.cls or self.functions["initialize"]
        return str(getattr(made_by, "__name__", "algorithm"))


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """The result of one backtest.

    Args:
        returns: ``(n_sessions,)`` simple returns, 0.01 is one percent.
        total_return: of all sessions.
    """

    returns: FloatArray
    total_return: float

    def metrics(self) -> Metrics:
        """Returns the figures of the backtester's performance frame, computed by the same functions, under rbt_ray's names."""
        import empyrical

        named = {
            "sharpe": empyrical.sharpe_ratio,
            "sortino": empyrical.sortino_ratio,
            "max_drawdown": empyrical.max_drawdown,
            "volatility": empyrical.annual_volatility,
            "cagr": empyrical.annual_return,
        }
        with np.errstate(all="ignore"):
            return {"total_return": self.total_return, **{name: float(f(self.returns)) for name, f in named.items()}}


@dataclass(frozen=True, slots=True, eq=False)
class OpenBundle:
    """The readers of an ingested bundle in this process: sqlite connections must not be shared with another process.

    Args:
        calendar: the trading calendar.
        portal: reads prices for algorithms.
        loader: returns the pipeline loader of a column.
        sessions: ``(n_sessions,)`` on which at least one asset was traded.
    """

    calendar: Any
    portal: Any
    loader: Callable[[Any], Any]
    sessions: pd.DatetimeIndex

    @classmethod
    def of(cls, backtester: Backtester, folder: Path) -> OpenBundle:
        """Opens a bundle, which need not be registered."""
        reader = backtester.part("data.bcolz_daily_bars", "BcolzDailyBarReader")(str(folder / backtester_bundle.DAILY))
        adjustments = folder / backtester_bundle.ADJUSTMENTS
        adjuster = (
            backtester.part("data.adjustments", "SQLiteAdjustmentReader")(str(adjustments))
            if adjustments.exists()
            else None
        )
        finder = backtester.part("assets", "AssetFinder")(str(max(folder.glob(backtester_bundle.ASSETS))))
        calendar = reader.trading_calendar
        portal = backtester.part("data.data_portal", "DataPortal")(
            finder,
            trading_calendar=calendar,
            first_trading_day=reader.first_trading_day,
            equity_daily_reader=reader,
            adjustment_reader=adjuster,
        )
        pricing = backtester.part("pipeline.loaders", "USEquityPricingLoader").without_fx(reader, adjuster)
        columns = backtester.part("pipeline.data", "EquityPricing").columns

        def loader(column: Any) -> Any:
            if column.unspecialize() in columns:
                return pricing
            raise ObjectiveError(f"the pipeline uses {column}; only the bundle's prices and volumes are available.")

        assets = [asset for asset in finder.retrieve_all(finder.equities_sids, default_none=True) if asset is not None]
        first, last = min(asset.start_date for asset in assets), max(asset.end_date for asset in assets)
        sessions = reader.sessions
        return cls(calendar, portal, loader, sessions[(sessions >= first) & (sessions <= last)].tz_localize(None))


_opened: dict[tuple[int, str], OpenBundle] = {}
"""The bundle that this process has open, by process and version of its files; it is kept for the next study."""


def open_bundle(backtester: Backtester, folder: Path, version: str) -> OpenBundle:
    """Returns a bundle, opened at the first call in this process."""
    key = os.getpid(), version
    if key not in _opened:
        _opened.clear()
        _opened[key] = OpenBundle.of(backtester, folder)
    return _opened[key]


class AlgorithmObjective:
    """Runs a TradingAlgorithm once for each config: a trial's params are keyword arguments of `initialize`.

    Args:
        backtester: zipline or RustyBT.
        algorithm: the user's.
        files: the ingested bundle.
        start: the first session; None: the bundle's first.
        end: the last session; None: the bundle's last.
        capital_base: the money at the start.

    Raises:
        SettingError: the bundle has no sessions between `start` and `end`.
    """

    def __init__(
        self, backtester: Backtester, algorithm: Algorithm, files: FileTree, start: Any, end: Any, capital_base: float
    ) -> None:
        self.backtester, self.algorithm, self.files = backtester, algorithm, files
        self.capital_base = float(capital_base)
        self._span = start, end
        self._folder = files.folder
        self.__name__ = algorithm.name

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle's sessions from `start` to `end`; its symbol is the hash of the files, since the backtester has the prices."""
        sessions = open_bundle(self.backtester, self._folder, self.files.version).sessions
        start, end = (_date(name, value) for name, value in zip(("start", "end"), self._span, strict=True))
        chosen = sessions[(sessions >= (start or sessions[0])) & (sessions <= (end or sessions[-1]))]
        if len(chosen) < 2:
            raise SettingError(
                f"the bundle has sessions from {sessions[0].date()} to {sessions[-1].date()}, fewer than two of them between "
                f"`start` and `end` ({self._span[0]} and {self._span[1]})."
            )
        return Bundle.from_arrays(
            {"close": np.ones((len(chosen), 1))},
            chosen.to_numpy(),
            [f"{self.backtester.package}-{self.files.version}"],
            periods_per_year=252,
            metadata={"source": str(self.files.folder), "kind": f"sessions of a bundle of {self.backtester.package}"},
        )

    @property
    def made_of(self) -> list[Any]:
        """Everything that determines the results besides the bundle; a resumed study compares it."""
        return [
            self.algorithm.cls,
            *sorted(self.algorithm.functions.items()),
            self.backtester.package,
            self.capital_base,
        ]

    def open(self, folder: Path) -> None:
        """Reads the bundle from `folder` from now on."""
        self._folder = folder
        self.backtester.prepare()

    def __call__(self, params: Config, data: Any = None) -> Performance:
        """Runs one backtest: over the bars of `data` or, if there is no `data`, from `start` to `end`.

        Raises:
            ObjectiveError: a parameter has the name of an argument of TradingAlgorithm.
        """
        index = (self.bundle if data is None else data).index
        first, last = pd.Timestamp(index[0]), pd.Timestamp(index[-1])
        bundle = open_bundle(self.backtester, self._folder, self.files.version)
        base = self.backtester.part("algorithm", "TradingAlgorithm")
        if taken := sorted(inspect.signature(base).parameters.keys() & params.keys()):
            raise ObjectiveError(
                f"TradingAlgorithm has an argument {', '.join(taken)} of its own: rename the parameter."
            )
        simulation = self.backtester.part("finance.trading", "SimulationParameters")(
            start_session=first,
            end_session=last,
            trading_calendar=bundle.calendar,
            capital_base=self.capital_base,
            data_frequency="daily",
        )
        algorithm = (self.algorithm.cls or base)(
            data_portal=bundle.portal,
            trading_calendar=bundle.calendar,
            sim_params=simulation,
            get_pipeline_loader=bundle.loader,
            # The other metrics of the performance frame follow from the returns and take up to half of the time.
            metrics_set={self.backtester.part("finance.metrics", "Returns")()},
            benchmark_returns=pd.Series(0.0, index=pd.date_range(first, last, tz="UTC")),
            **self.algorithm.functions,
            **self.backtester.settings,
            **params,
        )
        frame = algorithm.run()
        return Performance(frame["returns"].to_numpy(np.float64), float(frame["algorithm_period_return"].iloc[-1]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "bundle"}


def _date(name: str, value: Any) -> pd.Timestamp | None:
    if value is None:
        return None
    try:
        day = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise SettingError(f"`{name}` is a date such as '2010-01-04'; got {value!r} ({error}).") from None
    return day.tz_localize(None).normalize()

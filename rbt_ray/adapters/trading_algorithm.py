"""What zipline and RustyBT share: a TradingAlgorithm as an objective, its bundle opened once a worker."""

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
    """The files of an ingested bundle.

    Args:
        bundle: the name it was ingested under, of which the newest ingestion is taken; or its folder, or a folder of
            such folders, as a path.
        root: the folder in which the backtester keeps its bundles.
        package: the name of the backtester, for messages.

    Raises:
        BundleNotFoundError: there is none.
    """
    named = isinstance(bundle, str) and os.sep not in bundle
    folder = newest(root / bundle if named else Path(bundle).expanduser())
    if folder is not None:
        return FileTree.of(folder.resolve(), without=_NOT_READ)
    if not named:
        raise BundleNotFoundError(
            f"`{bundle}` is not the folder of a bundle that {package} ingested: it has no {DAILY} beside an {ASSETS}."
        )
    names = sorted(path.name for path in root.glob("*") if newest(path) is not None)
    hint = did_you_mean(bundle, names)
    raise BundleNotFoundError(
        f"There is no bundle {bundle!r} of {package} in {root}{': ' + hint if hint else '.'} There are: "
        f"{', '.join(names) or 'none'}. Ingest it with `{package} ingest -b {bundle}`, or pass the path of its folder."
    )


@dataclass(frozen=True, slots=True)
class Backtester:
    """One of the two backtesters, which have the same modules.

    Args:
        package: what is imported.
        distribution: what is installed.
        settings: further arguments of its TradingAlgorithm.
        prepare: called once on a worker.
    """

    package: str
    distribution: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None

    def part(self, module: str, name: str) -> Any:
        """A class or function of the backtester.

        Raises:
            ObjectiveError: it is not installed.
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
        """The folder of its ingested bundles."""
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
        """An objective for `rbt.Tuner`, without a `bundle` there, that runs an algorithm on daily bars once a config.

        A config reaches the algorithm as keywords of `initialize`: ``initialize(context, fast=10, slow=50)``, in a class
        ``initialize(self, fast, slow)``. Metrics are `total_return, sharpe, sortino, max_drawdown, volatility, cagr`, as
        the performance frame has them. A fidelity below 1 ends earlier; a hold-out begins where the training sessions end.

        Args:
            algorithm: a subclass of TradingAlgorithm, in place of functions.
            initialize: as `run_algorithm` takes it, but for the keywords.
            handle_data: as `run_algorithm` takes it.
            before_trading_start: as `run_algorithm` takes it.
            bundle: the name of an ingested bundle, whose newest ingestion is read, or the path of its folder.
            start: the first day; None, or a day before the bundle's first: that.
            end: the last day; None, or a day after the bundle's last: that.
            capital_base: the money to begin with.

        Raises:
            ObjectiveError: there is no algorithm, or two, or the backtester is not installed.
            BundleNotFoundError: there is no such bundle.
            SettingError: a date, or `capital_base`, cannot be used.
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
        objective.bundle  # noqa: B018 - opens it, and says what is wrong with the dates
        return objective


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """What the user wrote: a subclass of TradingAlgorithm, or functions.

    Args:
        cls: the subclass; None for functions.
        functions: `initialize` and its siblings, by the names TradingAlgorithm has for them.
    """

    cls: type | None
    functions: Mapping[str, Callable[..., Any]]

    @property
    def name(self) -> str:
        """What to call it."""
        made_by = self.cls or self.functions["initialize"]
        return str(getattr(made_by, "__name__", "algorithm"))


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """What one backtest came to.

    Args:
        returns: ``(n_sessions,)`` simple returns, 0.01 is one percent.
        total_return: of the whole time.
    """

    returns: FloatArray
    total_return: float

    def metrics(self) -> Metrics:
        """The figures of the backtester's own performance frame, by the same functions, under our names."""
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
    """An ingested bundle, ready to be read by this process: sqlite's connections must not cross to another.

    Args:
        calendar: the bundle's.
        portal: what algorithms read their prices through.
        loader: what pipelines read theirs through, by column.
        sessions: ``(n_sessions,)`` on which at least one asset could be traded.
    """

    calendar: Any
    portal: Any
    loader: Callable[[Any], Any]
    sessions: pd.DatetimeIndex

    @classmethod
    def of(cls, backtester: Backtester, folder: Path) -> OpenBundle:
        """Opens it, without the bundle being registered."""
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
            raise ObjectiveError(f"the pipeline asks for {column}; there are the bundle's prices and volumes only.")

        assets = [asset for asset in finder.retrieve_all(finder.equities_sids, default_none=True) if asset is not None]
        first, last = min(asset.start_date for asset in assets), max(asset.end_date for asset in assets)
        sessions = reader.sessions
        return cls(calendar, portal, loader, sessions[(sessions >= first) & (sessions <= last)].tz_localize(None))


_opened: dict[tuple[int, str], OpenBundle] = {}
"""The bundle that this process, and none that it was forked from, has open, by the version of its files; it outlives a
study."""


def open_bundle(backtester: Backtester, folder: Path, version: str) -> OpenBundle:
    """The bundle, opened by the first who asks."""
    key = os.getpid(), version
    if key not in _opened:
        _opened.clear()
        _opened[key] = OpenBundle.of(backtester, folder)
    return _opened[key]


class AlgorithmObjective:
    """Runs a TradingAlgorithm once a config: a trial's params are what `initialize` gets beside the context.

    Args:
        backtester: zipline or RustyBT.
        algorithm: the user's.
        files: the ingested bundle.
        start: the first session; None: the bundle's.
        end: the last session; None: the bundle's.
        capital_base: the money to begin with.

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
        """The sessions from `start` to `end` that the bundle has, named by its files' hash: prices stay with the backtester."""
        sessions = open_bundle(self.backtester, self._folder, self.files.version).sessions
        start, end = (_date(name, value) for name, value in zip(("start", "end"), self._span, strict=True))
        chosen = sessions[(sessions >= (start or sessions[0])) & (sessions <= (end or sessions[-1]))]
        if len(chosen) < 2:
            raise SettingError(
                f"the bundle has sessions from {sessions[0].date()} to {sessions[-1].date()}, and fewer than two between "
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
        """What decides its results beside the bundle, for a resumed study to compare."""
        return [
            self.algorithm.cls,
            *sorted(self.algorithm.functions.items()),
            self.backtester.package,
            self.capital_base,
        ]

    def open(self, folder: Path) -> None:
        """Reads the bundle from there from now on."""
        self._folder = folder
        self.backtester.prepare()

    def __call__(self, params: Config, data: Any = None) -> Performance:
        """One backtest, over the bars of `data`; without, from `start` to `end`.

        Raises:
            ObjectiveError: a parameter bears the name of one of TradingAlgorithm's own.
        """
        index = (self.bundle if data is None else data).index
        first, last = pd.Timestamp(index[0]), pd.Timestamp(index[-1])
        bundle = open_bundle(self.backtester, self._folder, self.files.version)
        base = self.backtester.part("algorithm", "TradingAlgorithm")
        if taken := sorted(inspect.signature(base).parameters.keys() & params.keys()):
            raise ObjectiveError(f"TradingAlgorithm has {', '.join(taken)} itself: give the parameter another name.")
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
            # All else that the performance frame can hold costs up to half of the time, and follows from the returns.
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

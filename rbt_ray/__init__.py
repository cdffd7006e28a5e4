"""rbt_ray optimizes the parameters of trading strategies, on persistent workers that share one price bundle.

The public names below load on first use, so that `import rbt_ray` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rbt_ray import environment as _environment  # noqa: F401 - it records the variables at import
from rbt_ray._version import __version__

if TYPE_CHECKING:
    from rbt_ray import analysis as analysis
    from rbt_ray import objectives as objectives
    from rbt_ray.data.bundle import Bundle as Bundle
    from rbt_ray.data.registry import ingest as ingest
    from rbt_ray.data.registry import list_bundles as list_bundles
    from rbt_ray.data.registry import load_bundle as load_bundle
    from rbt_ray.data.registry import remove_bundle as remove_bundle
    from rbt_ray.data.view import BundleView as BundleView
    from rbt_ray.objectives.kind import batched as batched
    from rbt_ray.objectives.lookahead import check_lookahead as check_lookahead
    from rbt_ray.objectives.reports import get_checkpoint as get_checkpoint
    from rbt_ray.objectives.reports import report as report
    from rbt_ray.search.asha import ASHA as ASHA
    from rbt_ray.search.asha import MedianStopping as MedianStopping
    from rbt_ray.search.bohb import BOHB as BOHB
    from rbt_ray.search.hyperband import Hyperband as Hyperband
    from rbt_ray.search.hyperband import SuccessiveHalving as SuccessiveHalving
    from rbt_ray.search.searcher import Searcher as Searcher
    from rbt_ray.simulate.backtest import Backtest as Backtest
    from rbt_ray.simulate.backtest import backtest as backtest
    from rbt_ray.simulate.costs import Costs as Costs
    from rbt_ray.study.space import choice as choice
    from rbt_ray.study.space import fixed as fixed
    from rbt_ray.study.space import grid_search as grid_search
    from rbt_ray.study.space import lograndint as lograndint
    from rbt_ray.study.space import loguniform as loguniform
    from rbt_ray.study.space import normal as normal
    from rbt_ray.study.space import qrandint as qrandint
    from rbt_ray.study.space import quniform as quniform
    from rbt_ray.study.space import randint as randint
    from rbt_ray.study.space import uniform as uniform
    from rbt_ray.tuner.config import RunConfig as RunConfig
    from rbt_ray.tuner.config import TuneConfig as TuneConfig
    from rbt_ray.tuner.result_grid import ResultGrid as ResultGrid
    from rbt_ray.tuner.splits import CPCV as CPCV
    from rbt_ray.tuner.splits import WalkForward as WalkForward
    from rbt_ray.tuner.studies import studies as studies
    from rbt_ray.tuner.tuner import Tuner as Tuner
    from rbt_ray.tuner.tuner import shutdown as shutdown
    from rbt_ray.types import Proposal as Proposal
    from rbt_ray.types import Result as Result

_NAMES = {
    "rbt_ray.data.bundle": ("Bundle",),
    "rbt_ray.data.view": ("BundleView",),
    "rbt_ray.data.registry": ("ingest", "list_bundles", "load_bundle", "remove_bundle"),
    "rbt_ray.objectives.lookahead": ("check_lookahead",),
    "rbt_ray.objectives.kind": ("batched",),
    "rbt_ray.objectives.reports": ("get_checkpoint", "report"),
    "rbt_ray.search.asha": ("ASHA", "MedianStopping"),
    "rbt_ray.search.bohb": ("BOHB",),
    "rbt_ray.search.hyperband": ("Hyperband", "SuccessiveHalving"),
    "rbt_ray.search.searcher": ("Searcher",),
    "rbt_ray.simulate.backtest": ("Backtest", "backtest"),
    "rbt_ray.simulate.costs": ("Costs",),
    "rbt_ray.study.space": (
        "choice",
        "fixed",
        "grid_search",
        "lograndint",
        "loguniform",
        "normal",
        "qrandint",
        "quniform",
        "randint",
        "uniform",
    ),
    "rbt_ray.tuner.config": ("RunConfig", "TuneConfig"),
    "rbt_ray.tuner.result_grid": ("ResultGrid",),
    "rbt_ray.tuner.splits": ("CPCV", "WalkForward"),
    "rbt_ray.tuner.studies": ("studies",),
    "rbt_ray.tuner.tuner": ("Tuner", "shutdown"),
    "rbt_ray.types": ("Proposal", "Result"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_SUBPACKAGES = ("analysis", "objectives")

__all__ = ["__version__", *sorted(_MODULE_OF), *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"rbt_ray.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'rbt_ray' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

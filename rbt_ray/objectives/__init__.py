"""Scores configs: with objectives that users write, and with built-in ones that are ready to sweep."""

from rbt_ray.objectives.builtin.breakout import breakout
from rbt_ray.objectives.builtin.mean_reversion import mean_reversion
from rbt_ray.objectives.builtin.momentum import momentum
from rbt_ray.objectives.builtin.rsi import rsi
from rbt_ray.objectives.builtin.sma_cross import sma_cross
from rbt_ray.objectives.rule.rule import rule
from rbt_ray.objectives.rule.with_exits import with_exits

BUILTIN = ("breakout", "mean_reversion", "momentum", "rsi", "sma_cross")
"""The names of the built-in objectives."""

__all__ = ["breakout", "mean_reversion", "momentum", "rsi", "rule", "sma_cross", "with_exits"]

"""Strategies written for other backtesters, as objectives: one module a backtester, imported by its name.

Each has a function `objective`, which takes the strategy and gives an objective for `rbt.Tuner`. The backtesters are
optional: none is imported before its strategy runs.
"""

"""Makes objectives of strategies that were written for other backtesters: one module for each backtester.

Each module has a function `objective`, which takes the strategy and returns an objective for `rbt.Tuner`. The backtesters
are optional: none is imported before its strategy runs.
"""

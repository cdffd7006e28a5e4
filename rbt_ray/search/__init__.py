"""Searchers, samplers and schedulers: they decide what to try next, and are pure."""

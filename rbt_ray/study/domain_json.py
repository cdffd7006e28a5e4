"""Domains from the JSON of their descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbt_ray.study import values
from rbt_ray.study.choices import Choice
from rbt_ray.study.domains import Domain
from rbt_ray.study.numeric_domains import Float, Normal, Stepped
from rbt_ray.study.priors import prior_from_json


def domain_from_json(held: Mapping[str, Any]) -> Domain:
    """Returns the domain that `to_json` was called on; options that JSON cannot represent are `OpaqueValue`."""
    kind = held["kind"]
    if "options" in held:
        weights = tuple(held["weights"]) if "weights" in held else None
        return Choice(tuple(values.from_json(option) for option in held["options"]), weights, kind)
    if "mean" in held:
        return Normal(held["mean"], held["sd"], held.get("q"))
    prior, log = prior_from_json(held.get("prior")), "log" in kind
    if "q" not in held:
        return Float(held["lower"], held["upper"], log, prior)
    first, last = round(held["lower"] / held["q"]), round(held["upper"] / held["q"])
    return Stepped(first, last - first + 1, held["q"], kind.endswith("randint"), log, prior)

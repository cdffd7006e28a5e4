"""Which of the best configs are neighbours of each other: ten neighbours on one plateau are one finding, not ten."""

from __future__ import annotations

import numpy as np

from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray, IntArray

NEAR = 0.05
"""Two numbers are near if they differ by at most this share of their domain, or by one step of it."""

_MOST_NAMED = 4
"""A space with more parameters has no short description of a region."""


def regions(space: Space, points: FloatArray) -> list[IntArray]:
    """Returns the rows of each region, in order of its first row.

    Two configs are neighbours if all their parameters are near or equal; a region also holds the neighbours of its neighbours
    (single linkage).

    Args:
        space: the space of the configs.
        points: ``(n, n_params)`` the configs, best first.
    """
    near = np.ones((len(points), len(points)), dtype=bool)
    for domain, column in zip(space.domains, points.T, strict=True):
        near &= _near(domain, column)
    left = np.ones(len(points), dtype=bool)
    found: list[IntArray] = []
    while left.any():
        members = np.zeros(len(points), dtype=bool)
        members[np.flatnonzero(left)[0]] = True
        while np.any(grown := near[members].any(axis=0) & ~members):
            members |= grown
        found.append(np.flatnonzero(members))
        left &= ~members
    return found


def sentence(space: Space, points: FloatArray) -> str:
    """Returns in which regions the best configs lie; empty for fewer than three configs, and if none are neighbours.

    Args:
        space: the space of the configs.
        points: ``(n, n_params)`` the configs, best first.
    """
    found = regions(space, points)
    if len(points) < 3 or len(found) == len(points):
        return ""
    extents = [_extent(space, points[rows]) for rows in found]
    if len(found) == 1:
        return f"All of the best {len(points)} are neighbours in one region{f': {extents[0]}' if extents[0] else ''}."
    each = [
        f"{len(rows)} at {extent}" if extent else f"{len(rows)}" for rows, extent in zip(found, extents, strict=True)
    ]
    return f"The best {len(points)} lie in {len(found)} regions: {'; '.join(each)}."


def _near(domain: Domain, column: FloatArray) -> BoolArray:
    """Returns ``(n, n)`` whether two values are near. Two absent ones are; options that are not numbers only if equal."""
    levels, step = _levels(domain, column)
    absent = np.isnan(levels)
    distance = np.abs(levels[:, None] - levels)
    limit = max(NEAR, step) * (1 + 1e-9)  # levels are rounded
    return (distance <= limit) | (absent[:, None] & absent)


def _levels(domain: Domain, column: FloatArray) -> tuple[FloatArray, float]:
    """Returns ``(n,)`` where values lie in their domain, from 0 to 1, and the step between two of them."""
    if not isinstance(domain, Choice):
        return domain.to_unit(column), 1.0 / domain.n_values if domain.n_values else 0.0
    n = len(domain.options)
    if any(isinstance(option, bool) or not isinstance(option, (int, float)) for option in domain.options):
        return column, 0.0  # positions are further apart than near ones
    ranks = np.append(np.argsort(np.argsort(domain.options)) / n, np.nan)
    return ranks[np.where(np.isnan(column), n, column).astype(np.int64)], 1.0 / n


def _extent(space: Space, points: FloatArray) -> str:
    """Returns the values of each parameter, such as ``fast 14 to 17, slow 196 to 212``; empty for many parameters."""
    if space.n_params > _MOST_NAMED:
        return ""
    parts = []
    for name, values in space.columns(points).items():
        there = list(dict.fromkeys(value for value in values if value is not None))
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there):
            there = sorted({min(there), max(there)}) if there else []
            shown = " to ".join(f"{value:.4g}" if isinstance(value, float) else f"{value}" for value in there)
        else:
            shown = " or ".join(map(str, there))
        if there:
            parts.append(f"{name} {shown}")
    return ", ".join(parts)

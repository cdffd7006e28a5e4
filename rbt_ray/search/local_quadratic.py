"""A local model of the loss around the best config: a quadratic function of its numbers."""

from __future__ import annotations

import numpy as np

from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.infeasible import is_feasible
from rbt_ray.types import FloatArray

_MOST_PARAMS = 10
_ROWS_PER_COEFFICIENT = 1.5
_RIDGE = 1e-4
_REACH = 0.6
_SWEEPS = 8
_NEAREST = 0.05
_CANDIDATES = 24
_CAP = 1.0
_WEIGHT = 1.0


class LocalQuadratic:
    def __init__(self, encoding: Encoding) -> None:
        self._n_options = encoding.n_options

    def propose(self, ranking: Ranking, others: FloatArray, rng: np.random.Generator) -> FloatArray | None:
        n = int(is_feasible(ranking.losses).sum())
        levels, losses = ranking.levels[:n], ranking.losses[:n]
        if not n:
            return None
        best = levels[0]
        columns = np.flatnonzero((self._n_options == 0) & ~np.isnan(best))
        d = len(columns)
        fixed = np.flatnonzero((self._n_options > 0) | np.isnan(best))
        if not 1 <= d <= _MOST_PARAMS:
            return None
        if len(fixed):
            alike = ((levels[:, fixed] == best[fixed]) | (np.isnan(levels[:, fixed]) & np.isnan(best[fixed]))).all(
                axis=1
            )
            levels, losses = levels[alike], losses[alike]
        x = levels[:, columns]
        n_coef = (d + 1) * (d + 2) // 2
        full = len(x) >= int(n_coef * 1.25)
        if not full:
            n_coef = 2 * d + 1
        if len(x) < n_coef * 1.25:
            return None
        k = min(len(x), int(np.ceil(_ROWS_PER_COEFFICIENT * n_coef)))
        far = ((x - best[columns]) ** 2).sum(axis=1)
        near = np.argsort(far, kind="stable")[:k]
        radius = float(np.sqrt(far[near[-1]]))
        if radius <= 1e-9:
            return None
        u = (x[near] - best[columns]) / radius
        y = losses[near] - losses[0]
        if _CAP < 1:
            y = np.minimum(y, np.quantile(y, _CAP))
        scale = y.max()
        if scale <= 0:
            return None
        g, h = _fitted(u, y / scale, full, far[near] / radius**2)
        low = np.maximum(-_REACH, -best[columns] / radius)
        high = np.minimum(_REACH, (1 - 1e-12 - best[columns]) / radius)
        at = _least(g, h, low, high)
        spread = np.linspace(0, 0.5, _CANDIDATES)[:, None] * rng.standard_normal((_CANDIDATES, d))
        u = np.clip(at + spread, (-best[columns]) / radius, (1 - 1e-12 - best[columns]) / radius)
        known = x if not len(others) else np.concatenate([x, others[:, columns]])
        known = (known[~np.isnan(known).any(axis=1)] - best[columns]) / radius
        gap = np.sqrt(((u[:, None, :] - known[None]) ** 2).sum(axis=2).min(axis=1))
        u = u[gap >= _NEAREST]
        if not len(u):
            return None
        found = np.repeat(best[None], len(u), axis=0)
        found[:, columns] = best[columns] + radius * u
        return found


def _fitted(u: FloatArray, y: FloatArray, full: bool, far: FloatArray):
    n, d = u.shape
    i, j = np.triu_indices(d) if full else (np.arange(d), np.arange(d))
    features = np.concatenate([np.ones((n, 1)), u, u[:, i] * u[:, j]], axis=1)
    weights = 1 / (0.1 + far) ** _WEIGHT
    a = np.einsum("ni,nj,n->ij", features, features, weights)
    b = np.einsum("ni,n->i", features, y * weights)
    a[np.diag_indices(len(a))] += _RIDGE * np.trace(a) / len(a)
    c = np.linalg.solve(a, b)
    h = np.zeros((d, d))
    h[i, j] += c[1 + d :]
    h[j, i] += c[1 + d :]
    return c[1 : 1 + d], h


def _least(g, h, low, high):
    d = len(g)
    at = [0.0] * d
    g, h, low, high = g.tolist(), h.tolist(), low.tolist(), high.tolist()
    for _ in range(_SWEEPS):
        for k in range(d):
            row = h[k]
            slope = g[k] + sum(row[m] * at[m] for m in range(d) if m != k)
            bend = row[k]
            if bend > 0:
                at[k] = min(max(-slope / bend, low[k]), high[k])
            else:
                f = lambda t: slope * t + 0.5 * bend * t * t
                at[k] = low[k] if f(low[k]) < f(high[k]) else high[k]
    return np.array(at)

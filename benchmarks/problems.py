"""Problems with a known best value, by formula or by evaluation of the whole grid.

A problem gives the loss of points at a fidelity; what is left to the best one at full fidelity and without noise, divided
by a scale of its own, is the regret.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

import rbt_ray as rbt
from rbt_ray.data.fidelity import share_of
from rbt_ray.study.conditions import Compare, Relation
from rbt_ray.study.space import Space

_BLOCK = 5_000
ETA = 3


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Args:
        name: its.
        space: what may vary.
        lowest: the lowest fidelity.
        loss: from points ``(n, n_params)``, a fidelity and a generator of noise to losses ``(n,)``, NaN where it fails.
        best: the lowest noise-free loss at full fidelity.
        scale: of regret: 1 is about what a bad config has.
    """

    name: str
    space: Space
    lowest: float
    loss: Any
    best: float
    scale: float = 1.0

    def regret(self, points):
        """Returns ``(n,)`` distances to the best value, at full fidelity and without noise; inf for failures."""
        return np.nan_to_num((self.loss(points, 1.0, None) - self.best) / self.scale, nan=np.inf)


def counting_ones(n_options=4, n_numbers=4, draws=729):
    """Counting ones: how many of some coins show heads, the bent ones judged by `fidelity * draws` tosses each.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB", section 5.1.
    """
    domains = {f"c{i}": rbt.choice([0, 1]) for i in range(n_options)}
    domains |= {f"u{i}": rbt.uniform(0.0, 1.0) for i in range(n_numbers)}
    d = n_options + n_numbers

    def loss(points, fidelity, noise):
        heads, p = points[:, :n_options].sum(axis=1), points[:, n_options:]
        if noise is not None:
            tosses = share_of(fidelity, draws)
            p = noise.binomial(tosses, p) / tosses
        return -(heads + p.sum(axis=1)) / d

    return Problem(f"counting ones {n_options}+{n_numbers}", Space.of(domains), 1 / 27, loss, -1.0)


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A3 = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]], dtype=float)
_P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])


def hartmann3():
    """Hartmann's function of three numbers, whose peaks shrink by up to 0.1 as the fidelity falls.

    Source:
        Kandasamy et al. (2017), "Multi-fidelity Bayesian Optimisation with Continuous Approximations", ICML, appendix.
    """

    def loss(points, fidelity, noise):
        del noise
        exponent = (_A3[None] * (points[:, None, :] - _P3[None]) ** 2).sum(axis=2)
        return -((_ALPHA - 0.1 * (1 - fidelity)) * np.exp(-exponent)).sum(axis=1)

    space = Space.of({f"x{i}": rbt.uniform(0.0, 1.0) for i in range(3)})
    return Problem("MF-Hartmann 3", space, 1 / 27, loss, -3.86277979)


def branin():
    """Branin's function, bent as the fidelity falls.

    Source:
        Kandasamy et al. (2017), appendix.
    """

    def loss(points, fidelity, noise):
        del noise
        x, y = points.T
        off = 1 - fidelity
        b, c, t = 5.1 / (4 * np.pi**2) - 0.01 * off, 5 / np.pi - 0.1 * off, 1 / (8 * np.pi) + 0.05 * off
        return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * np.cos(x) + 10

    return Problem(
        "MF-Branin", Space.of({"x": rbt.uniform(-5.0, 10.0), "y": rbt.uniform(0.0, 15.0)}), 1 / 27, loss, 0.39788736
    )


def classic(name, low, high, value_at):
    """A function of five numbers with a minimum of 0, divided by its 1 % quantile.

    Args:
        name: its.
        low: the least value of a number.
        high: the greatest value.
        value_at: from ``(n, 5)`` points to ``(n,)`` values.
    """
    space = Space.of({f"x{i}": rbt.uniform(low, high) for i in range(5)})
    scale = np.quantile(value_at(np.random.default_rng(0).uniform(low, high, (10_000, 5))), 0.01)
    return Problem(name, space, 1.0, lambda points, fidelity, noise: value_at(points), 0.0, float(scale))


def levy():
    """Levy's function: valleys in a bowl."""

    def value_at(x):
        w = 1 + (x - 1) / 4
        middle = (w[:, :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:, :-1] + 1) ** 2)
        last = (w[:, -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[:, -1]) ** 2)
        return np.sin(np.pi * w[:, 0]) ** 2 + middle.sum(axis=1) + last

    return classic("Levy", -10, 10, value_at)


def griewank():
    """Griewank's function: a bowl with many shallow minima, away from the middle of the space."""
    centre = np.array([11.0, -20.0, 7.0, 31.0, -3.0])

    def value_at(x):
        waves = np.cos((x - centre) / np.sqrt(np.arange(1, 6))).prod(axis=1)
        return ((x - centre) ** 2).sum(axis=1) / 4000 + 1 - waves

    return classic("Griewank", -50, 50, value_at)


def rastrigin():
    """Rastrigin's function: a bowl with many deep minima, away from the middle of the space."""
    centre = np.array([0.7, -1.3, 2.2, -0.4, 1.9])

    def value_at(x):
        return (10 + (x - centre) ** 2 - 10 * np.cos(2 * np.pi * (x - centre))).sum(axis=1)

    return classic("Rastrigin", -5.12, 5.12, value_at)


def zakharov():
    """Zakharov's function: a long valley."""

    def value_at(x):
        weighted = (x * np.arange(1, 6) / 2).sum(axis=1)
        return (x**2).sum(axis=1) + weighted**2 + weighted**4

    return classic("Zakharov", -5, 10, value_at)


def on_a_grid(name, axes, losses, forbidden=()):
    """A problem that is a table.

    Args:
        name: its.
        axes: the values of each parameter by name, ascending.
        losses: ``(grid,)`` arrays by fidelity, the last axis fastest; NaN where a config fails.
        forbidden: clauses of the space.
    """
    domains = tuple(_domain(values) for values in axes.values())
    space = Space(tuple(axes), domains, forbidden=tuple(forbidden))
    starts = np.array([domain.nth(np.zeros(1))[0] for domain in domains])
    steps = np.array([domain.nth(np.ones(1))[0] for domain in domains]) - starts
    strides = np.cumprod([1, *(len(values) for values in reversed(list(axes.values())))])[-2::-1]
    fidelities = np.array(sorted(losses))

    def loss(points, fidelity, noise):
        del noise
        at = (np.rint((points - starts) / steps) @ strides).astype(np.int64)
        return losses[fidelities[np.argmin(np.abs(fidelities - fidelity))]][at]

    full = losses[1.0]
    best, middle = np.nanmin(full), np.nanmedian(full)
    return Problem(name, space, float(fidelities[0]), loss, float(best), float(middle - best))


def _domain(values):
    step = values[1] - values[0]
    if not np.allclose(np.diff(values), step):
        return rbt.choice(values.tolist())
    if step == 1:
        return rbt.randint(int(values[0]), int(values[-1]) + 1)
    return rbt.quniform(float(values[0]), float(values[-1]), float(step.round(6)))


def swept(objective, bundle, axes, lowest):
    """Negative Sharpe ratios of a built-in objective on a whole grid, at fidelities of first bars."""
    bundle = rbt.load_bundle(bundle) if isinstance(bundle, str) else bundle
    grid = np.array(list(itertools.product(*axes.values())), dtype=np.float64)
    columns = dict(zip(axes, grid.T, strict=True))
    fidelities = [1.0]
    while fidelities[-1] / ETA > lowest * (1 - 1e-9):
        fidelities.append(fidelities[-1] / ETA)

    def losses(fidelity):
        view = bundle.view(share_of(fidelity, bundle.n_bars))
        blocks = ({k: v[at : at + _BLOCK] for k, v in columns.items()} for at in range(0, len(grid), _BLOCK))
        return -np.concatenate([objective.evaluate(view, block, ("sharpe",))["sharpe"] for block in blocks])

    return {fidelity: losses(fidelity) for fidelity in fidelities}


def crossover(bundle, lowest):
    """100,000 pairs of `sma_cross`."""
    axes = {"fast": np.arange(2, 202), "slow": np.arange(10, 510)}
    return on_a_grid(f"sma_cross on {bundle}", axes, swept(rbt.objectives.sma_cross(), bundle, axes, lowest))


def breakout(bundle, lowest):
    """100,489 pairs of `breakout`."""
    axes = {"entry": np.arange(2, 319), "exit": np.arange(2, 319)}
    return on_a_grid(f"breakout on {bundle}", axes, swept(rbt.objectives.breakout(), bundle, axes, lowest))


def reversion(bundle, lowest):
    """110,000 triples of `mean_reversion`."""
    axes = {
        "window": np.arange(2, 112),
        "entry": np.linspace(0.2, 3.3, 32).round(2),
        "exit": np.linspace(-1.5, 1.5, 31).round(2),
    }
    return on_a_grid(f"mean_reversion on {bundle}", axes, swept(rbt.objectives.mean_reversion(), bundle, axes, lowest))


def three_filters(bundle, lowest):
    """100,000 configs of five parameters: long where one average is above another, the close above a third, and the close
    not too far above its mean of some days; equal weights, filled at the next close, 5 basis points a unit of turnover."""
    data = rbt.load_bundle(bundle)
    view = data.view(data.n_bars)
    axes = {
        "fast": np.arange(4, 44, 4),
        "slow": np.arange(60, 260, 20),
        "trend": np.arange(60, 360, 30),
        "window": np.arange(5, 55, 5),
        "cap": np.arange(-6, 24, 3) / 10,
    }
    close = view.close
    means = {n: view.sma("close", int(n)) for n in {*axes["fast"], *axes["slow"], *axes["trend"], *axes["window"]}}
    squares = {n: _moving_mean(close**2, int(n)) for n in axes["window"]}
    with np.errstate(invalid="ignore", divide="ignore"):
        z = {n: (close - means[n]) / np.sqrt(np.maximum(squares[n] - means[n] ** 2, 1e-300)) for n in axes["window"]}
        change = np.vstack([np.zeros((1, data.n_symbols)), np.nan_to_num(close[1:] / close[:-1] - 1)])
        cross = np.array([[means[f] > means[s] * (1 + 1e-9) for s in axes["slow"]] for f in axes["fast"]])
        above = np.array([close > means[t] * (1 + 1e-9) for t in axes["trend"]])
        calm = np.array([[z[w] < cap for cap in axes["cap"]] for w in axes["window"]])
    fidelities = [1.0]
    while fidelities[-1] / ETA > lowest * (1 - 1e-9):
        fidelities.append(fidelities[-1] / ETA)
    ends = np.array([share_of(f, data.n_bars) for f in fidelities])
    sharpe = _three_filters(cross.reshape(-1, *close.shape), above, calm.reshape(-1, *close.shape), change, ends, 5e-4)
    sharpe *= np.sqrt(data.periods_per_year)
    return on_a_grid(f"three filters on {bundle}", axes, {f: -sharpe[:, k] for k, f in enumerate(fidelities)})


@numba.njit(cache=False)
def _three_filters(cross, above, calm, change, ends, cost):
    n_bars, n_symbols = change.shape
    sharpe = np.full((len(cross) * len(above) * len(calm), len(ends)), np.nan)
    for config in range(len(sharpe)):
        a, rest = divmod(config, len(above) * len(calm))
        b, c = divmod(rest, len(calm))
        held, wanted = np.zeros(n_symbols), np.zeros(n_symbols)
        total = squares = 0.0
        for bar in range(n_bars):
            r = 0.0
            for symbol in range(n_symbols):  # decided a bar ago, filled now
                r += held[symbol] * change[bar, symbol] - cost * abs(wanted[symbol] - held[symbol])
                held[symbol] = wanted[symbol]
                long = cross[a, bar, symbol] and above[b, bar, symbol] and calm[c, bar, symbol]
                wanted[symbol] = 1.0 / n_symbols if long else 0.0
            total += r
            squares += r * r
            for k in range(len(ends)):
                if bar + 1 == ends[k]:
                    n = bar + 1
                    variance = (squares - total * total / n) / (n - 1)
                    if variance > 1e-14:
                        sharpe[config, k] = total / n / np.sqrt(variance)
    return sharpe


def _moving_mean(values, n):
    sums = np.nancumsum(values, axis=0)
    found = np.full(values.shape, np.nan)
    found[n - 1 :] = (sums[n - 1 :] - np.vstack([np.zeros((1, values.shape[1])), sums[:-n]])) / n
    return found


def with_failures(problem, share=0.2):
    """Returns the problem with failures for the highest `share` of the values of the first parameter."""
    top = problem.space.domains[0].from_unit(np.array([1.0 - share]))[0]

    def loss(points, fidelity, noise):
        return np.where(points[:, 0] >= top, np.nan, problem.loss(points, fidelity, noise))

    grid = problem.space.grid(0, problem.space.grid_size)
    best = float(np.nanmin(loss(grid, 1.0, None)))
    return Problem(f"{problem.name}, a fifth fails", problem.space, problem.lowest, loss, best, problem.scale)


def fast_below_slow(bundle, lowest):
    """Pairs of `sma_cross` of which those with fast >= slow are forbidden."""
    axes = {"fast": np.arange(2, 302), "slow": np.arange(2, 302)}
    forbidden = [Relation("fast", ">=", "slow")]
    losses = swept(rbt.objectives.sma_cross(), bundle, axes, lowest)
    fast, slow = (grid.ravel() for grid in np.meshgrid(*axes.values(), indexing="ij"))
    kept = {fidelity: np.where(fast < slow, loss, np.nan) for fidelity, loss in losses.items()}
    return on_a_grid(f"sma_cross on {bundle}, fast < slow", axes, kept, forbidden)


def either(first, second):
    """Returns a choice between two problems, each with conditional parameters."""
    names = ("which", *(f"a_{name}" for name in first.space.names), *(f"b_{name}" for name in second.space.names))
    domains = (rbt.choice(["a", "b"]), *first.space.domains, *second.space.domains)
    conditions = tuple((name, Compare("which", "==", float(name.startswith("b_")))) for name in names[1:])
    space = Space(names, domains, conditions=conditions)
    n_first = first.space.n_params

    def loss(points, fidelity, noise):
        found, is_first = np.empty(len(points)), points[:, 0] == 0
        found[is_first] = first.loss(points[is_first, 1 : 1 + n_first], fidelity, noise)
        found[~is_first] = second.loss(points[~is_first, 1 + n_first :], fidelity, noise)
        return found

    best, scale = min(first.best, second.best), max(first.scale, second.scale)
    return Problem(f"{first.name} or {second.name}", space, max(first.lowest, second.lowest), loss, best, scale)


def small(bundle, n_each):
    """Returns `sma_cross` with `n_each` values of each window, as in a first study."""
    axes = {
        "fast": np.unique(np.geomspace(5, 60, n_each).round()),
        "slow": np.unique(np.geomspace(65, 250, n_each).round()),
    }
    losses = swept(rbt.objectives.sma_cross(), bundle, axes, 1.0)
    return on_a_grid(f"{n_each**2} pairs on {bundle}", axes, losses)

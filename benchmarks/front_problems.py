"""Functions of several losses with a known Pareto front, for `several_objectives.py`.

Source:
    Zitzler, Deb and Thiele (2000), "Comparison of Multiobjective Evolutionary Algorithms: Empirical Results", Evolutionary
    Computation 8(2), 173-195, for ZDT; Deb, Thiele, Laumanns and Zitzler (2005), "Scalable Test Problems for Evolutionary
    Multiobjective Optimization", for DTLZ; Fonseca and Fleming (1995), Evolutionary Computation 3(1), 1-16.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

import rbt_ray as rbt
from rbt_ray.pareto import by_evaluations, hypervolume


@dataclass(frozen=True)
class Function:
    """A function of several losses on the unit cube, or on a box.

    Args:
        name: its name.
        n_params: how many parameters it has.
        losses: from ``(n_params,)`` numbers to the losses.
        front: ``(n, n_losses)`` points of the true front.
        reference: ``(n_losses,)`` above every value.
        bounds: of parameters that do not vary in [0, 1], by position; a pair for all of them.
    """

    name: str
    n_params: int
    losses: Any
    front: Any
    reference: tuple[float, ...]
    bounds: Any = (0.0, 1.0)

    def space(self):
        """Returns the space, for rbt_ray."""
        return {f"x{k}": rbt.uniform(*self.bounds_of(k)) for k in range(self.n_params)}

    def bounds_of(self, k):
        """Returns the bounds of a parameter; the first of a ZDT function always varies in [0, 1]."""
        return (0.0, 1.0) if k == 0 and self.name.startswith("ZDT") else self.bounds

    def missing(self, losses):
        """Returns ``(n,)`` the missing share of the hypervolume after each of ``(n, n_losses)`` evaluations."""
        reference = np.array(self.reference)
        return 1 - by_evaluations(np.asarray(losses), reference) / _best_volume(self.name)


@functools.cache
def _best_volume(name):
    function = FUNCTIONS[name]
    return hypervolume(function.front(), np.array(function.reference))


def _zdt(shape, g):
    def losses(x):
        f1, above = x[0], g(x[1:])
        return f1, above * shape(f1 / above, f1)

    return losses


def _linear(rest):
    return 1 + 9 * np.mean(rest)


def _rastrigin(rest):
    rest = np.asarray(rest)
    return 1 + 10 * len(rest) + float(np.sum(rest**2 - 10 * np.cos(4 * np.pi * rest)))


def _zdt6(x):
    f1 = 1 - np.exp(-4 * x[0]) * np.sin(6 * np.pi * x[0]) ** 6
    above = 1 + 9 * np.mean(x[1:]) ** 0.25
    return f1, above * (1 - (f1 / above) ** 2)


def _curve(shape, low=0.0, high=1.0):
    f1 = np.linspace(low, high, 20_000)
    return np.column_stack([f1, shape(f1, f1)])


def _root(share, f1):
    del f1
    return 1 - np.sqrt(share)


def _square(share, f1):
    del f1
    return 1 - share**2


def _waves(share, f1):
    return 1 - np.sqrt(share) - share * np.sin(10 * np.pi * f1)


def _dtlz2(x):
    a, b = np.asarray(x[:2]) * np.pi / 2
    above = 1 + float(np.sum((np.asarray(x[2:]) - 0.5) ** 2))
    return above * np.cos(a) * np.cos(b), above * np.cos(a) * np.sin(b), above * np.sin(a)


def _dtlz1(x):
    rest = np.asarray(x[2:]) - 0.5
    above = 1 + 100 * (len(rest) + float(np.sum(rest**2 - np.cos(20 * np.pi * rest))))
    return 0.5 * x[0] * x[1] * above, 0.5 * x[0] * (1 - x[1]) * above, 0.5 * (1 - x[0]) * above


def _grid_of_angles():
    a, b = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40))
    return np.array([_dtlz2([*pair, 0.5]) for pair in zip(a.ravel(), b.ravel(), strict=True)])


def _triangle():
    a, b = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40))
    return np.array([_dtlz1([*pair, 0.5]) for pair in zip(a.ravel(), b.ravel(), strict=True)])


def _fonseca(x):
    x, side = np.asarray(x), 1 / np.sqrt(len(x))
    return 1 - np.exp(-np.sum((x - side) ** 2)), 1 - np.exp(-np.sum((x + side) ** 2))


def _fonseca_front():
    return np.array([_fonseca(np.full(4, t)) for t in np.linspace(-0.5, 0.5, 5_000)])


FUNCTIONS = {
    function.name: function
    for function in (
        Function("ZDT1", 10, _zdt(_root, _linear), lambda: _curve(_root), (1.1, 11.0)),
        Function("ZDT2", 10, _zdt(_square, _linear), lambda: _curve(_square), (1.1, 11.0)),
        Function("ZDT3", 10, _zdt(_waves, _linear), lambda: _curve(_waves), (1.1, 11.0)),
        Function("DTLZ2", 7, _dtlz2, _grid_of_angles, (2.5, 2.5, 2.5)),
        Function("ZDT4", 6, _zdt(_root, _rastrigin), lambda: _curve(_root), (1.1, 260.0), (-5.0, 5.0)),
        Function("ZDT6", 8, _zdt6, lambda: _curve(_square, 0.2807753191), (1.1, 11.0)),
        Function("DTLZ1", 6, _dtlz1, _triangle, (500.0, 500.0, 500.0)),
        Function("Fonseca-Fleming", 4, _fonseca, _fonseca_front, (1.1, 1.1), (-4.0, 4.0)),
    )
}
GROUPS = {"report": ("ZDT1", "ZDT2", "ZDT3", "DTLZ2"), "tune": ("ZDT4", "ZDT6", "DTLZ1", "Fonseca-Fleming")}


def score(params, data):
    """The objective of the studies; the constant parameter "function" names the function."""
    del data
    function = FUNCTIONS[params["function"]]
    found = function.losses([params[f"x{k}"] for k in range(function.n_params)])
    return {f"f{k}": float(value) for k, value in enumerate(found)}

"""Hypervolume of searches for several metrics, on functions with a known Pareto front.

    python benchmarks/several_objectives.py [--group report] [--tools NAMES] [--seeds 20] [--quick] [--write docs/decisions]

The functions of the group "report" are ZDT1, ZDT2 and ZDT3 with 10 parameters and DTLZ2 with 3 metrics and 7 parameters. Those of
the group "tune" (ZDT4, ZDT6, DTLZ1, Fonseca and Fleming's) are for changes of the search, so that it is not judged by the
functions that it was tuned on. Every search makes 200 evaluations. rbt_ray's are studies as a user gets them, on two workers;
Optuna's run by its own `optimize`.

A figure is the share of the true front's hypervolume that is missing: 1 - HV / HV*, up to a reference point that all values are
below. Square brackets show the 95 % bootstrap interval of the median. The p-values are Wilcoxon's, paired by seed, against "auto".
With `--write`, the results of each seed are saved in several_objectives.json. A run replaces its own results, and the page
is written from all results.
"""

import argparse
import functools
import json
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import rbt_ray as rbt
from rbt_ray.bench import median_with_interval
from rbt_ray.hypervolume import by_evaluations, hypervolume

N_EVALUATIONS = 200
AT = (50, 100, 200)


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


def ours(search_alg, **settings):
    """Returns a search by a study of rbt_ray."""

    def losses(function, seed):
        with tempfile.TemporaryDirectory() as folder:
            names = [f"f{k}" for k in range(len(function.reference))]
            results = rbt.Tuner(
                score,
                param_space={**function.space(), "function": function.name},
                tune_config=rbt.TuneConfig(
                    metric=names, mode="min", search_alg=search_alg, num_samples=N_EVALUATIONS, seed=seed, **settings
                ),
                run_config=rbt.RunConfig(storage_path=folder, backend="local", num_workers=2, verbose=0),
            ).fit()
            return results.table.losses

    return losses


def optunas(make):
    """Returns a search by Optuna; `make(seed)` returns its sampler."""

    def losses(function, seed):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(directions=["minimize"] * len(function.reference), sampler=make(seed))

        def evaluate(trial):
            return function.losses(
                [trial.suggest_float(f"x{k}", *function.bounds_of(k)) for k in range(function.n_params)]
            )

        study.optimize(evaluate, n_trials=N_EVALUATIONS)
        return np.array([trial.values for trial in study.trials])

    return losses


def _optuna_sampler(name, **settings):
    def make(seed):
        import optuna

        return getattr(optuna.samplers, name)(seed=seed, **settings)

    return make


TOOLS = {
    "random": ours("random"),
    "Optuna's default (NSGA-II)": optunas(_optuna_sampler("NSGAIISampler")),
    "Optuna NSGA-III": optunas(_optuna_sampler("NSGAIIISampler")),
    "Optuna TPE": optunas(_optuna_sampler("TPESampler")),
    "Optuna TPE multivariate": optunas(_optuna_sampler("TPESampler", multivariate=True)),
    "auto": ours("auto"),
    "auto, one at a time": ours("auto", max_pending=1),
}


def measured(tool, function, seeds):
    """Returns the saved data of one search on one function, by seed, with the code version."""
    start = time.process_time()
    courses = [function.missing(TOOLS[tool](function, seed)) for seed in range(seeds)]
    return {
        "code": _code(),
        "date": time.strftime("%Y-%m-%d"),
        "missing": {str(at): [float(course[at - 1]) for course in courses] for at in AT},
        "cpu_s": (time.process_time() - start) / seeds,
    }


@functools.cache
def _code():
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or rbt.__version__


def page(results):
    """Returns the results as Markdown; `results` are by group, function and tool, as `measured` returns them."""
    about = __doc__.partition("The functions of")
    lines = [
        "# Search for several metrics",
        "",
        f"Generated by `benchmarks/several_objectives.py`; Python {platform.python_version()}, Optuna {version('optuna')}. "
        f"Do not edit this page.",
        "",
        about[1] + about[2].partition("With `--write`")[0].strip(),
    ]
    for group in sorted(results):
        lines += ["", f"## Functions of the group {group!r}"]
        for name, tools in results[group].items():
            n = max(len(found["missing"]["200"]) for found in tools.values())
            lines += ["", f"### {name}, {n} seeds", "", *_table(tools)]
    return "\n".join(lines) + "\n"


def _table(tools):
    from scipy.stats import wilcoxon

    lines = ["| search | " + " | ".join(f"missing after {at}" for at in AT) + " | p at 200 | code |", "|---" * 6 + "|"]
    for tool, found in tools.items():
        cells = []
        for at in AT:
            middle, low, high = median_with_interval(np.array(found["missing"][str(at)]))
            cells.append(f"{middle:.4f} [{low:.4f}, {high:.4f}]")
        own, other = (np.array(one["missing"]["200"]) for one in (found, tools.get("auto", found)))
        n = min(len(own), len(other))
        differs = tool != "auto" and n > 1 and (own[:n] != other[:n]).any()
        p = f"{wilcoxon(own[:n], other[:n]).pvalue:.2g}" if differs else ""
        lines.append(f"| {tool} | {' | '.join(cells)} | {p} | {found['code']} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", choices=sorted(GROUPS), default="report")
    parser.add_argument("--tools", default="|".join(TOOLS), help="names, separated by |")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="2 seeds")
    parser.add_argument("--write", type=Path, help="a folder for several_objectives.md and its data")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = 2 if options.quick else options.seeds
    kept = options.write / "several_objectives.json" if options.write else None
    results = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    for name in GROUPS[options.group]:
        for tool in options.tools.split("|"):
            found = measured(tool, FUNCTIONS[name], seeds)
            results.setdefault(options.group, {}).setdefault(name, {})[tool] = found
            shown = ", ".join(f"{np.median(found['missing'][str(at)]):.4f} at {at}" for at in AT)
            print(f"{name:<16} {tool:<28} {shown}", file=sys.stderr, flush=True)
            if kept is not None:
                kept.write_text(json.dumps(results) + "\n")
                kept.with_suffix(".md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()

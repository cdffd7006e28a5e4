"""Writes `docs/benchmarks.md` and its plot from the data that the scripts saved with `--data`.

    python benchmarks/page.py [docs/benchmarks.json]

The page is written beside the data. A section without data names the command that measures it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.machine import machine_line
from benchmarks.page_text import length, table
from rbt_ray.bench import median_with_interval

DOCS = Path(__file__).resolve().parents[1] / "docs"
COMMANDS = {
    "throughput local": "throughput.py",
    "throughput ray": "throughput.py --backend ray",
    "first_result": "first_result.py",
    "ray_start": "ray_start.py",
    "bundle_memory local": "bundle_memory.py",
    "bundle_memory ray": "bundle_memory.py --backend ray",
    "suggestion": "suggestion.py",
    "bohb_wall": "bohb_wall.py",
}
BACKENDS = {"local": "local", "ray": "Ray"}
KINDS = {"plain": "plain function", "batched": "`@rbt.batched`"}
MODELS = {"native kde": "BOHB's model", "native tpe": "the model of TPE", "hpbandster": "hpbandster"}
TOOLS = {
    "rbt_ray": '`search_alg="bohb"` of rbt_ray',
    "hpbandster's master": "hpbandster's own master and name server",
    "Ray Tune's TuneBOHB": "Ray Tune, `TuneBOHB` and `HyperBandForBOHB`, actors reused",
}
GOAL, GOAL_AT = 0.97, 10e-3
"""The target of parallel efficiency, and the seconds per evaluation that it is for."""


def interval(values, form):
    """Returns the median and its 95 % bootstrap interval."""
    middle, low, high = (format(value, form) for value in median_with_interval(values))
    return f"{middle} [{low}, {high}]"


def extremes(values, form=".2f", unit=" s"):
    """Returns median, minimum and maximum."""
    return f"{np.median(values):{form}}{unit} [{min(values):{form}}, {max(values):{form}}]"


def lacking(data, names):
    """Returns a sentence on what is not measured yet, and how to measure it."""
    commands = [
        f"`python benchmarks/{COMMANDS[name]} --data docs/benchmarks.json`" for name in names if name not in data
    ]
    return [f"Not measured yet: {' and '.join(commands)} will.", ""] if commands else []


def by_backend(data, script):
    """Returns the entries of a script, local first."""
    return {backend: data[f"{script} {backend}"] for backend in BACKENDS if f"{script} {backend}" in data}


def side_by_side(found, key, first, cell):
    """Returns a table with a row per case and a column per backend, whose number of runs may differ."""
    cases = [one[key] for one in found.values()]
    return table(
        [*first, *(f"{BACKENDS[backend]}, {one['workers']} workers" for backend, one in found.items())],
        [[*cell(rows[0])[:-1], *(cell(one)[-1] for one in rows)] for rows in zip(*cases, strict=True)],
    )


def busy(data, plot_name):
    found = by_backend(data, "throughput")
    lines = [
        "## How busy the workers are kept", "",
        "`benchmarks/throughput.py`, cases interleaved. Parallel efficiency is evaluation CPU time over wall time times workers, "
        "where an evaluation burns a fixed CPU time and nothing of rbt_ray's own work counts as evaluation. Brackets hold a "
        "95 % bootstrap interval.", "",
        *lacking(data, ("throughput local", "throughput ray")),
    ]  # fmt: skip
    if found:
        lines += [
            *side_by_side(
                found, "efficiencies", ["an evaluation takes", "objective", "evaluations"],
                lambda case: [
                    length(case["seconds"]), KINDS[case["kind"]], f"{case['n']:,}", interval(case["efficiency"], ".3f"),
                ],
            ), "",
            "Repeats: " + ", ".join(f"{one['repeats']} {BACKENDS[backend]}" for backend, one in found.items()) + ".", "",
            f"![Parallel efficiency by length of evaluation]({plot_name})", "",
            *(goal(backend, one["efficiencies"]) for backend, one in found.items()),
        ]  # fmt: skip
    if "local" in found:
        shortest = min(
            (case for case in found["local"]["efficiencies"] if case["kind"] == "plain"), key=lambda c: c["seconds"]
        )
        lost = shortest["seconds"] * (1 / np.median(shortest["efficiency"]) - 1)
        lines += [
            f"What is lost at {length(shortest['seconds'])} is {lost * 1e6:.1f} µs of a worker's time an evaluation, locally, most of "
            "it for the config's dict, the clock and the result's conversion.",
        ]  # fmt: skip
    return [
        *lines, "",
        "In an earlier version, by the kernel's counts per thread, Ray's own processes (log monitor, raylet, GCS, agents, dashboard) "
        "took 1.7 % of one core during a study and the driver with Ray's threads 1.4 %; with Ray's metrics and task events, "
        "which a Ray of our own is started without, it was 0.6 % more.", "",
        "A batch of the sweep below holds up to 32,768 configurations, whose results weigh 1.4 MB: 42 bytes each, of which Ray "
        "sends up to 100 kB inline and more through its object store. With batches held below 100 kB a sweep of 200,000 took "
        "1.78 s of CPU time over all processes, without 1.29 s (an earlier version, medians of 10 by turns): fewer calls are "
        "worth more than inline ones. Where an evaluation takes more than 0.13 ms, a batch is below 100 kB anyway.", "",
    ]  # fmt: skip


def goal(backend, cases):
    reached = next(np.median(case["efficiency"]) for case in cases if np.isclose(case["seconds"], GOAL_AT))
    verdict = "is reached" if reached >= GOAL else "is not reached"
    return f"The goal of {GOAL} at {length(GOAL_AT)} {verdict}, {BACKENDS[backend]} ({reached:.3f})."


def sweep(data):
    found = by_backend(data, "throughput")
    lines = [
        "## The built-in sweep", "",
        "The same script: a grid of `sma_cross` configurations with four metrics, from `fit()` to results on disk, kernels warm, "
        "journal included. `sample` trades at the next open, `fx` at the next close.", "",
        *lacking(data, ("throughput local", "throughput ray")),
    ]  # fmt: skip
    if found:
        lines += [
            *side_by_side(
                found, "sweeps", ["symbols x bars", "configurations"],
                lambda case: [case["bundle"], f"{case['n_configs']:,}", f"{interval(case['a_second'], ',.0f')} /s"],
            ), "",
            "The driver's peak memory over the whole script: "
            + ", ".join(f"{one['driver_peak_mib']:,.0f} MiB {BACKENDS[backend]}" for backend, one in found.items()) + ".", "",
        ]  # fmt: skip
    return [
        *lines,
        "The compare of two averages takes about a third of a configuration's time on the worker, accumulating returns, equity "
        "and drawdown the rest; it is bound by instructions, since a tile of 128 bars stays in the first-level cache. With AVX2 "
        "only, `fx` took 14 to 15 µs a configuration and core in an earlier version, with AVX-512 8.4.", "",
    ]  # fmt: skip


def first_result(data):
    lines = [
        "## From the start of the process to the first result", "",
        "`benchmarks/first_result.py`: runs of `rbt-ray run` on an ingested bundle in fresh processes, local backend. Medians; "
        "brackets hold the extremes.", "", *lacking(data, ("first_result",)),
    ]  # fmt: skip
    if "first_result" in data:
        found = data["first_result"]
        rows = [[name, *map(extremes, zip(*times, strict=True))] for name, times in found["seconds"].items()]
        lines += [
            *table(["study", "first result", "whole study, report included"], rows),
            "",
            f"Repeats: {found['repeats']}.",
            "",
        ]
    lines += [
        "Nearly all of it is the import of numba and the loading of the compiled kernels in the process "
        "that workers are forked from.", "",
        "On Ray, `benchmarks/ray_start.py`: fresh processes by turns; brackets hold the extremes.", "", *lacking(data, ("ray_start",)),
    ]  # fmt: skip
    if "ray_start" in data:
        found = data["ray_start"]
        times = {name: np.array(values) for name, values in found["seconds"].items()}
        named = {
            f'a quiet `ray.init(address="local")` and {found["workers"]} actors that do nothing': times["bare"],
            "a study of 100 `sma_cross` configurations on a Ray of its own": times["study"],
            "the difference, pair by pair": times["study"] - times["bare"],
        }
        rows = [[name, extremes(values[:, 0]), extremes(values[:, 1])] for name, values in named.items()]
        lines += [*table(["", "until the answer is there", "until the process has ended"], rows), ""]
        lines += [f"Repeats: {found['repeats']}.", ""]
    return lines


def bundle_memory(data):
    found = by_backend(data, "bundle_memory")
    lines = [
        "## What a bundle costs a worker", "",
        "`benchmarks/bundle_memory.py`: private memory (USS) of a worker that has read every bar of a large bundle, less that "
        "with a small one, the larger of two workers. Linux counts the pages of a file that one process alone has mapped as "
        "private to it, so the figure holds for two workers and more; private dirty memory is the same for one. On Ray the bundle "
        "is an object in shared memory, and a worker's memory includes Ray's and numba's own. Beside it: how long a ready worker, "
        "handed its first trial, takes to begin with it, the objective and the bundle loaded; brackets hold the extremes.", "",
        *lacking(data, ("bundle_memory local", "bundle_memory ray")),
    ]  # fmt: skip
    rows = []
    for backend, one in found.items():
        for name in ("small", "large"):
            at = one["bundles"][name]
            rows.append([
                BACKENDS[backend], f"{at['mb']:.0f} MB", f"{max(at['uss_mb']):.1f} MB", f"{max(at['dirty_mb']):.1f} MB",
                extremes(at["to_first_trial_ms"], ".0f", " ms"),
            ])  # fmt: skip
        more = {
            key: max(one["bundles"]["large"][key]) - max(one["bundles"]["small"][key]) for key in ("uss_mb", "dirty_mb")
        }
        rows.append(
            [
                f"**{BACKENDS[backend]}**",
                "**the difference**",
                *(f"**{round(value, 1) + 0:.1f} MB**" for value in more.values()),
                "",
            ]
        )
    return lines + ([*table(["", "bundle", "USS", "private dirty", "to the first trial"], rows), ""] if rows else [])


def suggestion(data):
    lines = [
        "## What a proposal costs", "",
        "`benchmarks/suggestion.py`: ms to observe one result and propose one config, refits included; medians, brackets hold a "
        "95 % bootstrap interval. hpbandster's column includes the third of its proposals that are random, and cheap.", "",
        *lacking(data, ("suggestion",)),
    ]  # fmt: skip
    if "suggestion" in data:
        found = data["suggestion"]
        rows = [
            [f"{case['n_params']} x {case['n_results']:,}", *(interval(case["ms"][name], ".3g") for name in MODELS)]
            for case in found["cases"]
        ]
        lines += [*table(["parameters x results", *MODELS.values()], rows), "", f"Repeats: {found['repeats']}.", ""]
    return lines


def bohb_wall(data):
    lines = [
        "## A BOHB search at 1 ms an evaluation", "",
        "`benchmarks/bohb_wall.py`: six numbers, two workers, in turn, from the first suggestion to the last result. rbt_ray's "
        "includes the eight configs that calibrate its fidelities. Brackets hold the extremes, the last column the ratios within "
        "a repeat.", "", *lacking(data, ("bohb_wall",)),
    ]  # fmt: skip
    if "bohb_wall" in data:
        found = data["bohb_wall"]
        walls = {name: np.array([one["wall_s"] for one in runs]) for name, runs in found["searches"].items()}
        rows = [
            [TOOLS[name], extremes(walls[name], ".3g"),
             "" if name == "rbt_ray" else extremes(walls[name] / walls["rbt_ray"], ".0f", "")]
            for name in TOOLS
        ]  # fmt: skip
        lines += [
            f"Rounds of Hyperband: {found['rounds']} ({found['configs']} new configs, budgets 1 to {found['budgets']}). Repeats: "
            f"{len(walls['rbt_ray'])}.", "", *table(["", "wall time", "times rbt_ray's"], rows), "",
        ]  # fmt: skip
    return [
        *lines,
        "hpbandster's start is not timed. Its dispatcher may miss a worker that says it is there, and then looks again after its "
        "`ping_interval`, a minute unless set: in an earlier version two workers took 61 and 66 s until both were found, in four "
        "starts with an interval of a second 1.5 to 9 s.", "",
        "How near searches come to the best there is: [decisions/search_quality.md](decisions/search_quality.md).", "",
    ]  # fmt: skip


ELSEWHERE = """\
## Which optimizations earn their keep

`make decisions` judges four of them by one rule, each in the regime it is meant for and outside it: the shared bundle, the
persistent pool, BOHB and Ray; and all of them one after another. It writes its pages and their data to [decisions](decisions/).
The rule: [measuring](measuring.md).

## Beside other tools

[decisions/peers.md](decisions/peers.md): the same work with the same results on multiprocessing.Pool, concurrent.futures,
joblib, Ray, Ray Tune, Optuna, RustyBT, vectorbt and backtesting.py, with what a gain is made of and where rbt_ray is behind.
Reproduce it with

```
benchmarks/peers/rustybt_environment          # RustyBT's own Python 3.12; left out where it is not run
python benchmarks/peers grid                  # and trials, tune, kernel, gains, memory: each is merged into peers.json
python benchmarks/peers write                 # the page and the plot, from the data alone
```

A round starts each peer once; `--rounds` repeats it and `--length 1e-3` takes one length of evaluation. `--quick` checks
in under a minute that all peers of the environment find the same, and times nothing.

[decisions/profiles.md](decisions/profiles.md) says where rbt_ray's own time goes, and what was tried.

## What is not measured here

Other machines, more than two cores, strategies of users. Of peers: several hosts, GPUs, spawned pools as on macOS and
Windows (but see `adapters.py`), and the commercial vectorbt, which has chunking of its own.
"""


def machines(data):
    """Returns one sentence if all was measured on the same machine, else one per machine."""
    scripts = {}
    for name, entry in data.items():
        scripts.setdefault(machine_line(entry["machine"]), []).append(f"`{COMMANDS[name]}`")
    if len(scripts) == 1:
        return [*scripts, ""]
    return [*(f"- {', '.join(commands)}: {text}" for text, commands in scripts.items()), ""]


def plot(data, path):
    """Plots parallel efficiency of plain functions by length of evaluation."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.8))
    for backend, one in by_backend(data, "throughput").items():
        cases = sorted(
            (case for case in one["efficiencies"] if case["kind"] == "plain"), key=lambda case: case["seconds"]
        )
        intervals = np.array([median_with_interval(case["efficiency"]) for case in cases])
        seconds = [case["seconds"] for case in cases]
        axes.plot(seconds, intervals[:, 0], marker="o", label=f"{BACKENDS[backend]}, {one['workers']} workers")
        axes.fill_between(seconds, intervals[:, 1], intervals[:, 2], alpha=0.25)
    axes.axhline(GOAL, color="grey", lw=0.8, ls="--", label=f"goal at {length(GOAL_AT)}")
    axes.set_xscale("log")
    axes.set_xticks(seconds, [length(one) for one in seconds])
    axes.set_xlabel("an evaluation takes")
    axes.set_ylabel("parallel efficiency")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def write(path):
    """Writes the page beside the data, and its plot if there is data for it."""
    data = json.loads(path.read_text())
    picture = path.with_suffix(".png")
    lines = [
        "# Benchmarks", "",
        f"Generated by `python benchmarks/page.py` from [{path.name}]({path.name}), which holds every repeat. Do not edit: run it "
        "again. Nothing is tuned to the figures, and no test asserts a time. Reproduce them with `make bench`.", "",
        *machines(data), *busy(data, picture.name), *sweep(data), *first_result(data), *bundle_memory(data), *suggestion(data),
        *bohb_wall(data), ELSEWHERE,
    ]  # fmt: skip
    path.with_suffix(".md").write_text(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)))
    if by_backend(data, "throughput"):
        plot(data, picture)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DOCS / "benchmarks.json")
    path = parser.parse_args().data
    if not path.exists():
        parser.error(f"{path} is not there; `python benchmarks/first_result.py --data {path}` and the others make it")
    write(path)


if __name__ == "__main__":
    main()

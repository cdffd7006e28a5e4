"""Writes `docs/benchmarks.md` and its plot from the data that the scripts saved with `--data`.

    python benchmarks/page.py [docs/benchmarks.json]

The page is written next to the data. A section without data names the command that measures it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bohb_wall import until_equal_loss
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
MODELS = {"native kde": "BOHB's model", "native tpe": "TPE's model", "hpbandster": "hpbandster"}
TOOLS = {
    "rbt_ray": '`search_alg="bohb"` of rbt_ray',
    "hpbandster's master": "hpbandster's own master and name server",
    "Ray Tune's TuneBOHB": "Ray Tune, `TuneBOHB` and `HyperBandForBOHB`, reusing actors",
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
    return [f"Not measured yet; run {' and '.join(commands)}.", ""] if commands else []


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
        "## Parallel efficiency", "",
        "`benchmarks/throughput.py`, cases interleaved. Parallel efficiency is evaluation CPU time / (wall time x workers). An "
        "evaluation uses a fixed CPU time, and rbt_ray's own work does not count as evaluation. Brackets contain a 95 % bootstrap "
        "interval.", "",
        *lacking(data, ("throughput local", "throughput ray")),
    ]  # fmt: skip
    if found:
        lines += [
            *side_by_side(
                found, "efficiencies", ["time per evaluation", "objective", "evaluations"],
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
            f"The overhead at {length(shortest['seconds'])} is {lost * 1e6:.1f} µs of a worker's time per evaluation, locally. Most of "
            "it is for the config's dict, the clock and the result's conversion.",
        ]  # fmt: skip
    return [
        *lines, "",
        "In an earlier version, Ray's own processes (log monitor, raylet, GCS, agents, dashboard) used 1.7 % of one core during a "
        "study, and the driver with Ray's threads 1.4 % (the kernel's counts per thread). Ray's metrics and task events would add "
        "0.6 %; a Ray that rbt_ray starts has them disabled.", "",
        "A batch of the sweep below has up to 32,768 configurations, whose results take 1.4 MB: 42 bytes each. Ray sends results "
        "of up to 100 kB inline and larger ones through its object store. A sweep of 200,000 took 1.78 s of CPU time over all "
        "processes with batches limited to 100 kB, and 1.29 s without the limit (an earlier version, medians of 10, alternating): "
        "fewer calls save more than inline results. If an evaluation takes more than 0.13 ms, a batch is below 100 kB anyway.", "",
    ]  # fmt: skip


def goal(backend, cases):
    reached = next(np.median(case["efficiency"]) for case in cases if np.isclose(case["seconds"], GOAL_AT))
    verdict = "is reached" if reached >= GOAL else "is not reached"
    return f"The goal of {GOAL} at {length(GOAL_AT)} {verdict}, {BACKENDS[backend]} ({reached:.3f})."


def sweep(data):
    found = by_backend(data, "throughput")
    lines = [
        "## The built-in sweep", "",
        "The same script runs a grid of `sma_cross` configurations with four metrics. It measures from `fit()` to results on disk, "
        "including the journal, with loaded kernels. `sample` trades at the next open, `fx` at the next close.", "",
        *lacking(data, ("throughput local", "throughput ray")),
    ]  # fmt: skip
    if found:
        lines += [
            *side_by_side(
                found, "sweeps", ["symbols x bars", "configurations"],
                lambda case: [case["bundle"], f"{case['n_configs']:,}", f"{interval(case['a_second'], ',.0f')} /s"],
            ), "",
            "The driver's peak memory during the whole script: "
            + ", ".join(f"{one['driver_peak_mib']:,.0f} MiB {BACKENDS[backend]}" for backend, one in found.items()) + ".", "",
        ]  # fmt: skip
    return [
        *lines,
        "Comparing two averages takes about a third of a configuration's time on the worker. Accumulating returns, equity and "
        "drawdown takes the rest. It is limited by instructions, since a tile of 128 bars stays in the first-level cache. In an "
        "earlier version, `fx` took 14 to 15 µs per configuration and core with AVX2 only, and 8.4 with AVX-512.", "",
    ]  # fmt: skip


def first_result(data):
    lines = [
        "## Time to the first result", "",
        "`benchmarks/first_result.py` runs `rbt-ray run` on an ingested bundle in fresh processes, on the local backend. It "
        "measures from the start of the process. Medians; brackets contain the extremes.", "", *lacking(data, ("first_result",)),
    ]  # fmt: skip
    if "first_result" in data:
        found = data["first_result"]
        rows = [[name, *map(extremes, zip(*times, strict=True))] for name, times in found["seconds"].items()]
        lines += [
            *table(["study", "first result", "whole study with report"], rows),
            "",
            f"Repeats: {found['repeats']}.",
            "",
        ]
    lines += [
        "Nearly all of this time is for importing numba and loading the compiled kernels in the fork server.", "",
        "On Ray, `benchmarks/ray_start.py` measures fresh processes, alternating; brackets contain the extremes.", "", *lacking(data, ("ray_start",)),
    ]  # fmt: skip
    if "ray_start" in data:
        found = data["ray_start"]
        times = {name: np.array(values) for name, values in found["seconds"].items()}
        named = {
            f'a quiet `ray.init(address="local")` and {found["workers"]} idle actors': times["bare"],
            "a study of 100 `sma_cross` configurations on its own Ray": times["study"],
            "difference per pair": times["study"] - times["bare"],
        }
        rows = [[name, extremes(values[:, 0]), extremes(values[:, 1])] for name, values in named.items()]
        lines += [*table(["", "until the result", "until the process ends"], rows), ""]
        lines += [f"Repeats: {found['repeats']}.", ""]
    return lines


def bundle_memory(data):
    found = by_backend(data, "bundle_memory")
    lines = [
        "## Memory of a worker for a bundle", "",
        "`benchmarks/bundle_memory.py` measures the private memory (USS) of a worker that has read every bar of a large bundle, and "
        "of one with a small bundle; the larger of two workers counts. Linux counts file pages that only one process maps as "
        "private to it, so these figures apply to two or more workers; private dirty memory also applies to one. On Ray, the bundle "
        "is an object in shared memory, and a worker's memory includes that of Ray and numba. The last column is the time from "
        "sending the first trial to an idle worker until the worker starts it, including loading the objective and the bundle; "
        "brackets contain the extremes.", "",
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
                "**difference**",
                *(f"**{round(value, 1) + 0:.1f} MB**" for value in more.values()),
                "",
            ]
        )
    return lines + ([*table(["", "bundle", "USS", "private dirty", "to the first trial"], rows), ""] if rows else [])


def suggestion(data):
    lines = [
        "## Time per proposal", "",
        "`benchmarks/suggestion.py` measures the ms to observe one result and propose one config, including refits. Medians; "
        "brackets contain a 95 % bootstrap interval. A third of hpbandster's proposals are random, and thus fast.", "",
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
        "## A BOHB search with 1 ms per evaluation", "",
        "`benchmarks/bohb_wall.py` runs searches over six numeric parameters with two workers, alternating, and measures from the "
        "first proposal to the last result. rbt_ray's time includes the eight configs that calibrate its fidelities. Brackets "
        "contain the extremes. The searches end at different losses, so that the ratio of their wall times is not how much faster "
        "one finds the same.", "", *lacking(data, ("bohb_wall",)),
    ]  # fmt: skip
    if "bohb_wall" in data:
        found = data["bohb_wall"]
        columns = {
            name: {key: np.array([one[key] for one in runs]) for key in ("wall_s", "trials", "best_loss")}
            for name, runs in found["searches"].items()
        }
        walls = {name: column["wall_s"] for name, column in columns.items()}
        rows = [
            [TOOLS[name], extremes(walls[name], ".3g"),
             "" if name == "rbt_ray" else extremes(walls[name] / walls["rbt_ray"], ".0f", ""),
             f"{np.median(columns[name]['trials']):.0f}", extremes(columns[name]["best_loss"], ".2g", "")]
            for name in TOOLS
        ]  # fmt: skip
        head = ["", "wall time", "ratio of wall times", "trials or runs", "best loss"]
        lines += [
            f"Rounds of Hyperband: {found['rounds']} ({found['configs']} new configs, budgets 1 to {found['budgets']}). Repeats: "
            f"{len(walls['rbt_ray'])}.", "", *table(head, rows), "",
            *(about_losses(columns, name) for name in TOOLS if name != "rbt_ray"), "", *equal_loss(found["searches"]), "",
        ]  # fmt: skip
    return [
        *lines,
        "hpbandster's start does not count. Its dispatcher may overlook a worker that registers, and checks again after its "
        "`ping_interval`, a minute by default. In an earlier version it took 61 and 66 s until it found both workers, and 1.5 to 9 s "
        "in four starts with an interval of a second.", "",
        "[decisions/search_quality.md](decisions/search_quality.md) compares the results of searches.", "",
    ]  # fmt: skip


def about_losses(columns, name):
    """In how many repeats a tool ends at a lower loss than rbt_ray."""
    ours, theirs = columns["rbt_ray"]["best_loss"], columns[name]["best_loss"]
    return f"- {TOOLS[name]}: the best loss is lower than rbt_ray's in {(theirs < ours).sum()} of {len(ours)} repeats."


def equal_loss(searches):
    """The times until equal losses, which data without the course of each search cannot give."""
    runs = [one for found in searches.values() for one in found]
    if not all("losses" in one for one in runs):
        same = len({one["best_loss"] for one in searches["rbt_ray"]}) == 1
        seeds = " rbt_ray's searches all have the same seed." if same else ""
        return [f"The time until an equal loss is not measured on this page; the script records it now.{seeds}"]
    times = until_equal_loss(searches)
    rows = [[TOOLS[name], extremes(times[name], ".3g")] for name in TOOLS]
    return [
        "Time until a search had reached the worst of the last losses in its repeat:",
        "",
        *table(["", "time"], rows),
    ]


ELSEWHERE = """\
## Decisions about optimizations

`make decisions` evaluates four optimizations by one rule, each in the regime it is meant for and outside it: the shared bundle,
the persistent pool, BOHB and Ray. It also evaluates all of them in sequence. It writes pages and their data to
[decisions](decisions/). [Measuring](measuring.md) describes the rule.

## Comparison with other tools

[decisions/peers.md](decisions/peers.md) compares the same work with the same results on multiprocessing.Pool,
concurrent.futures, joblib, Ray, Ray Tune, Optuna, RustyBT, vectorbt and backtesting.py. It explains the gains and says where
rbt_ray is slower. Reproduce it with

```
benchmarks/peers/rustybt_environment          # RustyBT's own Python 3.12; without it, RustyBT is omitted
python benchmarks/peers grid                  # also trials, tune, kernel, gains, memory: each is merged into peers.json
python benchmarks/peers write                 # writes the page and the plot from the data
```

A round starts each peer once. `--rounds` repeats it, and `--length 1e-3` selects one length of evaluation. `--quick` checks in
under a minute that all peers give the same results, and measures nothing.

[decisions/profiles.md](decisions/profiles.md) shows where rbt_ray spends its own time, and which improvements were tried.

## Not measured

Other machines, more than two cores, and strategies of users. Among peers: several hosts, GPUs, spawned pools as on macOS and
Windows (but see `adapters.py`), and the commercial vectorbt, which has its own chunking.
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
        f"Generated by `python benchmarks/page.py` from [{path.name}]({path.name}), which contains every repeat. Do not edit this "
        "page. No code is tuned to the figures, and no test asserts a time. `make bench` reproduces them.", "",
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

"""Writes the page and the plots from the data."""

from dataclasses import dataclass

import advice
import numpy as np

from benchmarks.machine import machine_line
from benchmarks.page_text import length, table
from rbt_ray.bench import median_with_interval
from rbt_ray.bench.significance import cliffs_delta, ratio_with_interval, welch_p, wilcoxon_p

OURS = ("rbt_local", "rbt_on_ray")
ON_RAY = ("rbt_on_ray", "ray_tasks", "ray_actor_pool")
WORKERS = 2
QUIET, ENOUGH = 0.05, 5
"""A run counts as quiet where other programs took less than this share of the machine; so many make a figure."""
LEAST = 1e-5
"""Seconds an evaluation from which rbt_ray means to be ahead."""


def plain(value):
    """A number as one reads it: whole from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def runs_of(answers):
    """Seconds of all warm runs, and in which of them other programs took little."""
    seconds = np.array([seconds for one in answers for seconds in one["warm_s"]])
    return seconds, np.array([share for one in answers for share in one["foreign"]]) < QUIET


def warm(answers):
    """Seconds of the warm runs: of the quiet ones, where there are enough of them."""
    seconds, quiet = runs_of(answers)
    return seconds[quiet] if quiet.sum() >= ENOUGH else seconds


def warm_pairs(ours, theirs):
    """Seconds of the n-th warm runs of the same round, side by side: of the quiet pairs, where there are enough."""
    (a, quiet_a), (b, quiet_b) = runs_of(ours), runs_of(theirs)
    quiet = quiet_a & quiet_b
    return (a[quiet], b[quiet]) if quiet.sum() >= ENOUGH else (a, b)


def disturbance(found):
    """The median share of the machine that other programs took during warm runs, and of how many runs that is."""
    shares = [
        share for entry in found for answers in entry["peers"].values() for one in answers for share in one["foreign"]
    ]
    return float(np.median(shares)), len(shares), int((np.array(shares) < QUIET).sum())


def cold(answers):
    return np.array([one["cold_s"] for one in answers])


def cold_pairs(ours, theirs):
    return cold(ours), cold(theirs)


def base_of(peer):
    return "rbt_on_ray" if peer in ON_RAY else "rbt_local"


@dataclass(frozen=True)
class Beside:
    """A peer's time over rbt_ray's on the same backend, and how sure that is."""

    ratio: float
    low: float
    high: float
    welch: float
    wilcoxon: float
    effect: float
    n: int

    @property
    def is_behind(self):
        """Whether rbt_ray surely is."""
        return self.high < 1

    def __str__(self):
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]{' (slower)' if self.is_behind else ''}"


def beside(entry, peer, pairs):
    ours, theirs = pairs(entry["peers"][base_of(peer)], entry["peers"][peer])
    return Beside(
        *ratio_with_interval(ours, theirs), welch_p(ours, theirs), wilcoxon_p(ours, theirs), cliffs_delta(theirs, ours),
        len(ours),
    )  # fmt: skip


def entries(data, part):
    found = [entry for name, entry in data.items() if name.startswith(f"{part} ")]
    return sorted(found, key=lambda entry: entry["seconds"])


def matrix(found, which, pairs):
    """A row a peer, a column a length: how many times rbt_ray's time, on the same backend."""
    peers = [peer for peer in advice.NAMES if any(peer in entry["peers"] for entry in found) and peer not in OURS]
    head = ["time per evaluation", *(length(entry["seconds"]) for entry in found)]
    rows = [["evaluations per run", *(f"{entry['n']:,}" for entry in found)]]
    for base in OURS:
        if any(base in entry["peers"] for entry in found):
            cells = [f"{np.median(which(entry['peers'][base])):.3g} s" for entry in found]
            rows.append([f"**{advice.NAMES[base]}**", *cells])
    for peer in peers:
        cells = [str(beside(entry, peer, pairs)) if peer in entry["peers"] else "" for entry in found]
        rows.append([advice.NAMES[peer], *cells])
    return table(head, rows)


def losses(found, pairs):
    """Who is surely ahead, a line for each length from which rbt_ray means to be."""
    for entry in found:
        if entry["seconds"] >= LEAST * 0.999:
            besides = {peer: beside(entry, peer, pairs) for peer in entry["peers"] if peer not in OURS}
            ahead = [f"{advice.NAMES[peer]} ({one.ratio:.2f})" for peer, one in besides.items() if one.is_behind]
            if ahead:
                yield f"{length(entry['seconds'])}: {', '.join(ahead)}"


def all_pairs(named):
    """Every comparison with its p values: what was compared, in which state, and pairs of runs."""
    rows = []
    for name, pairs, found in named:
        for entry in found:
            for peer in entry["peers"]:
                if peer not in OURS:
                    one = beside(entry, peer, pairs)
                    rows.append([
                        f"{advice.NAMES[peer]}, {length(entry['seconds'])}, {name}",
                        f"{one.ratio:.3f} [{one.low:.3f}, {one.high:.3f}]", f"{one.welch:.1g}, {one.wilcoxon:.1g}",
                        f"{one.effect:.2f}", str(one.n),
                    ])  # fmt: skip
    return table(["", "ratio", "p (Welch, Wilcoxon)", "effect", "pairs"], rows)


def behind(found, pairs, name):
    lost = list(losses(found, pairs))
    if not lost:
        return [f"From {length(LEAST)} per evaluation on, no peer is significantly faster than rbt_ray, {name}."]
    return [
        f"Faster than rbt_ray, {name} (in brackets: their time / rbt_ray's time):",
        "",
        *(f"- {one}." for one in lost),
        "",
        advice.BEHIND[name],
    ]


def efficiency(entry, peer):
    return entry["n"] * entry["seconds"] / (warm(entry["peers"][peer]) * WORKERS)


def tune_lines(entry):
    rates = {}
    for peer, answers in entry["peers"].items():
        rates[peer] = answers[0]["n"] / warm(answers)
    rows = []
    for peer, values in rates.items():
        middle, low, high = median_with_interval(values)
        times = "" if peer == "rbt_local" else f"{np.median(rates['rbt_local']) / middle:,.0f}"
        times_ray = "" if peer in OURS else f"{np.median(rates['rbt_on_ray']) / middle:,.0f}"
        n = entry["peers"][peer][0]["n"]
        rows.append([advice.NAMES[peer], f"{n:,}", f"{plain(middle)} [{plain(low)}, {plain(high)}]", times, times_ray])
    head = ["", "trials per run", "trials/s, warm", "speedup of rbt_ray, local", "speedup of rbt_ray, Ray"]
    most, best, default = WORKERS / entry["seconds"], "ray_tune_best", "ray_tune_default"
    ours = np.median(rates["rbt_local"])
    sentences = []
    for peer, goal in ((best, 30), (default, 1_000)):
        times = ours / np.median(rates[peer])
        bound = most / np.median(rates[peer])
        reached = "reached" if times >= goal else f"not reached; the maximum for any tool is {bound:,.0f} times"
        sentences.append(f"- {advice.NAMES[peer]}: the goal of {goal:,} times its trials/s is {reached}.")
    return [
        *table(head, rows),
        "",
        f"Two workers can make at most {most:,.0f} such evaluations per second.",
        "",
        *sentences,
    ]


def a_second(cases, name):
    return np.concatenate([1 / np.array(one["seconds_a_config"]) for one in cases[name]])


def kernel_lines(found):
    cases = found["cases"]
    rows = []
    for name, answers in cases.items():
        middle, low, high = median_with_interval(a_second(cases, name))
        n, memory = answers[0]["n"], max(one["pss"] for one in answers)
        rows.append([name, f"{n:,}", f"{plain(middle)} [{plain(low)}, {plain(high)}]", f"{memory / 2**30:.2f} GiB"])
    rate = {name: np.median(a_second(cases, name)) for name in cases}
    peak = {name: max(one["pss"] for one in answers) for name, answers in cases.items()}
    fastest = max(("vectorbt, one account a config", "vectorbt, one account a symbol"), key=rate.get)
    goals = [
        ["closed form, study, vs. vectorbt's faster way", rate["closed form, study"] / rate[fastest], 200],
        ["at order level vs. vectorbt, equal results", rate["orders"] / rate["vectorbt, one account a config"], 30],
        ["GOOG vs. backtesting.py's `optimize`, equal results", rate["GOOG"] / rate["backtesting.py, GOOG"], 100],
    ]
    share = peak["closed form, study"] / peak[fastest]
    shown = [
        [name, f"{times:,.0f} times", f"{goal} times", "yes" if times >= goal else "no"] for name, times, goal in goals
    ]
    shown.append(
        ["memory of the closed form / vectorbt's", f"{share:.2f}", "at most 0.25", "yes" if share <= 0.25 else "no"]
    )
    differ = "; ".join(f"{name}: {value:.1g}" for name, value in found["largest_difference"].items())
    return [
        *table(["", "configs per run", "configs/s", "peak memory (PSS) of the process tree"], rows), "",
        *table(["", "measured", "goal", "reached"], shown), "",
        f"Largest relative difference of final equity, mean equity and drawdown over all configs: {differ}.",
    ]  # fmt: skip


def gains_lines(found):
    rates = {
        way: np.concatenate([1 / np.array(one["seconds_a_config"]) for one in runs]) for way, runs in found.items()
    }
    rows, before = [], None
    for way, values in rates.items():
        middle, low, high = median_with_interval(values)
        step = "" if before is None else f"{middle / before:.2f}"
        rows.append([way, f"{plain(middle)} [{plain(low)}, {plain(high)}]", step])
        before = middle
    return table(["", "configs/s", "ratio to the row above"], rows)


def memory_lines(found):
    rows = []
    for way, runs in found.items():
        values = [one["added_mb"] for one in runs]
        rows.append([way, f"{np.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"])
    return table(["", "MB per worker"], rows)


def plot(found, path):
    """Parallel efficiency by length of evaluation, warm."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for peer, name in advice.NAMES.items():
        points = [(entry["seconds"], np.median(efficiency(entry, peer))) for entry in found if peer in entry["peers"]]
        if points:
            bold = peer in OURS
            axes.plot(*zip(*points, strict=True), marker="o", lw=2.5 if bold else 1.0, ms=5 if bold else 3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("an evaluation takes, s")
    axes.set_ylabel("evaluation time / (wall time x workers)")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _disturbed(timed):
    taken, n, quiet = disturbance(timed)
    return (
        f"Other programs took {taken:.0%} of the machine during the median warm run; {quiet:,} of {n:,} runs were quiet (less "
        f"than {QUIET:.0%}). If at least {ENOUGH} pairs of a peer's and rbt_ray's warm runs are quiet on both sides, only those "
        "count."
    )


def write(data, path):
    """Writes the page beside the data, and its plot."""
    grid, trials = entries(data, "grid"), entries(data, "trials")
    timed = [*grid, *trials]
    ours = [entry["peers"]["rbt_local"] for entry in timed]
    rounds = max(map(len, ours), default=0)
    runs = max((sum(len(one["warm_s"]) for one in answers) for answers in ours), default=0)
    lines = [
        "# Comparison with other tools",
        "",
        "Generated by `python benchmarks/peers write` from `peers.json`. Do not edit this page.",
        "",
        machine_line(data["machine"]),
        "",
        "All tools evaluate the same function of the same dicts on two workers, and each score is compared with the known one. "
        "A peer and rbt_ray run alternately in fresh processes, in the order A B B A. Each runs once cold (from the start of the "
        "process to the "
        f"best score) and then warm: up to {rounds} cold and {runs} warm runs. The tables show a peer's time divided by rbt_ray's "
        "on the same backend: the geometric mean of the ratios of runs paired by round, with its 95 % bootstrap interval. Above "
        "1, rbt_ray is faster. P-values and effect sizes are in the table at the end. An evaluation uses processor time. "
        "rbt_ray's time includes its journal on disk; the other tools keep scores in memory.",
        "",
        *([_disturbed(timed), ""] if timed else []),
        "With the same function and settings, a reused pool is hard to beat by much. rbt_ray's gains come from its kernels, from "
        "malloc's settings and from caches on the workers; a section below separates them.",
        "",
    ]
    if grid:
        lines += [
            "",
            "## Many evaluations at once, warm",
            "",
            *matrix(grid, warm, warm_pairs),
            "",
            *behind(grid, warm_pairs, "warm"),
            "",
            "![Parallel efficiency by length of evaluation](peers.png)",
            "",
            "## Many evaluations at once, cold",
            "",
            *matrix(grid, cold, cold_pairs),
            "",
            *behind(grid, cold_pairs, "cold"),
        ]
    if trials:
        lines += [
            "", "## Tools that run one trial at a time", "",
            "These tools need milliseconds per trial, so the same test runs with fewer evaluations.", "", "Warm:", "",
            *matrix(trials, warm, warm_pairs), "", *behind(trials, warm_pairs, "warm"), "", "Cold:", "",
            *matrix(trials, cold, cold_pairs), "", *behind(trials, cold_pairs, "cold"),
        ]  # fmt: skip
    if "tune 0.001" in data:
        lines += ["", "## Ray Tune, with 1 ms per evaluation", "", *tune_lines(data["tune 0.001"])]
    if "kernel" in data:
        lines += [
            "", "## Kernels", "",
            "Moving-average crossovers on 8 symbols x 5,124 days, and on backtesting.py's GOOG data (2,148 bars), with two workers "
            "or threads, warm. vectorbt evaluates 400 configurations in one portfolio, which is the most that fits into memory.",
            "", *kernel_lines(data["kernel"]),
        ]  # fmt: skip
    if "gains" in data:
        lines += ["", "## Sources of the gains", "", "The same 400 configurations, warm, with two workers:", ""]
        lines += gains_lines(data["gains"])
    if "memory" in data:
        lines += [
            "", "## Memory", "",
            "Private memory of a worker that has read all of a 500 MB bundle, minus that with a 1 MB bundle:", "",
            *memory_lines(data["memory"]),
        ]  # fmt: skip
    lines += [
        "", "The section on BOHB in [benchmarks.md](../benchmarks.md) measures hpbandster's own master, which sometimes hangs and "
        "does not accept numpy numbers.",
    ]  # fmt: skip
    told = [[advice.NAMES[peer], how, "" if at is None else f"<{at}>"] for peer, (how, at) in advice.ADVICE.items()]
    lines += ["", "## How each tool was run", "", *table(["", "how", "advice in its documentation"], told), ""]
    if timed:
        lines += [
            "## Significance of each ratio", "",
            "The p-values are from two two-sided tests: Welch's test of the two samples, and Wilcoxon's test of the pairs. "
            "The effect is "
            "Cliff's delta: 1 if every run of rbt_ray is faster than every run of the peer, -1 if every one is slower.", "",
            *all_pairs(
                (state, pairs, found)
                for found in (grid, trials)
                for state, pairs in (("warm", warm_pairs), ("cold", cold_pairs))
            ), "",
        ]  # fmt: skip
    path.with_suffix(".md").write_text("\n".join(lines))
    if grid:
        plot(grid, path.with_suffix(".png"))

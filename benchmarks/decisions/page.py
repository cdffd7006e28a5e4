"""A decision: cases of an optimization beside the same work without it, as data and as the page that is made of them."""

import json
import os
import platform
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

import rbt_ray as rbt
from benchmarks.machine import processor
from benchmarks.page_text import table
from rbt_ray.bench import Comparison, Pairs, Sample, compare, paired
from rbt_ray.bench.comparison import ACCEPTED, NOT_DECIDED, REJECTED
from rbt_ray.errors import NotEquivalentError

NOT_TRIED = "not tried"
VERDICTS = (ACCEPTED, REJECTED, NOT_DECIDED, NOT_TRIED)


@dataclass(frozen=True)
class Case:
    """One regime in which the optimization was tried.

    Args:
        name: of the regime.
        meant: whether the optimization is meant for it, which is said before it is measured.
        verdict: one of `VERDICTS`.
        reason: a sentence.
        comparison: None where the two sides do not give the same, or nothing was tried.
        pairs: likewise.
    """

    name: str
    meant: bool
    verdict: str
    reason: str
    comparison: Comparison | None = None
    pairs: Pairs | None = None

    def to_dict(self):
        runs = {}
        if self.pairs is not None:
            for side in ("baseline", "candidate"):
                samples = getattr(self.pairs, side)
                runs[side] = {
                    "seconds": [one.seconds for one in samples],
                    "wall_s": [one.wall_s for one in samples],
                    "cpu_s": [one.cpu_s for one in samples],
                    "peak_rss": [one.peak_rss for one in samples],
                    "peak_uss": [one.peak_uss for one in samples],
                    "peak_pss": [one.peak_pss for one in samples],
                    "not_run": [one.not_run for one in samples],
                }
        return {
            "name": self.name, "meant": self.meant, "verdict": self.verdict, "reason": self.reason,
            "comparison": self.comparison and self.comparison.to_dict(), "runs": runs,
        }  # fmt: skip


def case(name, baseline, candidate, *, meant=True, quick=False, discard=0):
    """Two sides by turns, judged; `quick`: two runs, which only show that both give the same."""
    runs, warmup = (2, 0) if quick else (10, 1)
    try:
        pairs = paired(baseline, candidate, runs=runs, warmup=warmup, discard=0 if quick else discard, name=name)
    except NotEquivalentError as error:
        return Case(name, meant, REJECTED, f"Rejected: {str(error).removeprefix(f'{name}: ')}")
    found = compare(pairs)
    return Case(name, meant, found.verdict, found.reason, found, pairs)


def judged_again(data):
    """The data of a page with the verdicts that today's rules give to its runs."""
    memory = round(data["machine"]["memory_gib"] * 2**30)
    return {**data, "cases": [_judged_again(one, memory) for one in data["cases"]]}


def _judged_again(one, machine_memory):
    if not one["runs"]:
        return one
    sides = [_samples(one["runs"][side]) for side in ("baseline", "candidate")]
    pairs = Pairs(*sides, one["comparison"]["equivalent"])
    found = compare(pairs, machine_memory=machine_memory)
    return Case(one["name"], one["meant"], found.verdict, found.reason, found, pairs).to_dict()


def _samples(runs):
    columns = (runs[name] for name in ("seconds", "wall_s", "cpu_s", "peak_rss", "peak_uss", "peak_pss", "not_run"))
    return tuple(
        Sample(*measured, result={"seconds": seconds}, not_run=not_run)
        for seconds, *measured, not_run in zip(*columns, strict=True)
    )


def decision_of(cases):
    """Of the regimes that an optimization is meant for: accepted in one; rejected in all; else not decided."""
    verdicts = {one["verdict"] for one in cases if one["meant"]} - {NOT_TRIED}
    return ACCEPTED if ACCEPTED in verdicts else REJECTED if verdicts == {REJECTED} else NOT_DECIDED


def machine():
    """What the figures belong to."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rbt_ray": rbt.__version__,
    }


@dataclass
class Decision:
    """A page of `docs/decisions`.

    Args:
        file: its name there, without an ending.
        title: its heading.
        about: what is on, what is off, and what both sides do.
        cases: as measured.
        tables: further tables of plain cells, by heading, the first row being the head.
        notes: paragraphs after the tables, each made of the data.
        decides: whether it says ACCEPTED or REJECTED of one thing.
    """

    file: str
    title: str
    about: str
    cases: list[Case] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    decides: bool = True

    def write(self, folder):
        """The data as JSON, and the page made of that JSON."""
        data = {
            "title": self.title, "about": self.about, "decides": self.decides, "machine": machine(),
            "cases": [one.to_dict() for one in self.cases], "tables": self.tables, "notes": self.notes,
        }  # fmt: skip
        write(data, folder / f"{self.file}.json")


def write(data, path):
    """Writes the data of a page, and the page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")
    path.with_suffix(".md").write_text(page_of(data))


def page_of(data: dict[str, Any]) -> str:
    """Markdown of a decision's data."""
    here = data["machine"]
    lines = [f"# {data['title']}", "", "Generated by `python -m benchmarks.decisions`. Do not edit this page.", ""]
    if data["decides"]:
        lines += [f"Decision: {decision_of(data['cases']).upper()}", "", _regimes(data["cases"]), ""]
    lines += [data["about"], ""]
    if data["cases"]:
        lines += table(HEAD, map(_row, data["cases"]))
    refused = [one for one in data["cases"] if one["verdict"] != ACCEPTED]
    if refused:
        lines += ["", *(f"- {one['name']}: {one['reason']}" for one in refused)]
    for heading, rows in data["tables"].items():
        lines += ["", f"## {heading}", "", *table(rows[0], rows[1:])]
    for note in data["notes"]:
        lines += ["", note]
    lines += [
        "",
        f"Rule: an optimization is accepted if it saves at least 5 %, the p-values of Welch's and Wilcoxon's tests are below 0.05, "
        f"it adds less than 2 % of the machine's memory (peak PSS of the process tree, which counts a shared page once), and both "
        f"sides give the same results. Nothing is decided by fewer than 10 pairs, in the order A B B A, by a side that was computed "
        f"rather than run, or by a side whose time depends on which side ran before it (carry-over, "
        f"[measuring](../measuring.md)), which has no interval either. Without measured memory nothing is accepted. The page says "
        f"ACCEPTED if the optimization is accepted in a regime that it is meant for (*), and names the regimes; REJECTED if it is "
        f"rejected in all of them; else NOT DECIDED. Seconds are medians. The gain is 1 - the "
        f"geometric mean of the pairs' ratios, with its 95 % bootstrap interval. The effect is Cliff's "
        f"delta. {here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB, {here['system']}, "
        f"Python {here['python']}, numpy {here['numpy']}, rbt_ray {here['rbt_ray']}.",
    ]
    return "\n".join(lines) + "\n"


HEAD = [
    "regime",
    "without",
    "with",
    "gain",
    "p (Welch, Wilcoxon)",
    "effect",
    "runs",
    "peak MB without, with",
    "verdict",
]


def _row(one):
    name, found = f"{one['name']}{' *' if one['meant'] else ''}", one["comparison"]
    if found is None:
        return [name, *[""] * (len(HEAD) - 2), one["verdict"]]
    sides = [one["runs"][side]["peak_pss"] for side in ("baseline", "candidate")]
    peaks = ", ".join(f"{np.median(side) / 1e6:,.0f}" for side in sides) if all(map(all, sides)) else "not measured"
    low, high = found["ratio_low"], found["ratio_high"]
    interval = "no interval: carry-over" if low is None else f"[{1 - high:.1%}, {1 - low:.1%}]"
    return [
        name,
        in_seconds(found["baseline_s"]),
        in_seconds(found["candidate_s"]),
        f"{found['gain']:.1%} {interval}",
        "" if low is None else f"{found['welch_p']:.1g}, {found['wilcoxon_p']:.1g}",
        f"{found['cliffs_delta']:.2f}",
        str(found["n_runs"]),
        peaks,
        one["verdict"],
    ]


def in_seconds(seconds):
    """Three digits of it."""
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:#.3g} s"


def _regimes(cases):
    named = {verdict: [one["name"] for one in cases if one["verdict"] == verdict] for verdict in VERDICTS}
    words = [f"{verdict.capitalize()} for: {'; '.join(names)}." for verdict, names in named.items() if names]
    return " ".join(words if named[ACCEPTED] else ["Accepted for none of the regimes.", *words])

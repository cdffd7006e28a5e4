"""The command `bench sequential`: tests optimizations one after another."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rbt_ray.bench import SequentialResult, Thresholds, sequential
from rbt_ray.bench.measurement import Sample, fresh
from rbt_ray.cli.streams import visible
from rbt_ray.cli.tables import print_json
from rbt_ray.errors import SettingError, StudyFileError
from rbt_ray.nearest import nearest

QUICK_RUNS, QUICK_BATCHES = 2, 2
_KEYS = {"command": "a list of words", "optimizations": "a table of lists of words"}


def run_sequential(
    file: Path | None, *, profile: str, runs: int | None, discard: int, as_json: bool, quick: bool
) -> int:
    """Tests optimizations one after another and prints the verdicts.

    Args:
        file: a TOML file of commands; None: the four optimizations on `benchmarks.workload`.
        profile: the thresholds: "default", "strict" or "lenient".
        runs: pairs per optimization; None: the number in the profile.
        discard: uncounted runs of a side after each change of sides.
        as_json: prints one JSON object.
        quick: two short runs per optimization, which check that results are equal and accept nothing.
    """
    thresholds = Thresholds.named(profile)
    if quick and runs is not None:
        raise SettingError("`--quick` always makes two runs and measures no times; remove `--runs`.")
    n_runs = runs or (QUICK_RUNS if quick else thresholds.runs)
    if file is not None:
        page = read_bench_file(file)
        found = sequential(
            tuple(page.optimizations),
            page.measure,
            runs=n_runs,
            discard=discard,
            thresholds=thresholds,
            to_the_end=quick,
        )
    elif quick:
        workload = _workload()
        found = sequential(
            workload.OPTIMIZATIONS,
            lambda on, judged: workload.measure(on, judged, size=workload.Size(QUICK_BATCHES)),
            runs=n_runs,
            warmup=0,
            thresholds=thresholds,
            to_the_end=True,
        )
    else:
        workload = _workload()
        found = sequential(
            workload.OPTIMIZATIONS, workload.measure, runs=n_runs, discard=discard, thresholds=thresholds
        )
    if as_json:
        print_json({"profile": profile, "thresholds": asdict(thresholds), **found.to_dict()})
    else:
        _print(found)
    return 0


def _workload() -> Any:
    """Returns `benchmarks.workload`, which is in the source tree and not in the installed package."""
    try:
        return importlib.import_module("benchmarks.workload")
    except ModuleNotFoundError as error:
        if error.name not in ("benchmarks", "benchmarks.workload"):
            raise
        raise SettingError(
            "without a FILE, this command needs benchmarks/workload.py, which is only in the source tree. Run it in an "
            "environment of `make setup`, or give a FILE."
        ) from None


def _print(found: SequentialResult) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 2, 0, 0))
    for title in ("optimization", "without", "with", "gain", "cumulative", ""):
        table.add_column(title, justify="left" if title in ("optimization", "") else "right")
    for step in found.steps:
        times = ("-", "-", "-")
        if (one := step.comparison) is not None:
            times = (f"{one.baseline_s:#.3g} s", f"{one.candidate_s:#.3g} s", f"{one.gain:.1%}")
        cells = (step.name, *times, f"{step.cumulative:.1%}", step.verdict)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    Console(file=sys.stdout).print(table)
    for step in found.steps:
        print(visible(f"{step.name}: {step.reason}"))
    print(visible(found.stopped))


@dataclass(frozen=True)
class BenchFile:
    """A command, and the words that each optimization adds to it.

    Args:
        command: words of the baseline.
        optimizations: by name, in order, the words that turn it on.
        folder: working directory.
    """

    command: Sequence[str]
    optimizations: dict[str, Sequence[str]]
    folder: Path

    def measure(self, on: tuple[str, ...], judged: str) -> Sample:
        """Runs the command with these optimizations on.

        Raises:
            BenchError: the run failed.
        """
        del judged
        added = [word for name in on for word in self.optimizations[name]]
        return fresh([*self.command, *added], cwd=self.folder)


def read_bench_file(path: Path) -> BenchFile:
    """Reads a bench file, such as this one.

    ::

        command = ["python", "sweep.py"]       # its last line may be {"digest": "...", "seconds": 1.2}
        [optimizations]
        "shared bundle" = ["--shared"]
        "warm workers" = ["--warm"]

    Raises:
        StudyFileError: it cannot be read, or has another format.
    """
    try:
        page = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyFileError(f"there is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyFileError(f"{path} cannot be read as TOML: {error}.") from None
    for key in page:
        if key not in _KEYS:
            raise StudyFileError(f"{path}: unknown key `{key}`; {nearest(key, _KEYS)}")
    command, optimizations = page.get("command"), page.get("optimizations")
    if not _is_words(command) or not command:
        raise StudyFileError(f"{path}: `command` is {_KEYS['command']}; got {command!r}.")
    if not isinstance(optimizations, dict) or not optimizations or not all(map(_is_words, optimizations.values())):
        raise StudyFileError(f"{path}: `optimizations` is {_KEYS['optimizations']}; got {optimizations!r}.")
    return BenchFile(command, optimizations, path.resolve().parent)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)

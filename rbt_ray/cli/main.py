"""The command `rbt-ray` and its subcommands. Each imports heavy modules only when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from rbt_ray import process_limits
from rbt_ray._version import __version__
from rbt_ray.cli import streams
from rbt_ray.errors import InputError, RbtError
from rbt_ray.os_errors import explanation
from rbt_ray.pool.local.start_method import prepare

app = typer.Typer(
    name="rbt-ray",
    help="Optimize the parameters of trading strategies on persistent workers that share one price bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
bundle_app = typer.Typer(help="Ingest, list, show and remove price bundles.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle")
bench_app = typer.Typer(help="Measure whether optimizations save time.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Backend = Annotated[
    Optional[str], typer.Option(help="Where to run trials: auto, local, ray, or a backend of an installed package.")
]
Address = Annotated[Optional[str], typer.Option(help="The Ray cluster to join: auto, host:port or ray://host:port.")]
Workers = Annotated[Optional[int], typer.Option(help="The number of workers.")]
Samples = Annotated[Optional[int], typer.Option(help="The number of configurations to try.")]
Seed = Annotated[Optional[int], typer.Option(help="The seed for all random numbers.")]
Exist = Annotated[
    Optional[str], typer.Option(help="What to do if the study exists: refuse, resume, or new (as name-2, name-3, ...).")
]
MetricsPort = Annotated[
    Optional[int], typer.Option(help="Serve the study's metrics for Prometheus at this port of 127.0.0.1.")
]
Watched = Annotated[
    bool, typer.Option("--watch", help="Also serve a page that shows the running study, on this machine only.")
]
StudyPath = Annotated[str, typer.Argument(help="The study's folder or URI.", metavar="PATH")]


def main() -> None:
    """Runs the command line and exits: 0 done, 1 no trial completed, 2 bad input, 130 interrupted."""
    streams.prepare()
    code = run_command(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            streams.discard(stream.fileno())
            code = code or _failed(error)
    sys.exit(code)


def run_command(words: list[str]) -> int:
    """Runs one command line and returns its exit code. Prints errors to stderr, without a traceback."""
    try:
        if not {"--help", "--version"} & set(words):  # these load nothing
            process_limits.check()
        app(words)
    except SystemExit as end:  # typer raises this, with the exit code
        return end.code if isinstance(end.code, int) else 1
    except RbtError as error:
        streams.print_error(str(error))
        return 2 if isinstance(error, InputError) else 1
    except Exception as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Prints an operating system error and returns the exit code. Raises other errors again, since they are bugs."""
    if isinstance(error, BrokenPipeError):  # the reader has closed the pipe, as `| head` does
        return 1
    if (why := explanation(error)) is not None:
        streams.print_error(why)
        return 1
    if isinstance(error, OSError) and error.filename is not None:
        streams.print_error(f"{error.filename}: {error.strerror}.")
        return 2
    raise error


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rbt-ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


@app.command()
def demo(
    json: Json = False,
    backend: Backend = None,
    address: Address = None,
    workers: Workers = None,
    samples: Samples = None,
    seed: Seed = None,
) -> None:
    """Run a demo study: a moving-average crossover on US stocks."""
    _start_fork_server(workers, backend, address)
    from rbt_ray.cli import studies

    raise typer.Exit(
        studies.demo(
            as_json=json, search=_search_overrides(samples, seed), run=_run_overrides(backend, address, workers)
        )
    )


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A TOML study file.", metavar="STUDY.toml")],
    json: Json = False,
    backend: Backend = None,
    address: Address = None,
    workers: Workers = None,
    samples: Samples = None,
    seed: Seed = None,
    exist: Exist = None,
    metrics_port: MetricsPort = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Run a few configurations, and say what the whole study will take.")
    ] = False,
    watch: Watched = False,
) -> None:
    """Run the study that a TOML file defines."""
    _start_fork_server(workers, backend, address)
    from rbt_ray.cli import studies

    raise typer.Exit(
        studies.run(
            study,
            as_json=json,
            search=_search_overrides(samples, seed),
            run_over=_run_overrides(backend, address, workers, exist=exist, metrics_port=metrics_port),
            estimate=estimate,
            watched=watch,
        )
    )


@app.command()
def resume(
    path: StudyPath,
    json: Json = False,
    backend: Backend = None,
    address: Address = None,
    workers: Workers = None,
    samples: Annotated[Optional[int], typer.Option(help="Extend the study to so many configurations in all.")] = None,
    metrics_port: MetricsPort = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue even if the objective or the accounting has changed.")
    ] = False,
    watch: Watched = False,
) -> None:
    """Continue an interrupted study, or extend one."""
    _start_fork_server(workers, backend, address)
    from rbt_ray.cli import studies

    run_over = _run_overrides(backend, address, workers, metrics_port=metrics_port)
    raise typer.Exit(
        studies.resume(
            path, as_json=json, accept_changes=accept_changes, samples=samples, run_over=run_over, watched=watch
        )
    )


@app.command()
def watch(
    path: StudyPath,
    port: Annotated[int, typer.Option(help="The port of 127.0.0.1; 0 chooses a free one.")] = 0,
    parent: Annotated[Optional[int], typer.Option(hidden=True)] = None,
) -> None:
    """Serve a page that shows a running study, on this machine only."""
    from rbt_ray.cli import watch as watching

    raise typer.Exit(watching.watch(path, port=port, parent=parent))


@app.command()
def show(path: StudyPath, json: Json = False) -> None:
    """Show the results of a study so far."""
    from rbt_ray.cli import studies

    raise typer.Exit(studies.show(path, as_json=json))


@app.command("ls")
def list_studies(
    path: Annotated[Path, typer.Argument(help="A folder with studies, at any depth.")] = Path("studies"),
    json: Json = False,
) -> None:
    """List the studies below a folder, the latest first."""
    from rbt_ray.cli import listing

    raise typer.Exit(listing.list_studies(path, as_json=json))


@app.command()
def compare(
    paths: Annotated[list[str], typer.Argument(help="The folders or URIs of two or more studies.", metavar="PATH...")],
    json: Json = False,
) -> None:
    """Compare studies: the settings that differ, the best trials and the verdicts."""
    from rbt_ray.cli import comparison

    raise typer.Exit(comparison.compare(paths, as_json=json))


@app.command()
def report(
    path: StudyPath,
    out: Annotated[
        Optional[Path],
        typer.Option(help="The HTML file to write, or a folder for report.html; default: the study's folder."),
    ] = None,
) -> None:
    """Write a study's HTML report."""
    from rbt_ray.cli import studies

    raise typer.Exit(studies.report(path, out))


@app.command()
def doctor(
    json: Json = False,
    address: Annotated[
        Optional[str], typer.Option(help="Check a Ray cluster instead: auto, host:port or ray://host:port.")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Also start a Ray on this machine and report its ports.")] = False,
) -> None:
    """Check that studies can run on this machine or on a cluster."""
    from rbt_ray.cli import doctor as checks

    findings = checks.check_machine(ray=ray) if address is None else checks.check_cluster(address)
    raise typer.Exit(checks.print_findings(findings, as_json=json))


@bundle_app.command("ingest")
def bundle_ingest(
    name: Annotated[str, typer.Argument(help="The name of the new bundle.")],
    source: Annotated[
        Path, typer.Argument(help="A CSV, Parquet or Feather file, or a folder with one CSV per symbol.")
    ],
    fix: Annotated[
        Optional[list[str]], typer.Option(help="A repair to make; error messages name the possible ones.")
    ] = None,
    periods_per_year: Annotated[
        Optional[float], typer.Option(help="Bars per year; default: inferred from the dates.")
    ] = None,
    symbol: Annotated[
        Optional[str], typer.Option(help="The symbol of a file without symbols; default: the bundle's name.")
    ] = None,
    listed_until: Annotated[
        Optional[list[str]],
        typer.Option(metavar="SYMBOL=TIME", help="The last bar of a symbol whose listing ends; can be repeated."),
    ] = None,
) -> None:
    """Read prices and register them as a bundle."""
    from rbt_ray.cli import bundles

    raise typer.Exit(
        bundles.ingest(
            name,
            source,
            fix=tuple(fix or ()),
            periods_per_year=periods_per_year,
            symbol=symbol,
            listed_until=tuple(listed_until or ()),
        )
    )


@bundle_app.command("list")
def bundle_list(json: Json = False) -> None:
    """List the registered bundles."""
    from rbt_ray.cli import bundles

    raise typer.Exit(bundles.list_all(as_json=json))


@bundle_app.command("show")
def bundle_show(name: str, json: Json = False) -> None:
    """Show the contents of a bundle."""
    from rbt_ray.cli import bundles

    raise typer.Exit(bundles.show(name, as_json=json))


@bundle_app.command("remove")
def bundle_remove(name: str) -> None:
    """Remove a bundle and all its versions."""
    from rbt_ray.cli import bundles

    raise typer.Exit(bundles.remove(name))


@bench_app.command("sequential")
def bench_sequential(
    file: Annotated[
        Optional[Path],
        typer.Argument(
            help="A file with your commands; default: rbt_ray's four optimizations, which are only in the source tree.",
            metavar="FILE.toml",
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="The thresholds for accepting an optimization: default, strict or lenient.")
    ] = "default",
    runs: Annotated[
        Optional[int], typer.Option(help="Pairs of runs per optimization; default: from the profile.", min=2)
    ] = None,
    discard: Annotated[
        int,
        typer.Option(
            help="Uncounted runs of a side after each change of sides, where one slows down the other.", min=0
        ),
    ] = 0,
    json: Json = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Make two short runs that only compare results; no optimization is accepted."),
    ] = False,
) -> None:
    """Test optimizations one after another, each on top of those accepted before."""
    from rbt_ray.cli import bench

    raise typer.Exit(bench.run_sequential(file, profile=profile, runs=runs, discard=discard, as_json=json, quick=quick))


def _start_fork_server(workers: int | None, backend: str | None, address: str | None) -> None:
    """Starts the fork server early, so that it loads in parallel. Refuses more workers than the limits allow."""
    process_limits.check(process_limits.WORKER_BYTES, process_limits.WORKER_FILES)
    if workers is not None:
        from rbt_ray.pool.local import worker_limits
        from rbt_ray.tuner.pools import resolve

        if resolve(backend or "auto", address) == "local":
            worker_limits.check(workers)
    prepare()


def _search_overrides(samples: int | None, seed: int | None) -> dict[str, Any]:
    return {k: v for k, v in (("num_samples", samples), ("seed", seed)) if v is not None}


def _run_overrides(backend: str | None, address: str | None, workers: int | None, **others: Any) -> dict[str, Any]:
    given = {"backend": backend, "address": address, "num_workers": workers, **others}
    return {k: v for k, v in given.items() if v is not None}

"""Data flows one way, and so do imports; heavy libraries load where they are used."""

import ast
import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rbt_ray as rbt

PACKAGE = Path(rbt.__file__).parent
BASE = {"types", "errors", "environment", "nearest", "_version", "recordable"}
BASE |= {
    "arrow_messages",
    "block_sums",
    "file_lock",
    "html_text",
    "monitoring",
    "os_errors",
    "pareto",
    "plugins",
    "private_files",
    "process_limits",
}
COLUMNS = BASE | {"columns", "metric_columns"}

# What each package may import of the others, beside itself.
MAY_IMPORT = {
    "types": {"errors"},
    "errors": set(),
    "environment": set(),
    "html_text": set(),
    "monitoring": set(),
    "nearest": set(),
    "os_errors": {"errors"},
    "plugins": {"errors"},
    "private_files": set(),
    "recordable": {"errors", "types"},
    "arrow_messages": set(),
    "block_sums": {"recordable", "types"},
    "file_lock": set(),
    "pareto": {"types"},
    "process_limits": {"errors"},
    "_version": set(),
    "metric_columns": BASE,
    "columns": BASE | {"metric_columns"},
    "simulate": BASE,
    "study": COLUMNS,
    "data": BASE | {"simulate"},
    "search": COLUMNS | {"study"},
    "objectives": COLUMNS | {"data", "simulate", "study"},
    "adapters": COLUMNS | {"data", "simulate", "objectives"},
    "pool": COLUMNS | {"objectives", "data", "simulate", "study"},
    "store": COLUMNS | {"study"},
    "engine": COLUMNS | {"study", "search", "objectives", "data", "pool", "store"},
    # `rungs` compares how fidelities rank configs, by the correlation that the search calibrates with.
    "analysis": BASE | {"search", "simulate", "store"},
    "reporting": COLUMNS | {"simulate", "study", "data", "store", "analysis"},
    "live": BASE | {"study", "search", "store", "analysis", "reporting"},
    "export": COLUMNS | {"study", "data", "store"},
    "tuner": COLUMNS
    | {"simulate", "study", "search", "objectives", "data", "pool", "store", "engine", "analysis", "export"},
    "compat": COLUMNS | {"study", "search", "objectives", "data", "pool", "store", "tuner"},
    "tune": {"compat"},
    "bench": BASE,
    "cli": None,
    "__init__": None,
}
# `ResultGrid.report` imports the report inside the method: one writes `results.report(path)`.
# RustyBT's names run its algorithms through the adapter, which nobody needs who has none.
EXCEPTIONS = {("tuner/result_grid.py", "reporting"), ("compat/rustybt/objective.py", "adapters")}
# Modules that import each other, one of them for its types alone. No others do, within functions or not.
TYPE_CIRCLES = {
    frozenset({"data.bundle", "data.resampled", "data.view"}),
    frozenset({"objectives.rule.rule", "objectives.rule.run"}),
    frozenset({"objectives.builtin.strategy", "objectives.sweep.run", "objectives.sweep.windows"}),
}
HEAVY = {
    "ray": {
        "search/tune_searcher.py",
        "pool/loopback_ray.py",
        *("compat/rustybt/ray_bundle_keeper.py", "compat/ray_tune/trainable_spec.py"),
        *(f"pool/ray/{path.name}" for path in (PACKAGE / "pool" / "ray").glob("*.py")),
    },
    "hpbandster": {"search/hpbandster_engine.py", "export/hpbandster_result.py", "tuner/result_grid.py"},
    "optuna": {"search/optuna_sampler.py", "export/optuna_study.py", "tuner/result_grid.py"},
    "mlflow": {"export/mlflow_runs.py", "compat/ray_tune/logger.py"},
    "ConfigSpace": {"study/to_configspace.py"},
    "pandas": {
        *(
            "tuner/result_grid.py",
            "tuner/studies.py",
            "tuner/trial_frame.py",
            "tuner/splits.py",
            "analysis/validation.py",
            "analysis/robustness.py",
        ),
        "analysis/sensitivity.py",
        *("compat/ray_tune/results.py", "adapters/trading_algorithm.py"),
        *(f"data/{name}.py" for name in ("cells", "csv_file", "frames", "table_file", "embedded/build")),
        *(f"adapters/{name}.py" for name in ("frames", "backtesting", "pandas")),
    },
    "scipy": {
        "analysis/sharpe.py",
        "search/random_draws.py",
        "search/parzen_model.py",
        "compat/rustybt/config.py",
        "bench/significance.py",
    },
    "plotly": {"reporting"},
    "typer": {"cli"},
    "psutil": {
        *(f"pool/{name}.py" for name in ("memory", "local/worker_process", "ray/exit_notes", "ray/ports", "ray/probe")),
        *("cli/doctor.py", "data/memory_limit.py", "store/lease.py", "compat/rustybt/standard_pool.py"),
        "tuner/same_objective.py",
        *(f"bench/{name}.py" for name in ("measurement", "comparison")),
    },
    "cloudpickle": {"pool", "objectives/pickling.py"},
    "talib": {"data/talib_indicator.py"},
    "exchange_calendars": {"data/time_frames.py"},
    "backtesting": {"adapters/backtesting.py"},
    "vectorbt": {"adapters/vectorbt.py"},
    "bt": {"adapters/bt.py"},
    "prometheus_client": {"tuner/metrics_server.py"},
    "starlette": {"live"},
    "uvicorn": {"live"},
    "IPython": {"tuner/notebook.py"},
    "tensorboardX": {"compat/ray_tune/logger.py"},
}

# Private words that had several meanings here, or none elsewhere; see the glossary in docs/architecture.md.
BANNED = {"ambient", "decimate", "fitting", "sound", "streaming", "whoever"}
# Metaphors, banned in code, comments, docstrings and pages of the whole repository, except in the lists of the tests.
METAPHORS = {
    *("buried", "buries", "bury", "courier", "couriers", "lanes", "latch", "latched", "latches"),
    *("settle", "settled", "settles", "strike", "strikes", "surroundings"),
}
ROOT = PACKAGE.parent
TEXTS = sorted(
    path
    for folder in ("rbt_ray", "tests", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md") and path.name not in ("test_architecture.py", "test_plain_english.py")
)

LATE = [
    "ray",
    "prometheus_client",
    "hpbandster",
    "optuna",
    "ConfigSpace",
    "pandas",
    "scipy",
    "numba",
    "plotly",
    "pyarrow",
    "starlette",
    "uvicorn",
    "IPython",
]


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def module_of(path):
    """A module's name below rbt_ray."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


@functools.cache
def imports(path):
    """Every import, also within functions: the name, and whether it is for types alone."""
    return list(_imports(path))


def _imports(path):
    tree = tree_of(path)
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for_types = {id(inner) for guard in guards for inner in ast.walk(guard)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES or node.module == "rbt_ray" else node.module), id(node) in for_types


MODULES = {f"rbt_ray.{module_of(path)}" for path in modules()}


def circles(graph):
    """Returns the groups of modules that import each other, directly or through others."""

    def reached(start):
        found, waiting = set(), [start]
        while waiting:
            for name in graph.get(waiting.pop(), ()):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return found

    reach = {module: reached(module) for module in graph}
    return {
        frozenset(other for other in found if module in reach.get(other, ()))
        for module, found in reach.items()
        if module in found
    }


def graph_of(key, *, with_types):
    """What imports what of rbt_ray, each module known by `key` of its name; the package's own module is left out."""
    graph = {}
    for path in modules():
        if (module := module_of(path)) in ("", "__init__"):
            continue
        for name, for_types in imports(path):
            if name in MODULES and name != "rbt_ray" and (with_types or not for_types):
                other = name.removeprefix("rbt_ray.")
                if key(other) != key(module):
                    graph.setdefault(key(module), set()).add(key(other))
    return graph


def test_no_modules_import_each_other():
    assert circles(graph_of(lambda name: name, with_types=False)) == set()


def test_modules_that_name_each_others_types_are_listed():
    assert circles(graph_of(lambda name: name, with_types=True)) == TYPE_CIRCLES


def test_no_packages_import_each_other():
    def folder(name):
        above, _, last = name.rpartition(".")
        return name if (PACKAGE / name.replace(".", "/")).is_dir() else above or last

    assert circles(graph_of(lambda name: name.partition(".")[0], with_types=False)) == set()
    assert circles(graph_of(folder, with_types=False)) == set()


def test_imports_flow_one_way():
    assert [message for path in modules() for message in misplaced_imports(path)] == []


def misplaced_imports(path):
    """Describes each import that the rules do not allow."""
    room = room_of(path)
    allowed = MAY_IMPORT[room]
    where = path.relative_to(PACKAGE).as_posix()
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "rbt_ray" and len(parts) > 1 and allowed is not None:
            other = parts[1]
            if other != room and other not in allowed and (where, other) not in EXCEPTIONS:
                yield f"{where} imports {name}; {room} may import {sorted(allowed)}"
        homes = HEAVY.get(parts[0])
        if homes is not None and where not in homes and room not in homes:
            yield f"{where} imports {name}, which belongs in {sorted(homes)}"


def test_no_subpackage_bears_a_public_functions_name():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()} | {path.stem for path in PACKAGE.glob("*.py")}
    functions = {name for name in rbt.__all__ if name not in rooms or callable(getattr(rbt, name))}
    assert not rooms & functions


def test_every_public_name_loads_and_is_documented():
    for name in rbt.__all__:
        value = getattr(rbt, name)
        assert name == "__version__" or value.__doc__, name


@pytest.mark.parametrize(
    "command",
    ["import rbt_ray", "import rbt_ray.cli.main as m; m.run_command(['--help'])"],
)
def test_importing_and_helping_load_nothing_heavy(command):
    code = f"{command}\nimport sys\nprint([m for m in {LATE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_grid_study_loads_no_pandas_scipy_or_numba_in_the_driver(tmp_path):
    code = (
        "import sys, rbt_ray as rbt\n"
        "rbt.Tuner(rbt.objectives.sma_cross(), param_space={'fast': rbt.randint(5, 8), 'slow': rbt.randint(20, 25)},\n"
        f"  bundle='sample', run_config=rbt.RunConfig(name='s', storage_path={str(tmp_path)!r}, verbose=0)).fit()\n"
        "print([m for m in ('pandas', 'scipy', 'numba', 'ConfigSpace', 'ray', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_files_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)


def test_rooms_are_packages_with_a_docstring():
    for room in PACKAGE.iterdir():
        if (room / "__init__.py").exists():
            assert importlib.import_module(f"rbt_ray.{room.name}").__doc__


def test_names_avoid_private_words():
    names = {}  # by the first module that has them
    for path in modules():
        for name in path.relative_to(PACKAGE).with_suffix("").parts:
            names.setdefault(name, path)
        for node in ast.walk(tree_of(path)):
            for field in ("id", "attr", "arg", "name", "asname"):
                if (name := getattr(node, field, None)) is not None:
                    names.setdefault(name, path)
    assert len(names) > 5_000
    words = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
    found = {name: str(path) for name, path in names.items() if {word.lower() for word in words.findall(name)} & BANNED}
    assert found == {}


def test_texts_avoid_metaphors():
    words = {path: {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.read_text())} for path in TEXTS}
    assert len(words) > 600
    assert {str(path): found for path, named in words.items() if (found := named & METAPHORS)} == {}


@pytest.mark.parametrize("room", ["engine", "reporting", "store", "tuner"])
def test_no_private_field_of_another_object_is_written(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
                is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                assert is_own or not node.attr.startswith("_"), f"{path}:{node.lineno} writes {ast.unparse(node)}"


@pytest.mark.parametrize("room", ["engine", "reporting", "store", "tuner"])
def test_objects_are_constructed_by_their_class(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert "__new__" not in path.read_text(), path

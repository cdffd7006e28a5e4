"""Data flows one way, and so do imports; heavy libraries load where they are used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rbt_ray as rbt

PACKAGE = Path(rbt.__file__).parent
BASE = {"types", "errors", "environment", "nearest", "_version", "recordable"}
BASE |= {"arrow_messages", "html_text", "os_errors", "private_files", "process_limits"}
COLUMNS = BASE | {"columns", "metric_columns"}

# What each room may import of the others, beside itself.
MAY_IMPORT = {
    "types": {"errors"},
    "errors": set(),
    "environment": set(),
    "html_text": set(),
    "nearest": set(),
    "os_errors": {"errors"},
    "private_files": set(),
    "recordable": {"types"},
    "arrow_messages": set(),
    "process_limits": {"errors"},
    "_version": set(),
    "metric_columns": BASE,
    "columns": BASE | {"metric_columns"},
    "simulate": BASE,
    "study": COLUMNS,
    "data": BASE | {"simulate"},
    "search": COLUMNS | {"study"},
    "objectives": COLUMNS | {"data", "simulate", "study"},
    "pool": COLUMNS | {"objectives", "data", "simulate", "study"},
    "store": COLUMNS | {"study"},
    "engine": COLUMNS | {"study", "search", "objectives", "data", "pool", "store"},
    "tune": COLUMNS | {"study", "search", "objectives", "data", "pool", "store", "engine"},
    "adapters": COLUMNS | {"data", "simulate", "objectives"},
    "analysis": BASE,
    "compat": COLUMNS | {"study", "search", "objectives", "data", "pool", "tune"},
    "bench": BASE | {"tune", "data", "objectives", "study"},
    "reporting": COLUMNS | {"study", "data", "store", "tune"},
    "cli": None,
    "__init__": None,
}
# `ResultGrid.report` imports the report inside the method: one writes `results.report(path)`.
# RustyBT's names run its algorithms through the adapter, which nobody needs who has none.
EXCEPTIONS = {("tune/result_grid.py", "reporting"), ("compat/rustybt/scoring.py", "adapters")}
HEAVY = {
    "ray": {
        "search/tune_searcher.py",
        "pool/loopback_ray.py",
        *(f"pool/{path.name}" for path in (PACKAGE / "pool").glob("ray_*.py")),
    },
    "hpbandster": {"search/hpbandster_engine.py", "tune/hpbandster_result.py", "tune/result_grid.py"},
    "optuna": {"search/optuna_sampler.py", "tune/optuna_study.py", "tune/result_grid.py"},
    "mlflow": {"tune/mlflow_runs.py", "tune/logger.py"},
    "ConfigSpace": {"study/to_configspace.py"},
    "pandas": {
        *("tune/result_grid.py", "tune/ported/results.py", "adapters/trading_algorithm.py"),
        *("tune/result_grid.py", "adapters/trading_algorithm.py", "bench/workload.py"),
        *(f"data/{name}.py" for name in ("cells", "csv_file", "dates", "frames", "table_file", "embedded/build")),
        *(f"adapters/{name}.py" for name in ("frames", "backtesting", "pandas")),
    },
    "scipy": {"search/sobol.py", "search/parzen_model.py", "compat/rustybt/thresholds.py", "bench/significance.py"},
    "plotly": {"reporting"},
    "typer": {"cli"},
    "psutil": {
        *(f"pool/{name}.py" for name in ("memory", "worker_process", "ray_last_words", "ray_ports", "ray_probe")),
        *("cli/doctor.py", "data/room.py", "store/owner.py", "compat/rustybt/standard_pool.py"),
        "tune/same_objective.py",
        *(f"bench/{name}.py" for name in ("process_tree", "comparison")),
    },
    "cloudpickle": {"pool", "objectives/reports.py", "tune/ported/parameters.py"},
    "talib": {"data/ta.py"},
    "backtesting": {"adapters/backtesting.py"},
    "vectorbt": {"adapters/vectorbt.py"},
    "bt": {"adapters/bt.py"},
    "tensorboardX": {"tune/logger.py"},
}

LATE = ["ray", "hpbandster", "optuna", "ConfigSpace", "pandas", "scipy", "numba", "plotly", "pyarrow"]


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "rbt_ray":
                yield from (f"rbt_ray.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_flow_one_way(path):
    room = room_of(path)
    allowed = MAY_IMPORT[room]
    where = path.relative_to(PACKAGE).as_posix()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "rbt_ray" and len(parts) > 1 and allowed is not None:
            other = parts[1]
            fine = other == room or other in allowed or (where, other) in EXCEPTIONS
            assert fine, f"{where} imports {name}; {room} may import {sorted(allowed)}"
        homes = HEAVY.get(parts[0])
        if homes is not None:
            assert where in homes or room in homes, f"{where} imports {name}, which belongs in {sorted(homes)}"


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
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

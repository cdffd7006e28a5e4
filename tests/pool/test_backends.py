"""Backends are found by name, those of installed packages by their entry points."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.pool import backends
from tests.pools import batch, points, polynomial, task

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAMED = """
from rbt_ray.pool.local.pool import LocalPool

class Named(LocalPool):
    pass

def start(settings):
    print("one of", settings.num_workers, file=open("started", "a"))
    return Named(settings.num_workers)
"""
STUDY = """
objective = "sma_cross"
bundle = "sample"
[space]
fast = { randint = [5, 60] }
slow = { randint = [61, 200] }
[search]
search_alg = "random"
num_samples = 20
seed = 3
[run]
num_workers = 1
verbose = 0
"""


def install(folder, name, module):
    """Makes a folder on sys.path hold an installed package with one backend."""
    info = folder / f"{name}_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}_backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{backends.GROUP}]\n{name} = {module}:start\n")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the backend "named"; it writes a line into the file `started` for each pool."""
    install(tmp_path, "named", "named_backend")
    (tmp_path / "named_backend.py").write_text(NAMED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    rbt.shutdown()
    sys.modules.pop("named_backend", None)


def study(backend, folder, **settings):
    return rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(61, 200)},
        bundle="sample",
        tune_config=rbt.TuneConfig(search_alg="random", num_samples=20, seed=3),
        run_config=rbt.RunConfig(
            name=backend, storage_path=folder, backend=backend, num_workers=2, verbose=0, **settings
        ),
    ).fit()


def command(folder, *words):
    """Runs the command line in a process that finds the package."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES.parents[1])])}
    return subprocess.run(
        [sys.executable, "-m", "rbt_ray.cli", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


def test_a_study_runs_on_the_backend_of_an_installed_package(package):
    assert study("named", package).table_hash() == study("local", package).table_hash()
    assert (package / "started").read_text() == "one of 2\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('backend = "named"\n', ()),
        ("", ("--backend", "named")),
    ],
)
def test_study_files_and_the_command_line_take_it(package, line, words):
    (package / "study.toml").write_text(STUDY + line)
    done = command(package, "run", "study.toml", *words)
    assert done.returncode == 0, done.stderr
    assert (package / "started").read_text() == "one of 1\n"


def test_an_unknown_backend_is_refused_with_those_that_there_are(package):
    with pytest.raises(SettingError, match=r"`backend` is one of auto, local, ray, named; got 'name': .*named"):
        rbt.RunConfig(backend="name")
    with pytest.raises(SettingError, match="got 7"):
        rbt.RunConfig(backend=7)
    with pytest.raises(SettingError, match="`backend` is one of local, ray, named; got 'gone'"):
        backends.start("gone", backends.PoolSettings())


def test_our_own_backends_are_found_without_a_look_at_installed_packages(monkeypatch):
    monkeypatch.setattr(backends.plugins, "names", lambda group: pytest.fail("installed packages were listed"))
    for name in ("auto", "local", "ray"):
        rbt.RunConfig(backend=name)


@pytest.mark.slow
def test_the_dask_backend_of_the_documentation_gives_the_table_of_the_local_one(tmp_path, monkeypatch):
    install(tmp_path, "dask", "dask_pool")
    for folder in (tmp_path, EXAMPLES):
        monkeypatch.syspath_prepend(str(folder))
    try:
        assert study("dask", tmp_path).table_hash() == study("local", tmp_path).table_hash()
    finally:
        rbt.shutdown()


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_costs_its_batch_and_is_replaced(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from dask_pool import DaskPool

    def sleep(params, data):
        time.sleep(300)

    pool = DaskPool(2)
    try:
        pool.submit(batch(1, task(sleep), points(1)))
        while pool.taken_at(1) is None:
            assert not pool.wait(0.05)
        worker = psutil.Process(pool.client.run(os.getpid)[pool.hosts[pool.busy[1]][0]])
        worker.send_signal(signal.SIGKILL)
        [lost] = pool.wait(60)
        assert lost.number == 1
        assert lost.lost.startswith("the Dask worker was lost")
        for number in (2, 3):
            pool.submit(batch(number, task(polynomial), points(2)))
        answers = [one for _ in range(2) for one in pool.wait(60)]
        assert [one.lost for one in answers] == [None, None]
    finally:
        pool.close()

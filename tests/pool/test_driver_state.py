"""Consecutive studies in one driver whose state changes: trials see the current state of the driver."""

import decimal
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray import environment
from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.job import Task
from rbt_ray.pool.ray.actor import SentState
from rbt_ray.study.space import Space
from tests.pools import batch, collect

HELPER = 'import os\nfrom pathlib import Path\nSEEN = f\'{VERSION} {os.environ.get("STUDY")} {Path("data.txt").read_text()}\'\n'


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def backend(request):
    yield request.param
    rbt.shutdown()


@pytest.fixture
def driver(tmp_path, monkeypatch, backend):
    """A driver in its own folder, with another folder on its import path."""
    for name in ("start", "other", "first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text(f"data of {name}")
    monkeypatch.chdir(tmp_path / "start")
    monkeypatch.syspath_prepend(tmp_path / "second")
    return Driver(tmp_path, backend)


class Driver:
    def __init__(self, folder, backend):
        self.folder, self.backend, self.n = folder, backend, 0

    def fit(self, objective):
        """Returns the result of the best of two trials."""
        self.n += 1
        results = rbt.Tuner(
            objective,
            param_space={"x": rbt.grid_search([1, 2])},
            tune_config=rbt.TuneConfig(metric="score", seed=1),
            run_config=rbt.RunConfig(
                name=str(self.n), storage_path=self.folder, backend=self.backend, num_workers=1, verbose=0
            ),
        ).fit()
        assert not results.errors, results.errors
        return results.get_best_result().metrics

    def write(self, folder, version):
        """Writes a version of the module `helper` like an editor; each version has another size."""
        text = f"VERSION = {'x' * version!r}\n{HELPER}"
        (self.folder / folder / "helper.py").write_text(text)


def look_around():
    """An objective without a module, which therefore loads none; and one that imports a module in its trials."""

    def alone(params, data):
        import os
        import sys
        import time
        from pathlib import Path

        return {
            "score": 0.0,
            "pid": os.getpid(),
            "folder": str(Path.cwd()),
            "variable": os.environ.get("STUDY"),
            "hour": time.localtime(0).tm_hour,
            "path": "|".join(sys.path),
            "use_one_thread": os.environ.get("OMP_NUM_THREADS"),
        }

    def with_helper(params, data):
        import helper

        return {**alone(params, data), "helper": helper.SEEN}

    return alone, with_helper


def of_the_driver():
    return {
        "folder": str(Path.cwd()),
        "variable": os.environ.get("STUDY"),
        "hour": time.localtime(0).tm_hour,
        "path": "|".join(sys.path),
        "use_one_thread": "1",
    }


def check(found, expected, backend):
    found = {name: found[name] for name in expected}
    if backend == "ray":  # an actor has import paths of its own behind the driver's
        n = expected["path"].count("|") + 1
        found = {**found, "path": "|".join(found["path"].split("|")[:n])}
    assert found == expected


SLOW = [(backend, seed) for backend in ("local", "ray") for seed in range(1, 5)][1:]


@pytest.mark.parametrize(
    ("backend", "seed"),
    [("local", 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)],
    indirect=["backend"],
)
def test_trials_see_what_the_driver_has_now_whatever_it_has_changed(driver, monkeypatch, seed):
    draw = random.Random(seed)
    alone, with_helper = look_around()
    folders, versions = {"second": 1}, 1
    driver.write("second", 1)

    def change_folder():
        monkeypatch.chdir(driver.folder / draw.choice(["start", "other"]))

    def change_variable():
        value = draw.choice(["a", "b", None])
        monkeypatch.delenv("STUDY", raising=False) if value is None else monkeypatch.setenv("STUDY", value)

    def change_zone():
        monkeypatch.setenv("TZ", draw.choice(["Asia/Tokyo", "UTC", "America/New_York"]))
        time.tzset()

    def change_paths():
        path = str(driver.folder / "first")
        sys.path.remove(path) if path in sys.path else sys.path.insert(draw.choice([0, len(sys.path)]), path)

    def edit():
        nonlocal versions
        versions += 1
        folder = draw.choice(["first", "second"])
        driver.write(folder, versions)
        folders[folder] = versions

    def shut_down():
        if driver.backend == "local":  # a Ray takes seconds to start
            rbt.shutdown()

    changes = [change_folder, change_variable, change_zone, change_paths, edit, edit, shut_down, lambda: None]
    try:
        for _ in range(25):
            draw.choice(changes)()
            check(driver.fit(alone), of_the_driver(), driver.backend)
            path = [Path(one).name for one in sys.path if Path(one).parent == driver.folder]
            version = next(folders[name] for name in path if name in folders)
            data = Path("data.txt").read_text()
            expected = {**of_the_driver(), "helper": f"{'x' * version} {os.environ.get('STUDY')} {data}"}
            check(driver.fit(with_helper), expected, driver.backend)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_worker_that_imported_nothing_follows_and_another_is_replaced(driver, monkeypatch):
    alone, with_helper = look_around()
    driver.write("second", 1)
    first = driver.fit(alone)["pid"]
    monkeypatch.chdir(driver.folder / "other")
    monkeypatch.setenv("STUDY", "again")
    assert driver.fit(alone)["pid"] == first
    time.sleep(0.1)  # so that the file is older than its import, and known not to have changed since
    imported = driver.fit(with_helper)["pid"]
    assert driver.fit(with_helper)["pid"] == imported
    monkeypatch.setenv("STUDY", "and again")
    assert driver.fit(with_helper)["pid"] != imported


def test_an_installed_package_that_read_a_variable_reads_it_again_and_does_not_depend_on_the_folder(
    driver, monkeypatch
):
    def uses_package(params, data):
        import os
        from pathlib import Path

        import rbt_ray_test_package as package

        return {"score": 0.0, "pid": os.getpid(), "read": package.READ, "folder": Path.cwd().name}

    packages = driver.folder / "site-packages"
    packages.mkdir()
    (packages / "rbt_ray_test_package.py").write_text("import os\nREAD = os.environ['STUDY']\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("STUDY", "once")
    first = driver.fit(uses_package)
    monkeypatch.chdir(driver.folder / "other")
    assert driver.fit(uses_package) == {**first, "folder": "other"}
    monkeypatch.setenv("STUDY", "twice")
    assert driver.fit(uses_package)["read"] == "twice"


def test_a_module_that_is_edited_while_a_study_runs_is_new_to_the_next(driver):
    def edits(params, data):
        from pathlib import Path

        import helper

        path = Path(helper.__file__)
        seen = helper.VERSION
        if seen == "x" and params["x"] == 1:
            path.write_text(path.read_text().replace("'x'", "'xyz'"))
        return {"score": 0.0, "version": seen}

    driver.write("second", 1)
    time.sleep(0.1)  # the file is older than the study
    assert driver.fit(edits)["version"] == "x"
    assert driver.fit(edits)["version"] == "xyz"


@pytest.mark.slow
def test_variables_that_only_a_new_process_reads_take_effect(driver, monkeypatch):
    def hashed(params, data):
        return {"score": 0.0, "hash": hash("text") % 2**40}

    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        code = "print(hash('text') % 2**40)"
        known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert driver.fit(hashed)["hash"] == int(known.stdout)
        if driver.backend == "ray":
            return  # a Ray takes seconds to start


def test_a_local_worker_has_the_umask_of_the_driver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    driver = Driver(tmp_path, "local")

    def makes_a_file(params, data):
        from pathlib import Path

        path = Path(f"made-{params['x']}")
        path.touch(mode=0o666)
        mode = path.stat().st_mode & 0o777
        path.unlink()
        return {"score": 0.0, "mode": mode}

    before = os.umask(0o027)
    try:
        assert driver.fit(makes_a_file)["mode"] == 0o640
        os.umask(0o077)
        assert driver.fit(makes_a_file)["mode"] == 0o600
    finally:
        os.umask(before)


def test_other_settings_of_a_driver_do_not_reach_its_workers(driver):
    def settings(params, data):
        import decimal
        import signal
        import socket
        import sys
        import warnings

        import numpy as np

        found = decimal.getcontext().prec, np.geterr()["divide"], socket.getdefaulttimeout(), sys.getrecursionlimit()
        return {"score": 0.0, "seen": repr((*found, len(warnings.filters), signal.getsignal(signal.SIGUSR1)))}

    before = driver.fit(settings)
    handler, limit = signal.signal(signal.SIGUSR1, signal.SIG_IGN), sys.getrecursionlimit()
    try:
        with decimal.localcontext() as context, np.errstate(divide="raise"), warnings.catch_warnings():
            context.prec = 5
            warnings.simplefilter("error")
            socket.setdefaulttimeout(77)
            sys.setrecursionlimit(limit + 500)
            assert driver.fit(settings) == before
    finally:
        signal.signal(signal.SIGUSR1, handler)
        socket.setdefaulttimeout(None)
        sys.setrecursionlimit(limit)


def variable(name):
    return os.environ.get(name)


@pytest.mark.slow
def test_a_new_pool_of_calls_has_the_variables_that_the_driver_has_then(monkeypatch):
    for value in ("one", "two"):
        monkeypatch.setenv("STUDY", value)
        with PersistentWorkerPool(1) as pool:
            assert pool.map(variable, ["STUDY"]) == [value]


def test_a_cluster_gets_the_variables_that_were_changed_and_none_of_rays(monkeypatch):
    inherited = {"OLD": "secret", "CHANGED": "before", "REMOVED": "before"}
    monkeypatch.setattr(environment, "_at_import", {**inherited, "PATH": os.environ["PATH"]})
    now = {"OLD": "secret", "CHANGED": "after", "SET": "new", "RAY_ADDRESS": "x", "CUDA_VISIBLE_DEVICES": "1"}
    state = replace(DriverState.here(), variables={**now, "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"})
    monkeypatch.setattr(environment, "_changed", set())
    sent = SentState.of(state)
    assert sent.changes == {"CHANGED": "after", "SET": "new", "REMOVED": None}
    assert b"secret" not in pickle.dumps(sent)
    own = replace(state, variables={"PATH": "/bin", "REMOVED": "there", "KEPT": "there"})
    kept, _ = sent.on(own, {"working_dir": "/", "env_vars": {"SET": "theirs"}}, {"SET": "theirs"})
    assert kept.variables == {"PATH": "/bin", "CHANGED": "after", "KEPT": "there"}
    assert kept.folder == own.folder
    back = SentState.of(replace(state, variables={**inherited, "PATH": os.environ["PATH"]}))
    assert back.changes == {"CHANGED": "before", "SET": None, "REMOVED": "before"}


@pytest.mark.slow
def test_a_working_directory_that_a_host_of_ray_lacks_is_a_warning_and_trials_run(tmp_path):
    from rbt_ray.pool.ray.pool import RayPool

    def where(params, data):
        from pathlib import Path

        return {"score": 0.0, "folder": str(Path.cwd())}

    space = Space.of({"n": rbt.randint(0, 100)})
    pool = RayPool(1)
    try:
        job = Task(where, space, "score", 7, None, 0).pack()
        lacking = replace(job, key="lacking", state=replace(job.state, folder=str(tmp_path / "nowhere")))
        pool.submit(batch(1, lacking, np.zeros((1, 1))))
        with pytest.warns(UserWarning, match=r"nowhere does not exist on .*: trials there run in /.*\.$") as found:
            own = collect(pool, 1)[1].outcomes.metrics["folder"].to_list()[0]
        assert len(found) == 1
        assert own in str(found[0].message)
        (tmp_path / "nowhere").mkdir()
        pool.submit(batch(2, replace(lacking, key="there"), np.zeros((1, 1))))
        assert collect(pool, 1)[2].outcomes.metrics["folder"].to_list() == [str(tmp_path / "nowhere")]
    finally:
        pool.close()

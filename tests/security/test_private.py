"""Other users cannot read or write saved files, and no port is open."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError, SettingError
from rbt_ray.store.lease import StudyLock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no modes on Windows")

_EVERYTHING = """
import os, rbt_ray as rbt
from rbt_ray.cli.main import run_command
os.umask(0)
os.chdir({folder!r})
os.environ["RBT_RAY_HOME"] = "new/home"
bundle = rbt.ingest("mine", rbt.load_bundle("sample"))
own = rbt.Bundle.from_arrays({{"close": bundle.close}}, bundle.index, bundle.symbols)
for name, place in (("one", "deep/er/studies"), ("two", "file://{folder}/mirrored")):
    rbt.Tuner(rbt.objectives.sma_cross(), param_space={{"fast": rbt.randint(5, 9), "slow": 50}}, bundle=own,
              run_config=rbt.RunConfig(name=name, storage_path=place, num_workers=1, verbose=0)).fit()
assert run_command(["report", "deep/er/studies/one"]) == 0
assert run_command(["report", "deep/er/studies/one", "--out", "page.html"]) == 0
"""


@pytest.mark.slow
def test_whatever_the_umask_files_and_folders_are_their_owners_alone(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    code = _EVERYTHING.format(folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    made = [path for path in folder.rglob("*") if folder / "mirrored" not in (path, *path.parents)]
    names = {path.name for path in made}
    assert {"journal.sqlite", "lock", "bundle.arrow", "report.html", "page.html", "current", "new", "deep"} <= names
    open_to_others = {
        str(path.relative_to(folder)): oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077
    }
    assert open_to_others == {}


def look_for_listeners(params, data):
    """The sockets at which the driver, its fork server and its workers wait for strangers."""
    driver = psutil.Process(params["driver"])
    family = [driver, *driver.children(recursive=True)]
    found = [
        f"{process.name()}: {socket.laddr}"
        for process in family
        for socket in process.net_connections(kind="inet")
        if socket.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]
    return {"score": len(family), "found": json.dumps(found), "is_in": psutil.Process().pid in [p.pid for p in family]}


def test_the_local_backend_listens_nowhere(tmp_path):
    script = tmp_path / "study.py"
    script.write_text(
        "import os, rbt_ray as rbt\n"
        "from tests.security.test_private import look_for_listeners\n"
        "results = rbt.Tuner(look_for_listeners, param_space={'driver': os.getpid()},\n"
        "    tune_config=rbt.TuneConfig(metric='score', num_samples=1),\n"
        f"    run_config=rbt.RunConfig(name='s', storage_path={str(tmp_path)!r}, num_workers=2, verbose=0,\n"
        "                             backend='local')).fit()\n"
        "print(results[0].metrics, results[0].error)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=100, env={"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stderr
    assert "'found': '[]'" in done.stdout, done.stdout
    assert "'is_in': True" in done.stdout, done.stdout


def test_a_lock_that_is_a_link_empties_no_file(tmp_path):
    victim, folder = tmp_path / "victim", tmp_path / "study"
    victim.write_text("precious")
    folder.mkdir()
    (folder / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        StudyLock(folder)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".", "..", ".hidden", "-x", "x" * 101, "a\0b", "a\nb", "é", None, 3]
)
def test_no_name_leads_out_of_the_registry(tmp_path, monkeypatch, name):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    victim = tmp_path / "home" / "x"
    victim.mkdir(parents=True)
    (victim / "current").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    for call in (lambda: rbt.ingest(name, rbt.load_bundle("sample")), lambda: rbt.load_bundle(name)):
        with pytest.raises(BundleError):
            call()
    if name is not None:
        with pytest.raises(SettingError):
            rbt.RunConfig(name=name)
    assert sorted(tmp_path.rglob("*")) == before


def test_removing_a_bundle_that_is_a_link_leaves_what_it_leads_to(tmp_path, monkeypatch):
    from rbt_ray.data.registry import remove_bundle

    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    rbt.ingest("mine", rbt.load_bundle("sample"))
    outside = tmp_path / "outside"
    (tmp_path / "home" / "bundles" / "mine").rename(outside)
    (tmp_path / "home" / "bundles" / "mine").symlink_to(outside)
    assert rbt.load_bundle("mine").n_bars > 0
    remove_bundle("mine")
    assert (outside / "current").exists()
    assert not (tmp_path / "home" / "bundles" / "mine").exists()

"""A Ray of our own is private to its owner: its ports, token and folder, and what remains of it."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

import rbt_ray as rbt
from rbt_ray.cli import doctor
from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.ray import private_ray, runtime
from rbt_ray.pool.ray.pool import RayPool
from rbt_ray.pool.ray.ports import ports_of_our_own, refuses
from tests import one_ray
from tests.pools import batch, collect, points, polynomial, task

pytestmark = [
    pytest.mark.slow,  # they start a Ray of their own
    pytest.mark.skipif(sys.platform == "win32", reason="there are no modes on Windows"),
]

_FOLDER = """
import sys
from rbt_ray.pool.ray.private_ray import PrivateFolder
folder = PrivateFolder()
print(folder.path, flush=True)
sys.stdin.read()
"""
_RAY = """
import sys
from rbt_ray.pool.ray import runtime
connection = runtime.join(None, 1)
print(connection.folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def above(tmp_path_factory):
    """Where the Ray of these tests keeps its folder; short, because sockets lie below it."""
    above = Path("/tmp", f"t{secrets.token_hex(3)}")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_TMPDIR", str(above))
        yield above
    above.rmdir()  # fails where something is left


@pytest.fixture(scope="module")
def pool(above):
    one_ray.release()
    assert not ray.is_initialized()
    before = os.umask(0)
    try:
        pool = RayPool(2)
        pool.submit(batch(1, task(polynomial), points(2)))
        assert collect(pool, 1)[1].lost is None
    finally:
        os.umask(before)
    yield pool
    pool.close()


def family():
    """This process and all that Ray has started for it."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def test_all_its_servers_listen_on_loopback_alone(pool):
    ports = ports_of_our_own()
    programs = [port.program for port in ports]
    assert psutil.Process().name() in programs
    assert programs.count("gcs_server") == 1
    assert programs.count("raylet") == 2
    assert sum(program.startswith("ray::") for program in programs) >= 4
    assert [port for port in ports if not port.is_loopback] == []


def test_who_has_no_token_or_another_one_is_refused_by_all_but_pages_of_metrics(pool):
    key = get_auth_headers_if_auth_enabled({})
    [name] = key
    for port in ports_of_our_own():
        answers = [refuses(port.address, port.number, headers) for headers in ({}, {name: "Bearer " + "0" * 64}, key)]
        if not port.is_guarded:
            page = urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics", timeout=60).read()
            assert page.startswith(b"# HELP"), port
        else:
            assert answers == [True, True, False], port


def test_doctor_says_what_listens_and_what_guards_it(pool):
    [found] = [finding for finding in doctor.check_machine(ray=True) if finding.what == "ray"]
    assert found.ok, found
    assert "only on loopback" in found.says
    assert all(program in found.says for program in ("gcs_server", "raylet", "ray::RuntimeEnvAgent"))
    pages = {str(port.number) for port in ports_of_our_own() if not port.is_guarded}
    assert all(page in found.says for page in pages)


@pytest.mark.slow
def test_doctor_names_a_ray_that_asks_for_no_token():
    code = "from rbt_ray.cli import doctor; [f] = [f for f in doctor.check_machine(ray=True) if f.what == 'ray']; print(f.ok, f.says)"
    env = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=600)
    assert done.stdout.startswith("False")
    assert "requires no token" in done.stdout


def test_the_token_is_only_in_a_file_that_its_owner_can_read(pool, above):
    [(_, bearer)] = get_auth_headers_if_auth_enabled({}).items()
    token = bearer.removeprefix("Bearer ")
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        file = Path.home() / ".ray" / "auth_token"
        assert file.read_text().strip() == token
        assert file.stat().st_mode & 0o777 == 0o600
    for process in family():
        with suppress(psutil.NoSuchProcess):  # it has ended
            assert not any(token in word for word in process.cmdline()), process
    for path in above.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("mode", [None, 0o644, 0o666, 0o600])
def test_the_file_of_the_token_is_closed_to_others_whatever_the_umask(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".ray" / "auth_token"
    if mode is not None:
        file.parent.mkdir()
        file.write_text("a" * 64)
        file.chmod(mode)
    before = os.umask(0)
    try:
        private_ray.close_token_file()
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text()) == 64
    assert (file.read_text() == "a" * 64) == (mode is not None)
    assert list(file.parent.iterdir()) == [file]
    if mode is None:
        assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"])
def test_no_file_is_made_where_the_environment_says_otherwise(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, "disabled")
    private_ray.close_token_file()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_first_ray_of_a_user_starts_with_a_token_that_others_cannot_read(tmp_path):
    code = f"import os; os.umask(0)\n{_RAY}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, input="", capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600


def test_its_folder_is_closed_to_others_whatever_the_umask(pool, above):
    [folder] = above.iterdir()
    assert [path.stat().st_mode & 0o777 for path in (above, folder)] == [0o700, 0o700]
    opened = [file.path for process in family() for file in process.open_files() if "session_" in file.path]
    assert opened
    assert all(Path(path).is_relative_to(folder) for path in opened), opened
    assert list(folder.rglob("plasma_store"))


def test_the_sentence_on_logs_names_a_folder_that_has_them(pool, monkeypatch):
    monkeypatch.setattr(private_ray.PrivateFolder, "keep", lambda self: None)
    sentence = runtime.where_logs_are()
    assert list(Path(sentence.split()[4]).glob("raylet.*")), sentence


@pytest.mark.parametrize("script", [_FOLDER, pytest.param(_RAY, marks=pytest.mark.slow)], ids=["folder", "ray"])
def test_folders_of_killed_drivers_are_removed_and_those_of_living_ones_stay(above, script):
    before = set(above.iterdir()) if above.exists() else set()
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    left = Path(driver.stdout.readline().strip())
    processes = {process: process.name() for process in psutil.Process(driver.pid).children(recursive=True)}
    try:
        private_ray.PrivateFolder().release()
        assert set(above.iterdir()) == {*before, left}
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    _, alive = psutil.wait_procs([one for one, name in processes.items() if "Agent" not in name], timeout=120)
    assert not alive
    for agent in processes:  # which try for a minute to reach the head that is gone
        with contextlib.suppress(psutil.NoSuchProcess):
            agent.kill()
    assert list(left.rglob("raylet.out")) or script is _FOLDER
    private_ray.PrivateFolder().release()
    assert set(above.iterdir()) == before


def test_a_ray_that_does_not_start_leaves_its_logs_until_the_next_one(above):
    folder = private_ray.PrivateFolder()
    folder.logs.mkdir(parents=True)
    folder.keep()
    folder.release()
    assert folder.logs.is_dir()
    private_ray.PrivateFolder().release()
    assert not folder.path.exists()


def test_another_users_folder_and_a_link_are_left_alone(tmp_path, monkeypatch):
    above, victim = Path("/tmp", f"t{secrets.token_hex(3)}"), tmp_path / "victim"
    monkeypatch.setenv("RAY_TMPDIR", str(above))
    above.mkdir()
    victim.mkdir()
    link = above / "rbtray-12345678"
    link.symlink_to(victim)
    try:
        private_ray.PrivateFolder().release()
        assert link.is_symlink()
        assert victim.is_dir()
    finally:
        link.unlink()
        above.rmdir()


def test_folders_of_other_parts_are_left_alone(above):
    """The removal of old folders keeps those of other parts of the package, even if no process locks them."""
    prefixes = {
        prefix
        for path in Path(rbt.__file__).parent.rglob("*.py")
        for prefix in re.findall(r"prefix=\"([^\"]+)\"", path.read_text())
    }
    assert "rbt-ray-trials-" in prefixes
    above.mkdir(exist_ok=True)
    folders = [Path(tempfile.mkdtemp(prefix=prefix, dir=above)) for prefix in sorted(prefixes)]
    try:
        private_ray.PrivateFolder().release()
        assert all(folder.is_dir() for folder in folders)
    finally:
        for folder in folders:
            folder.rmdir()


@pytest.mark.parametrize("length", [5, 10, 20, 21, 22, 25, 30, 60, 200])
def test_its_sockets_have_paths_that_a_socket_can_have(tmp_path, monkeypatch, length):
    top = Path("/tmp", f"t{secrets.token_hex(3)}")
    monkeypatch.setenv("RAY_TMPDIR", str(top / ("x" * max(1, length - len(str(top)) - 1))))
    folder = private_ray.PrivateFolder()
    try:
        path = folder.for_ray / "session_2026-11-29_23-54-24_354832_4194304" / "sockets" / "plasma_store"
        assert len(os.fsencode(path)) <= (103 if sys.platform == "darwin" else 107)
    finally:
        folder.release()
        for made in (Path(os.environ["RAY_TMPDIR"]), top):
            if made.exists():
                made.rmdir()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    file = Path("/tmp", f"t{secrets.token_hex(3)}")
    file.touch()
    monkeypatch.setenv("RAY_TMPDIR", str(file))
    try:
        with pytest.raises(WorkerStartError, match="Set RAY_TMPDIR"):
            private_ray.PrivateFolder()
    finally:
        file.unlink()

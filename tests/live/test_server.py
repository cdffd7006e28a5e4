"""The live page of a study that another process runs: it follows, stops, survives, and answers nobody else."""

import http.client
import json
import re
import signal
import subprocess
import sys
from contextlib import closing, suppress
from urllib.parse import urlsplit

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from tests.live.studies import HELD, Messages, N, n_trials, running, watched


def request(address, path="", method="GET", **headers):
    """Returns status, headers and content of an answer; a header of None is not sent."""
    parts = urlsplit(address)
    given = {"Host": parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.putrequest(method, parts.path + path if path is not None else "/", skip_host=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        content = b"" if answer.status == 200 and path == "events" else answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def test_a_running_study_is_followed_and_stopped(tmp_path):
    with running(tmp_path) as driver, watched(tmp_path / "mine") as address:
        messages = Messages(address)
        before = messages.until(lambda state: n_trials(state) >= 2)
        n = n_trials(before)  # the batch with trial 20 is held
        assert n <= HELD
        assert (before["state"], before["of"], before["can_stop"]) == ("running", f"of {N}", True)
        assert before["best"]["config"] == [["x", str(n - 1 if (n - 1) % 10 else n - 2)]]
        assert before["causes"] == [["ValueError: one of ten", str(-(-n // 10))]]

        own = f"http://{urlsplit(address).netloc}"
        for wrong in ({"Origin": "http://evil.example"}, {"Origin": None}, {"Origin": "null"}, {"Origin": own + "0"}):
            assert request(address, "stop", "POST", **wrong)[0] == 403
        assert request(address, "stop", "GET", Origin=own)[0] == 405
        assert driver.poll() is None
        status, _, content = request(address, "stop", "POST", Origin=own)
        assert (status, "All results are kept" in json.loads(content)["text"]) == (200, True)
        # A second request sends no second signal, which would lose results.
        assert request(address, "stop", "POST", Origin=own)[0] == 200
        (tmp_path / "go").touch()
        assert driver.wait(60) == 130
        messages.close()  # the tab is closed, and opened again

        messages = Messages(address)
        stopped = messages.until(lambda state: state["state"] == "stopped")
        assert n <= int(stopped["trials"]) < N
        assert stopped["resume"] == f"rbt-ray resume {tmp_path / 'mine'}"
        assert request(address, "stop", "POST", Origin=own)[0] == 409
        messages.close()


@pytest.mark.slow
def test_a_restarted_driver_and_its_end_are_followed(tmp_path):
    with running(tmp_path) as driver, watched(tmp_path / "mine") as address:
        messages = Messages(address)
        messages.until(n_trials)
        driver.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        messages.until(lambda state: state["state"] == "stopped")
        with running(tmp_path):
            done = messages.until(lambda state: state["state"] == "done")
        messages.close()
        results = rbt.ResultGrid(tmp_path / "mine")
        assert done["trials"] == f"{len(results)}" == f"{N}"
        assert done["best"]["config"] == [["x", str(results.get_best_result().config["x"])]] == [["x", "33"]]
        status, headers, content = request(address, "report")
        assert status == 200
        assert b"<title>mine</title>" in content
        assert headers["cache-control"] == "no-store"


@pytest.mark.slow
def test_nobody_else_gets_an_answer(tmp_path, capfd):
    with running(tmp_path), watched(tmp_path / "mine") as address:
        port = urlsplit(address).port
        status, headers, content = request(address)
        assert status == 200
        assert b"live.js" in content
        for name, value in {
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
        }.items():
            assert headers[name] == value
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not {"access-control-allow-origin", "set-cookie", "server"} & set(headers)
        assert request(address, "events", Host=f"localhost:{port}")[0] == 200
        for path in ("", "events", "report", "live.js"):
            for refused in (
                {"Host": f"evil.example:{port}"},
                {"Host": "127.0.0.1"},
                {"Host": None},
                {"Origin": "http://evil.example"},
                {"Origin": f"https://127.0.0.1:{port}"},
                {"Sec_Fetch_Site": "cross-site"},
                {"Sec_Fetch_Site": "same-site"},
            ):
                status, headers, content = request(address, path, **refused)
                assert (status in (400, 403, 421), content in (b"", b"Invalid HTTP request received.")) == (True, True)
                assert "access-control-allow-origin" not in headers
        token = urlsplit(address).path.strip("/")
        wrong = [token[:-1], token + "x", token.swapcase(), "", "live.js", "events", f"../{token}", f"%2e/{token}"]
        for one in wrong:
            assert request(f"http://127.0.0.1:{port}/{one}/", "events")[::2] == (404, b"")
        for path in ("../lock", "journal.sqlite", "..%2f..%2fetc/passwd", "//", "report/../../lock"):
            assert request(address, path)[0] == 404
        assert request(address, "", "OPTIONS", Origin="http://evil.example")[0] == 403
    assert token not in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_driver_is_told_from_one_that_runs(tmp_path):
    with running(tmp_path) as driver, watched(tmp_path / "mine") as address:
        messages = Messages(address)
        messages.until(n_trials)
        driver.send_signal(signal.SIGKILL)
        state = messages.until(lambda state: state["state"] == "stopped")
        messages.close()
        assert "recorded no end" in state["host"]
        assert not state["can_stop"]


@pytest.mark.slow
def test_watch_of_run_begins_before_the_study_and_the_page_outlives_it(tmp_path):
    (tmp_path / "study.toml").write_text(
        'name = "crossing"\nobjective = "sma_cross"\nbundle = "sample"\n[space]\n'
        "fast = { randint = [5, 9] }\nslow = { randint = [20, 30] }\n[run]\nnum_workers = 1\n"
    )
    words = [sys.executable, "-m", "rbt_ray.cli", "run", "study.toml", "--watch", "--json"]
    # It returns although the page goes on: the page's process has closed the pipes once it has printed its address.
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=150)
    [page] = [one for one in psutil.process_iter() if is_page_of(one, tmp_path)]
    try:
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        messages = Messages(re.search(r"http://\S+", done.stderr)[0])
        state = messages.until(lambda state: state["state"] == "done")
        messages.close()
        assert state["trials"] == "40"
    finally:
        page.terminate()
        page.wait(30)


def is_page_of(process, folder):
    with suppress(psutil.Error):
        return "watch" in process.cmdline() and process.cwd() == str(folder)
    return False


def test_without_a_study_a_sentence_says_so(tmp_path, capsys):
    assert run_command(["watch", str(tmp_path)]) == 2
    assert "there is no study" in capsys.readouterr().err


def test_without_what_serves_the_page_a_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    monkeypatch.delitem(sys.modules, "starlette", raising=False)
    from rbt_ray.cli.watch import watch
    from rbt_ray.errors import SettingError

    with pytest.raises(SettingError, match=r"pip install 'rbt-ray\[live\]'"):
        watch(str(tmp_path), port=0, parent=None)


def test_a_port_in_use_is_named(tmp_path):
    import socket

    from rbt_ray.errors import SettingError
    from rbt_ray.live.server import serve
    from rbt_ray.live.watch import Watch

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingError, match=f"127.0.0.1:{port}"):
            serve(Watch(tmp_path), port, print)

"""A study with `metrics_port` serves its metrics for Prometheus while it runs, and nothing that a client does disturbs it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.errors import SettingError
from rbt_ray.monitoring import BATCH_SECONDS, FAMILIES
from rbt_ray.tuner.metrics_server import MetricsServer

N, HELD = 40, 30


@pytest.fixture
def port():
    """A port of the loopback interface at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def scrape(port):
    """Returns the families that the server answers with, as Prometheus' own parser reads them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def values(families, name, label=None):
    """The values of a sample, by the value of one of its labels if given."""
    found = [one for family in families.values() for one in family.samples if one.name == name]
    return {one.labels[label]: one.value for one in found} if label else [one.value for one in found]


class AtEnd:
    """What a scrape gives when the study has ended, in its `on_study_end`."""

    def __init__(self, port):
        self.port = port

    def on_study_end(self, results):
        self.families = scrape(self.port)


def tuner(folder, objective, port, callbacks=(), **search):
    return rbt.Tuner(
        objective,
        param_space={"x": rbt.grid_search(list(range(N)))},
        tune_config=rbt.TuneConfig(**{"metric": ["gain", "loss"], "mode": ["max", "min"], **search}),
        run_config=rbt.RunConfig(
            name="mine", storage_path=folder, num_workers=2, verbose=0, metrics_port=port, callbacks=callbacks
        ),
    )


def plain(params, data=None):
    if params["x"] % 5 == 4:
        raise ValueError("one of five")
    return {"gain": 3.0 * params["x"], "loss": (params["x"] - 7.0) ** 2}


def held_until(file):
    def objective(params, data=None):
        while params["x"] == HELD and not file.exists():
            time.sleep(0.01)
        return plain(params)

    return objective


def test_a_running_study_is_scraped_and_its_last_counts_are_those_of_the_results(tmp_path, port):
    file, end = tmp_path / "go", AtEnd(port)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(tuner(tmp_path, held_until(file), port, [end]).fit)
        try:
            n, deadline = 0, time.monotonic() + 60
            while not n and not running.done() and time.monotonic() < deadline:
                try:
                    found = scrape(port)
                except urllib.error.URLError:  # before the server
                    continue
                n = sum(values(found, "rbt_ray_trials_total"))
        finally:
            file.touch()
        results = running.result(timeout=60)
    assert 0 < n < N
    assert values(found, "rbt_ray_workers", "study") == {"mine": 2}
    assert values(found, "rbt_ray_planned_trials") == [N]
    assert 0 <= values(found, "rbt_ray_busy_ratio")[0] <= 1

    statuses = Counter(result.status for result in results)
    assert statuses["FAILED"] == N // 5
    by_status = values(end.families, "rbt_ray_trials_total", "status")
    assert by_status == {**dict.fromkeys(by_status, 0), **statuses}
    frame = results.get_dataframe()
    assert values(end.families, "rbt_ray_best_value", "metric") == {
        "gain": frame["gain"].max(),
        "loss": frame["loss"].min(),
    }
    n_batches = len({(worker, started) for worker, started in zip(frame["worker"], frame["trial_id"], strict=True)})
    [count] = values(end.families, "rbt_ray_batch_seconds_count")
    assert 0 < count <= n_batches
    buckets = values(end.families, "rbt_ray_batch_seconds_bucket", "le")
    assert list(map(float, buckets)) == [*BATCH_SECONDS, float("inf")]
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets["+Inf"] == count
    with pytest.raises(urllib.error.URLError):
        scrape(port)


def test_every_family_of_the_table_is_exported_as_it_says(tmp_path, port):
    end = AtEnd(port)
    tuner(tmp_path, plain, port, [end]).fit()
    assert len(end.families) == len(FAMILIES)
    for family in FAMILIES:
        got = end.families[family.name.removesuffix("_total")]
        assert (got.type, got.documentation) == (family.kind, family.help)
        assert {one.name: set(one.labels) for one in got.samples} == {
            name: set(labels) for name, labels in family.sample_labels.items()
        }


def test_a_continued_study_counts_earlier_trials_but_not_their_batches(tmp_path, port):
    space = {"search_alg": "random", "num_samples": 10, "metric": "gain", "mode": "max"}
    first = rbt.Tuner(
        plain,
        param_space={"x": rbt.randint(0, 1000)},
        tune_config=rbt.TuneConfig(**space, seed=3),
        run_config=rbt.RunConfig(name="mine", storage_path=tmp_path, num_workers=1, verbose=0),
    )
    first.fit()
    end = AtEnd(port)
    again = rbt.RunConfig(num_workers=1, verbose=0, metrics_port=port, callbacks=[end])
    results = rbt.Tuner.restore(first.path, plain, run_config=again, num_samples=12).fit()
    assert len(results) == 12
    assert sum(values(end.families, "rbt_ray_trials_total")) == 12
    assert values(end.families, "rbt_ray_batch_seconds_count")[0] <= 2


def test_a_port_in_use_is_an_error_before_anything_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        study = tuner(tmp_path, plain, taken)
        with pytest.raises(SettingError, match=rf"`metrics_port`: nothing can listen at 127\.0\.0\.1:{taken} \("):
            study.fit()
        assert list(tmp_path.iterdir()) == []
    assert len(study.fit()) == N


def test_without_the_package_the_error_names_the_extra(tmp_path, port, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingError, match=r"pip install 'rbt-ray\[metrics\]'"):
        tuner(tmp_path, plain, port).fit()
    assert list(tmp_path.iterdir()) == []


class BadClients:
    """Clients that connect during the study: one sends nothing, one no HTTP, one leaves before it has its answer."""

    def __init__(self, port):
        self.port, self.open = port, []

    def on_trial_complete(self, result):
        if result.trial_id % 5 == 0:
            silent, garbage, gone = (socket.create_connection(("127.0.0.1", self.port), timeout=30) for _ in range(3))
            garbage.sendall(b"\x00\xff no HTTP\r\n\r\n")
            gone.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # resets the connection
            gone.close()
            self.open += [silent, garbage]


def test_bad_clients_disturb_neither_the_study_nor_the_other_clients(tmp_path, port, capfd):
    bad, end = BadClients(port), AtEnd(port)
    table = tuner(tmp_path / "one", plain, port, [bad, end], seed=1).fit().table_hash()
    assert len(bad.open) == 2 * N // 5
    assert sum(values(end.families, "rbt_ray_trials_total")) == N
    assert table == tuner(tmp_path / "two", plain, None, seed=1).fit().table_hash()
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere only 127.0.0.1 is a loopback address")
def test_metrics_are_served_on_one_loopback_address(port):
    with closing(MetricsServer(port)):
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=60)


TWICE = """
import sys, rbt_ray as rbt

def objective(params, data=None):
    return float(params["x"])

for name in ("one", "two"):
    rbt.Tuner(
        objective,
        param_space={"x": rbt.grid_search([1, 2, 3])},
        run_config=rbt.RunConfig(name=name, storage_path=sys.argv[1], num_workers=1, verbose=0, metrics_port=int(sys.argv[2])),
    ).fit()
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a forked child keeps a socket of its parent in use")
def test_a_forked_worker_that_is_kept_does_not_keep_the_port(tmp_path, port):
    (tmp_path / "twice.py").write_text(TWICE)
    words = [sys.executable, "twice.py", tmp_path, str(port)]
    env = {**os.environ, "RBT_RAY_START_METHOD": "fork"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


STUDY = """
objective = "sma_cross"
bundle = "sample"
[space]
fast = { randint = [5, 9] }
slow = { randint = [20, 60] }
[search]
search_alg = "random"
num_samples = 3
[run]
num_workers = 1
verbose = 0
"""


def test_the_command_line_and_study_files_set_the_port(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        (tmp_path / "study.toml").write_text(STUDY)
        (tmp_path / "with.toml").write_text(f"{STUDY}metrics_port = {taken}\n")
        assert run_command(["run", "study.toml"]) == 0
        for words in (
            ["run", "study.toml", "--exist", "new", "--metrics-port", taken],
            ["run", "with.toml"],
            ["resume", "studies/study", "--samples", "5", "--metrics-port", taken],
        ):
            capsys.readouterr()
            assert run_command(words) == 2
            assert f"nothing can listen at 127.0.0.1:{taken}" in capsys.readouterr().err

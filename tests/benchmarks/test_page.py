"""The page of figures is made of what the scripts kept: each its own entry, and nothing of a script that has not run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.record import record

ROOT = Path(__file__).parents[2]


def throughput(backend, efficiency):
    cases = [
        {"seconds": seconds, "kind": "plain", "n": 1_234, "efficiency": [efficiency] * 3} for seconds in (1e-2, 1e-5)
    ]
    sweeps = [{"bundle": "sample", "n_configs": 5_678, "a_second": [90_123.0, 90_125.0, 90_127.0]}]
    settings = {"repeats": 3, "workers": 2, "backend": backend}
    return {**settings, "efficiencies": cases, "sweeps": sweeps, "driver_peak_mib": 77.0}


def written(path):
    page.write(path)
    return path.with_suffix(".md").read_text()


def test_a_later_run_replaces_the_entry_and_leaves_the_others(tmp_path):
    path = tmp_path / "new" / "benchmarks.json"
    record(path, "b", {"value": 1})
    record(path, "a", {"value": 2})
    record(path, "b", {"value": 3})
    assert {name: entry["value"] for name, entry in json.loads(path.read_text()).items()} == {"a": 2, "b": 3}


def test_the_page_shows_what_was_measured_and_names_the_rest(tmp_path):
    path = tmp_path / "benchmarks.json"
    record(path, "throughput local", throughput("local", 0.8))
    text = written(path)
    assert "| 10 µs | plain function | 1,234 | 0.800 [0.800, 0.800] |" in text
    assert "90,125 [90,123, 90,127] /s" in text
    assert "is 2.5 µs of a worker's time per evaluation" in text  # 10 µs / 0.8 less 10 µs
    lacking = set(re.findall(r"`python benchmarks/([^`]*) --data docs/benchmarks.json`", text))
    assert lacking == set(page.COMMANDS.values()) - {"throughput.py"}
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("efficiency", "verdict"), [(0.975, "is reached"), (0.965, "is not reached")])
def test_the_goal_is_judged_by_the_data(tmp_path, efficiency, verdict):
    record(tmp_path / "b.json", "throughput ray", throughput("ray", efficiency))
    assert f"at 10 ms {verdict}, Ray" in written(tmp_path / "b.json")


def test_the_page_names_the_machine_of_each_figure(tmp_path):
    path = tmp_path / "b.json"
    record(path, "throughput local", throughput("local", 0.9))
    record(path, "throughput ray", throughput("ray", 0.9))
    data = json.loads(path.read_text())
    data["throughput ray"]["machine"]["processor"] = "another"
    path.write_text(json.dumps(data))
    text = written(path)
    assert re.search(r"^- `throughput.py --backend ray`: .* cores of another", text, re.MULTILINE)
    assert text.count("Python ") >= 2


def test_its_links_lead_somewhere(tmp_path):
    path = tmp_path / "benchmarks.json"
    record(path, "throughput local", throughput("local", 0.9))
    for target in re.findall(r"\]\(([^)#]+)\)", written(path)):
        assert (tmp_path / target).exists() or (ROOT / "docs" / target).exists(), target


def test_without_data_nothing_is_written(tmp_path):
    path = tmp_path / "benchmarks.json"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "page.py", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "is not there" in done.stderr
    assert not list(tmp_path.iterdir())

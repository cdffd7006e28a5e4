"""The rule of a sequence, on figures made up for it; and the command that runs one."""

import json
import sys
from itertools import count

import pytest

from rbt_ray.bench import Sample, sequential
from rbt_ray.cli.main import run_command

TICK = [1 + i / 1e4 for i in range(-5, 6)]  # some spread, or p values have nothing to say


def study(seconds, names, **options):
    """A sequence in which a run takes what `seconds` says of the optimizations that are on, in a gigabyte."""
    count = iter(range(10**6))

    def measure(on, judged):
        value = seconds(on)
        return value if isinstance(value, Sample) else Sample(value * TICK[next(count) % 11], peak_pss=10**9)

    return sequential(names, measure, **options)


def test_each_is_measured_on_top_of_those_accepted():
    cost = {"a": 0.5, "b": 1.2, "c": 0.6}

    def seconds(on):
        product = 10.0
        for name in on:
            product *= cost[name]
        return product

    found = study(seconds, ["a", "b", "c"])
    assert [step.on_top_of for step in found.steps] == [(), ("a",), ("a",)]
    assert found.accepted == ("a", "c")
    assert found.cumulative == pytest.approx(1 - 0.5 * 0.6, abs=1e-3)


def test_a_machine_that_gets_slower_takes_nothing_from_the_gain():
    """Four of 20 % each; what each is measured beside is of its own time."""
    slower = count()
    found = study(lambda on: 10 * 0.8 ** len(on) * (1 + 0.004 * next(slower)), ["a", "b", "c", "d"])
    assert found.cumulative == pytest.approx(1 - 0.8**4, abs=0.01)


def test_it_stops_at_the_goal():
    found = study(lambda on: 100 * 0.2 ** len(on), ["a", "b", "c"])
    assert len(found.steps) == 2
    assert found.left == ("c",)
    assert "goal" in found.stopped


def test_a_sequence_stops_after_two_candidates_that_save_too_little():
    found = study(lambda on: 100 * (0.5 if "a" in on else 1), ["a", "b", "c", "d"])
    assert [step.name for step in found.steps] == ["a", "b", "c"]
    assert "less than 2%" in found.stopped
    whole = study(lambda on: 100 * (0.5 if "a" in on else 1), ["a", "b", "c", "d"], to_the_end=True)
    assert [step.name for step in whole.steps] == ["a", "b", "c", "d"]
    assert whole.stopped == found.stopped


def test_a_candidate_with_different_results_is_rejected_without_timing_it():
    def seconds(on):
        return Sample((1 if "a" in on else 10) * 1.0, result={"digest": str("a" in on)})

    found = study(seconds, ["a"])
    assert not found.accepted
    assert found.steps[0].comparison is None
    assert "trial tables differ" in found.steps[0].reason


def written(tmp_path, text):
    path = tmp_path / "bench.toml"
    path.write_text(text)
    return str(path)


def test_a_file_of_commands(tmp_path, capsys):
    code = "import sys, time; print('{\"digest\": 1, \"seconds\": %f}' % (9 - 8 * sys.argv.count('fast') + time.time() % 1 / 1e3))"
    command = json.dumps([sys.executable, "-S", "-c", code])
    path = written(tmp_path, f"command = {command}\n[optimizations]\nquick = ['fast']\nidle = ['x']\n")
    assert run_command(["bench", "sequential", path, "--json", "--profile", "lenient", "--runs", "5"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["steps"][0]["comparison"]["gain"] == pytest.approx(8 / 9, abs=1e-3)
    assert answer["steps"][0]["on_top_of"] == []
    assert "there are 5 runs of each, fewer than the required 10" in answer["steps"][0]["reason"]


def test_runs_that_decide_nothing_add_nothing_to_the_cumulative_gain():
    found = study(lambda on: Sample(1.0 if "a" in on else 10.0), ["a"])
    assert found.steps[0].verdict == "not decided"
    assert (found.accepted, found.cumulative) == ((), 0)


def command_of(tmp_path, body):
    """A bench file whose command counts its own runs in a file; `n` is their number, `fast` whether the optimization is on."""
    script = tmp_path / "run.py"
    script.write_text(
        "import json, pathlib, sys, time\n"
        "began = time.perf_counter()\n"
        "log = pathlib.Path(__file__).with_suffix('.log')\n"
        "before = log.read_text() if log.exists() else ''\n"
        "n, fast = len(before), 'fast' in sys.argv\n"
        "log.write_text(before + ('B' if fast else 'A'))\n" + body
    )
    command = json.dumps([sys.executable, "-S", str(script)])
    return written(tmp_path, f"command = {command}\n[optimizations]\nquick = ['fast']\n")


def verdict_of(path, capsys, *options):
    assert run_command(["bench", "sequential", path, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)["steps"][0]


# A process lives long enough for one sample of its memory, and longer than the made seconds of an honest run.
RAN = "time.sleep(max(0, began + 0.025 - time.perf_counter()))\nprint(json.dumps({'digest': 1, 'seconds': %s}))\n"


def test_a_command_that_gives_more_time_than_it_took_is_not_decided(tmp_path, capsys):
    step = verdict_of(command_of(tmp_path, RAN % "(1 if fast else 500) * (1 + n * n % 7 / 1e3)"), capsys)
    assert step["verdict"] == "not decided"
    assert "computed and not run" in step["reason"]


def test_a_command_that_is_slow_after_the_other_side_is_not_decided(tmp_path, capsys):
    body = RAN % "(0.001 if fast else 0.01 + 0.01 * before.endswith('B')) * (1 + n * n % 7 / 1e3)"
    path = command_of(tmp_path, body)
    step = verdict_of(path, capsys)
    assert step["verdict"] == "not decided"
    assert "after a run of the candidate" in step["reason"]
    assert step["comparison"]["ratio_low"] is None


@pytest.mark.slow
def test_a_command_is_accepted_without_its_runs_after_the_other_side(tmp_path, capsys):
    body = RAN % "(0.001 if fast else 0.01 + 0.01 * before.endswith('B')) * (1 + n * n % 7 / 1e3)"
    step = verdict_of(command_of(tmp_path, body), capsys, "--discard", "1")
    assert step["verdict"] == "accepted", step["reason"]


def test_discarded_runs_carry_nothing_over():
    """Each side is slow after the other one, and no counted run is."""
    before = [()]

    def seconds(on):
        before.append(on)
        return Sample((1.0 if on else 4.0) * (1 + (before[-2] != on)) * TICK[len(before) ** 2 % 11], peak_pss=10**9)

    assert study(seconds, ["a"]).steps[0].verdict == "not decided"
    assert study(seconds, ["a"], discard=1).accepted == ("a",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("comand = []", "did you mean 'command'"),
        ("command = []", "`command` is a list of words"),
        ("command = ['x']", "`optimizations` is a table"),
        ("command = ['x']\n[optimizations]\na = 3", "`optimizations` is a table"),
        ("command =", "cannot be read as TOML"),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path, capsys, text, words):
    assert run_command(["bench", "sequential", written(tmp_path, text)]) == 2
    assert words in capsys.readouterr().err


def test_a_command_that_fails_is_a_sentence(tmp_path, capsys):
    path = written(tmp_path, "command = ['/no/such/program']\n[optimizations]\na = []\n")
    assert run_command(["bench", "sequential", path]) == 1
    assert "cannot be started" in capsys.readouterr().err

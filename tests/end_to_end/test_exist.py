"""What `RunConfig(exist=...)` does with a name that exists, and what a restored study keeps."""

import json
import subprocess
import sys

import pytest

import rbt_ray as rbt
from rbt_ray import tune
from rbt_ray.errors import SettingError, StudyExistsError, StudyLockedError, StudyMismatchError
from rbt_ray.tuner.result_grid import ResultGrid

SPACE = {"x": rbt.uniform(0, 1), "n": rbt.randint(0, 9)}


def score(params, data):
    return {"score": params["x"] + params["n"]}


def other(params, data):
    return {"score": params["x"] - params["n"]}


def tuner(folder, exist="refuse", *, objective=score, space=SPACE, bundle=None, run=(), **tuned):
    settings = {"metric": "score", "search_alg": "random", "num_samples": 12, "seed": 1, **tuned}
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**settings),
        run_config=rbt.RunConfig(
            "s", folder, **{"backend": "local", "num_workers": 1, "verbose": 0, "exist": exist, **dict(run)}
        ),
    )


def test_refuse_names_the_other_choices(tmp_path):
    tuner(tmp_path).fit()
    with pytest.raises(StudyExistsError, match=r"rbt-ray resume .* `exist` to 'resume' or 'new'"):
        tuner(tmp_path)
    with pytest.raises(SettingError, match="`exist` is one of refuse, resume, new; got 'renew'"):
        rbt.RunConfig(exist="renew")


def test_resume_begins_continues_and_returns_a_study(tmp_path):
    begun = tuner(tmp_path, "resume").fit()
    again = tuner(tmp_path, "resume").fit()
    assert again.table_hash() == begun.table_hash()
    assert len(again.runs) == 1  # nothing ran
    unseeded = tuner(tmp_path, "resume", seed=None, time_budget_s=100.0).fit()
    assert (unseeded.table_hash(), len(unseeded.runs)) == (begun.table_hash(), 1)


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        ({"seed": 2}, "`seed` was 1 and is 2"),
        ({"mode": "min"}, "`mode` was 'max' and is 'min'"),
        ({"search_alg": "sobol"}, "`search_alg` was 'random' and is 'sobol'"),
        ({"max_pending": 3}, "`max_pending` was"),
        ({"deterministic": False}, "`deterministic` was True and is False"),
        ({"bundle": "sample"}, "`bundle` was None and is"),
        ({"points_to_evaluate": [{"x": 0.5, "n": 1}]}, "`points_to_evaluate` has other configs"),
        ({"run": {"recheck": 3}}, "`recheck` was 10 and is 3"),
        ({"seed": 2, "metric": "other"}, "`metric` was 'score' and is 'other'; `seed` was 1 and is 2"),
        ({"space": {"x": rbt.uniform(0, 2), "n": rbt.randint(0, 9)}}, "`param_space` is not the one"),
        ({"objective": other}, "the objective is not the one"),
    ],
)
def test_resume_says_what_differs(tmp_path, difference, message):
    tuner(tmp_path).fit()
    with pytest.raises(StudyMismatchError, match=message):
        tuner(tmp_path, "resume", **difference)


def test_a_choice_of_auto_may_change_with_the_limits(tmp_path):
    space = {"n": rbt.randint(0, 40)}

    def count(params, data):
        return {"score": params["n"]}

    few = tuner(tmp_path, "resume", objective=count, space=space, search_alg="auto", num_samples=20).fit()
    all_of_it = tuner(tmp_path, "resume", objective=count, space=space, search_alg="auto", num_samples=40).fit()
    assert few.study.search_alg == "bohb"
    assert sorted(result.config["n"] for result in all_of_it) == list(range(40))


def test_new_takes_the_first_free_name_and_deletes_nothing(tmp_path):
    names = [tuner(tmp_path, "new").fit().path.name for _ in range(3)]
    assert names == ["s", "s-2", "s-3"]
    (tmp_path / "s-2" / "journal.sqlite").unlink()
    assert tuner(tmp_path, "new", num_samples=3).path.name == "s-2"
    at_uri = [tuner(f"file://{tmp_path}/uri", "new").fit().study.name for _ in range(2)]
    assert at_uri == ["s", "s-2"]


def test_two_tuners_made_before_either_runs_take_two_names(tmp_path):
    first, second = tuner(tmp_path, "new"), tuner(tmp_path, "new")
    assert first.fit().path.name == "s"
    assert second.fit().path.name == second.path.name == "s-2"
    assert len(first.fit()) == len(second.fit()) == 12


def test_two_tuners_made_before_either_runs_resume_one_study(tmp_path):
    first, second, refused = tuner(tmp_path, "resume"), tuner(tmp_path, "resume", num_samples=20), tuner(tmp_path)
    before = first.fit().table_hash()
    assert len(second.fit()) == 20
    assert first.fit().table_hash() != before  # it reads the study as it is now
    with pytest.raises(StudyExistsError):
        refused.fit()


DRIVER = """
import sys, time, rbt_ray as rbt

def slow(params, data):
    time.sleep(0.05)
    return params["x"]

folder, exist = sys.argv[1:]
tuner = rbt.Tuner(
    slow,
    param_space={"x": rbt.uniform(0, 1)},
    tune_config=rbt.TuneConfig(metric="score", search_alg="random", num_samples=20, seed=1),
    run_config=rbt.RunConfig("s", folder, backend="local", num_workers=1, verbose=0, exist=exist),
)
print("ready", flush=True)
sys.stdin.readline()
try:
    print(tuner.fit().path.name)
except rbt.errors.StudyLockedError:
    print("locked")
"""


@pytest.mark.slow
@pytest.mark.parametrize("exist", ["new", "resume"])
def test_drivers_that_start_at_once_never_take_the_same_name(tmp_path, exist):
    (tmp_path / "driver.py").write_text(DRIVER)
    words = [sys.executable, "driver.py", str(tmp_path / "studies"), exist]
    drivers = [
        subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for driver in drivers:
        assert driver.stdout.readline() == "ready\n"
    for driver in drivers:
        driver.stdin.write("\n")
        driver.stdin.flush()
    ended = [driver.communicate(timeout=100)[0].strip() for driver in drivers]
    if exist == "new":
        assert sorted(ended) == ["s", "s-2", "s-3"]
        assert all(len(ResultGrid(tmp_path / "studies" / name)) == 20 for name in ended)
    else:
        assert set(ended) <= {"s", "locked"}
        assert "s" in ended
        assert len(ResultGrid(tmp_path / "studies" / "s").runs) == 1


def test_a_study_that_another_driver_runs_is_not_resumed(tmp_path):
    from rbt_ray.store.lease import StudyLock

    begun = tuner(tmp_path, num_samples=3).fit()
    lock = StudyLock(begun.path)
    with pytest.raises(StudyLockedError):
        tuner(tmp_path, "resume").fit()
    lock.release()
    assert len(tuner(tmp_path, "resume").fit()) == 12


def test_a_restored_study_keeps_its_time_budget(tmp_path):
    import time

    def slow(params, data):
        time.sleep(0.02)
        return {"score": params["x"]}

    first = tuner(tmp_path, objective=slow, num_samples=60, time_budget_s=0.3).fit()
    assert first.runs[-1].reason == "time_budget"
    run = rbt.RunConfig(backend="local", num_workers=1, verbose=0)
    second = rbt.Tuner.restore(first.path, slow, run_config=run).fit()
    assert second.runs[-1].reason == "time_budget"
    assert len(second) < 60
    third = tuner(tmp_path, "resume", objective=slow, num_samples=60, time_budget_s=100.0).fit()
    assert third.is_done


def train(config):
    tune.report({"score": config["x"]})


def test_a_restored_study_of_tune_keeps_its_number_of_concurrent_trials(tmp_path):
    class Stops(tune.Callback):
        def on_trial_complete(self, **_):
            raise KeyboardInterrupt

    run = {"name": "s", "storage_path": str(tmp_path), "backend": "local", "verbose": 0}
    begun = tune.Tuner(
        train,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(metric="score", mode="max", num_samples=20, max_concurrent_trials=1),
        run_config=tune.RunConfig(**run, callbacks=[Stops()]),
    )
    with pytest.raises(KeyboardInterrupt):
        begun.fit()
    restored = tune.Tuner.restore(
        tmp_path / "s", train, run_config=tune.RunConfig(backend="local", num_workers=3, callbacks=[tune.Callback()])
    )
    assert len(restored.fit()) == 20
    assert ResultGrid(tmp_path / "s").runs[-1].n_workers == 1
    assert json.loads((tmp_path / "s" / "tune.json").read_text())["max_concurrent_trials"] == 1

"""A study is resumed only with the objective it began with; the message names each difference."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

import rbt_ray as rbt
from rbt_ray.errors import StudyMismatchError
from tests.end_to_end.own_strategy import BEFORE, Save, Stop, quiet, raise_stop, tuner_arguments


def replaced(name, old, new):
    text = BEFORE[name]
    assert old in text
    return {**BEFORE, name: text.replace(old, new)}


CHANGES = {
    "state": ("Score(1)", "Score(100)", BEFORE, r"the attribute `fee`: 1 then, 100 now"),
    "an array": ("Score(1)", "Score(1, (1.0, 2.5))", BEFORE, r"the attribute `prices` has another value"),
    "a helper": (
        "Score(1)",
        "Score(1)",
        replaced("own_helper.py", "** power * RATE", "** power + RATE"),
        r"the function `helper` of own_helper\.py was changed",
    ),
    "a global": (
        "plain",
        "plain",
        replaced("own_helper.py", "RATE = 3", "RATE = 44"),
        r"the global `RATE` of own_helper\.py: 3 then, 44 now",
    ),
    "a table": (
        "Score(1)",
        "Score(1)",
        replaced("own_helper.py", "[1, 2]", "[1, 3]"),
        r"the global `WEIGHTS` of own_strategy\.py has another value",
    ),
    "a method": (
        "Score(1)",
        "Score(1)",
        replaced("own_strategy.py", "2 * self.unit", "3 * self.unit"),
        r"the method `Score\.cost` of own_strategy\.py was changed",
    ),
    "a class attribute": (
        "Score(1)",
        "Score(1)",
        replaced("own_strategy.py", "unit = 1.0", "unit = 2.5"),
        r"the class attribute `Score\.unit` of own_strategy\.py: 1\.0 then, 2\.5 now",
    ),
    "a default": (
        "plain",
        "plain",
        replaced("own_helper.py", "power=2", "power=33"),
        r"the default of `power` in `helper` of own_helper\.py: 2 then, 33 now",
    ),
    "a closure": (
        "make(1, [1])",
        "make(2, [1])",
        BEFORE,
        r"the variable `fee` in `objective` of own_strategy\.py: 1 then",
    ),
    "an argument": (
        "functools.partial(plain, cost=1)",
        "functools.partial(plain, cost=2)",
        BEFORE,
        r"the argument `cost`: 1 then, 2 now",
    ),
    "a closure in a global": (
        "Score(1)",
        "Score(1)",
        replaced("own_strategy.py", "by_rate(5)", "by_rate(6)"),
        r"the variable `rate` in `scaled` of own_helper\.py: 5 then, 6 now",
    ),
    "comments and what is not used": (
        "Score(1)",
        "Score(1)",
        {
            "own_helper.py": "# a comment\n\n"
            + textwrap.dedent(BEFORE["own_helper.py"]).replace("return 1", "return 2"),
            "own_strategy.py": '"""About."""\n'
            + textwrap.dedent(BEFORE["own_strategy.py"]).replace("\n\n", "\n\n\n# -\n"),
        },
        None,
    ),
    "caches": ("Score(1)", "used(Score(1))", BEFORE, None),
    "an equal array and set": ("make(1, {'a', 'b', 'c'})", "make(1, {'c', 'b', 'a'})", BEFORE, None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_restore_says_what_differs(tmp_path, load, change):
    first, second, after, message = CHANGES[change]

    def objective(files, made):
        for name, text in files.items():
            (tmp_path / name).write_text(textwrap.dedent(text))
        os.utime(tmp_path / "own_helper.py", ns=(time.time_ns(), time.time_ns()))
        sys.dont_write_bytecode = True
        return eval(made, {**vars(load("own_strategy")), "used": used})

    def used(score):
        score({"x": 3}, None)
        score({"x": 4}, None)
        return score

    before = sys.dont_write_bytecode
    try:
        begun = objective(BEFORE, first)
        results = rbt.Tuner(
            begun,
            param_space={"x": rbt.randint(0, 3)},
            tune_config=rbt.TuneConfig(metric="score"),
            run_config=quiet(tmp_path),
        ).fit()
        assert results.num_terminated == 3, results.errors
        now = objective(after, second)
        if message is None:
            assert len(rbt.Tuner.restore(tmp_path / "study", now).fit()) == 3
        else:
            with pytest.raises(StudyMismatchError, match=message):
                rbt.Tuner.restore(tmp_path / "study", now)
            assert len(rbt.Tuner.restore(tmp_path / "study", now, accept_changes=True).fit()) == 3
    finally:
        sys.dont_write_bytecode = before


def test_an_objective_whose_state_changes_between_two_fits_is_refused(tmp_path, load):
    for name, text in BEFORE.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    score = load("own_strategy").Score(1)
    tuner = rbt.Tuner(
        score,
        param_space={"x": rbt.randint(0, 30)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=2),
        run_config=quiet(tmp_path, callbacks=[Save(3, raise_stop)]),
    )
    score.fee = 7  # before the study begins: it is begun with this
    with pytest.raises(Stop):
        tuner.fit()
    score.fee = 8
    with pytest.raises(StudyMismatchError, match="the attribute `fee`: 7 then, 8 now"):
        tuner.fit()
    score.fee = 7
    assert len(tuner.fit()) == 30


class CountsLooks:
    n = 0

    def __getstate__(self):
        type(self).n += 1
        return {"fee": 1}

    def __call__(self, params, data):
        return 1.0


def test_the_state_of_an_objective_is_read_when_its_study_starts(tmp_path):
    tuner = rbt.Tuner(CountsLooks(), **tuner_arguments(tmp_path))
    assert CountsLooks.n == 0
    assert tuner.study.objective.name == "<CountsLooks>"
    tuner.fit()
    assert "the attribute `fee`" in tuner.study.objective.parts


def test_a_study_is_not_resumed_with_a_constant_that_the_driver_has_not_imported(tmp_path, load):
    (tmp_path / "own_settings.py").write_text("FEE = 1\n")
    settings = load("own_settings")
    namespace = {"__name__": "__main__", "own_settings": settings}
    exec("def objective(params, data):\n    return 1000.0 * own_settings.FEE", namespace)
    arguments = tuner_arguments(tmp_path)
    arguments["param_space"] = {"x": rbt.randint(0, 30)}
    arguments["tune_config"] = rbt.TuneConfig(metric="score", search_alg="grid", max_pending=2)
    arguments["run_config"] = quiet(tmp_path, callbacks=[Save(3, raise_stop)])
    with pytest.raises(Stop):
        rbt.Tuner(namespace["objective"], **arguments).fit()
    (tmp_path / "own_settings.py").write_text("FEE = 7\n")
    run = {"run_config": rbt.RunConfig(num_workers=1, verbose=0, backend="local")}
    with pytest.raises(StudyMismatchError, match=r"own_settings\.py \(`FEE`\) differs from what this process imported"):
        rbt.Tuner.restore(tmp_path / "study", namespace["objective"], **run).fit()
    accepting = rbt.Tuner.restore(tmp_path / "study", namespace["objective"], accept_changes=True, **run)
    with pytest.warns(UserWarning, match="FEE"):
        assert set(accepting.fit().get_dataframe()["score"]) == {1000.0, 7000.0}


STUDY = """
objective = "own_strategy:plain"
[space]
x = { grid_search = [1, 2, 3] }
[search]
metric = "score"
[run]
num_workers = 1
"""


@pytest.mark.slow
def test_resume_says_what_differs_and_takes_accept_changes(tmp_path):
    def command(*words, **kw):
        command = [sys.executable, "-B", "-m", "rbt_ray.cli", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, **kw)

    for name, text in BEFORE.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "study.toml").write_text(STUDY)
    assert command("run", "study.toml").returncode == 0
    (tmp_path / "own_helper.py").write_text(textwrap.dedent(BEFORE["own_helper.py"]).replace("RATE = 3", "RATE = 44"))
    refused = command("resume", "studies/study")
    assert refused.returncode == 2
    assert "the global `RATE` of own_helper.py: 3 then, 44 now" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert command("resume", "studies/study", "--accept-changes").returncode == 0


def test_a_study_of_a_function_that_a_decorator_rewrites_is_resumed_by_the_same_process(tmp_path, load):
    module = tmp_path / "own_rewritten.py"
    module.write_text(
        "def rewritten(function):\n"
        "    exec(compile('def objective(params, data): return 2.0', __file__, 'exec'), globals())\n"
        "    return globals()['objective']\n\n"
        "@rewritten\ndef objective(params, data):\n    return 1.0\n"
    )
    objective = load("own_rewritten").objective
    stopped = quiet(tmp_path, callbacks=[Save(3, raise_stop)])
    with pytest.raises(Stop):
        rbt.Tuner(
            objective,
            param_space={"x": rbt.randint(0, 30)},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=2),
            run_config=stopped,
        ).fit()
    run = {"run_config": rbt.RunConfig(num_workers=1, verbose=0, backend="local")}
    module.write_text(module.read_text().replace("return 2.0", "return 3.0"))
    with pytest.raises(StudyMismatchError, match=r"own_rewritten\.py"):
        rbt.Tuner.restore(tmp_path / "study", objective, **run).fit()
    module.write_text(module.read_text().replace("return 3.0", "return 2.0"))
    with pytest.warns(UserWarning, match=r"own_rewritten\.py"):
        assert len(rbt.Tuner.restore(tmp_path / "study", objective, **run).fit()) == 30

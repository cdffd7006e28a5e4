"""One table, one code: what is saved while a study runs changes nothing in it, and what differs later is named."""

import importlib
import os
import subprocess
import sys
import textwrap
import time
import warnings

import pytest

import rbt_ray as rbt
from rbt_ray.errors import StudyMismatchError
from rbt_ray.objectives.address import find
from rbt_ray.objectives.own_code import own_sources
from rbt_ray.tuner.same_objective import changed_parts, describe_changes

PACKAGE = {
    "__init__.py": "",
    "settings.py": "FEE = {fee}\n",
    "rules.py": """
        from dataclasses import dataclass
        from .settings import FEE

        @dataclass
        class Answer:
            score: float

        def signal(x):
            return Answer(x * {factor} + FEE)
    """,
    "late.py": "EXTRA = {extra}\n",
    "strategy.py": """
        import os, signal
        from pathlib import Path
        from . import rules

        KILLED = Path(__file__).with_name("killed")

        def objective(params, data):
            from .late import EXTRA
            from .rules import Answer
            if params["x"] == 21 and not KILLED.exists():
                KILLED.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            answer = rules.signal(params["x"])
            assert isinstance(answer, Answer)
            return {{"score": answer.score + EXTRA, "pid": os.getpid()}}
    """,
}
FIRST, SECOND = {"fee": 1, "factor": 10, "extra": 0.5}, {"fee": 100_000, "factor": -1_000, "extra": 7_000_000}


def write(folder, files, values):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text).format(**values))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Imports a module of the test's folder as it is now."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which is compared by size and second alone
    before = set(sys.modules)

    def load(name):
        forget()
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def forget():
        for module in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[module], "__file__", None)):
                del sys.modules[module]

    yield load
    forget()


def quiet(tmp_path, **kw):
    return rbt.RunConfig(**{"name": "study", "storage_path": tmp_path, "num_workers": 1, "verbose": 0, **kw})


class Save:
    """Calls a function once so many trials are recorded."""

    def __init__(self, after, save):
        self.left, self.save = after, save

    def on_trial_complete(self, result):
        self.left -= 1
        if self.left == 0:
            self.save()


@pytest.mark.parametrize(("backend", "recycle_after"), [("local", 4), pytest.param("ray", 12, marks=pytest.mark.slow)])
def test_workers_that_are_replaced_run_what_the_study_began_with(tmp_path, load, backend, recycle_after):
    package = tmp_path / f"saved_{backend}"
    write(package, PACKAGE, FIRST)
    objective = load(f"{package.name}.strategy").objective
    save = Save(8, lambda: write(package, PACKAGE, SECOND))
    results = rbt.Tuner(
        objective,
        param_space={"x": rbt.randint(0, 40)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=8),
        run_config=quiet(tmp_path, backend=backend, num_workers=2, recycle_after=recycle_after, callbacks=[save]),
    ).fit()
    assert save.left < 0
    assert (package / "killed").exists()
    assert [result.error for result in results if result.error] == []
    assert [result.metrics["score"] for result in results] == [x * 10 + 1.5 for x in range(40)]
    assert len({result.metrics["pid"] for result in results}) >= 40 // recycle_after, "workers were not replaced"


BEFORE = {
    "own_helper.py": """
        RATE = 3
        WEIGHTS = {"a": 1, "b": [1, 2]}
        SETS = frozenset({"x", "y", "z"})

        def helper(x, power=2):
            return x ** power * RATE

        def by_rate(rate):
            def scaled(x):
                return x * rate
            return scaled

        def unused():
            return 1
    """,
    "own_strategy.py": """
        import functools, numpy as np, os
        from pathlib import Path
        import own_helper
        from own_helper import WEIGHTS, helper

        HERE = Path(__file__).parent / "prices.csv"
        scaled = own_helper.by_rate(5)
        _memo = {}
        _calls = 0
        lock = __import__("threading").Lock()

        class Score:
            unit = 1.0

            def __init__(self, fee, prices=(1.0, 2.0)):
                self.fee, self.prices, self.seen = fee, np.array(prices), []

            def __call__(self, params, data):
                global _calls
                _calls += 1
                with lock:
                    self.seen.append(params["x"])
                    if params["x"] not in _memo:
                        _memo[params["x"]] = helper(params["x"])
                return float(_memo[params["x"]] + scaled(1) + self.fee * self.cost() + WEIGHTS["a"] + self.prices[0] + len(str(HERE)))

            def cost(self):
                return 2 * self.unit

        def plain(params, data, cost=1):
            return helper(params["x"]) + cost

        def make(fee, table):
            def objective(params, data):
                return fee * params["x"] + len(table)
            return objective
    """,
}


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


def test_the_state_of_an_objective_is_looked_at_when_its_study_begins_and_not_before(tmp_path):
    tuner = rbt.Tuner(CountsLooks(), **tuner_arguments(tmp_path))
    assert CountsLooks.n == 0
    assert tuner.study.objective.name == "<CountsLooks>"
    tuner.fit()
    assert "the attribute `fee`" in tuner.study.objective.parts


class Stop(Exception):
    pass


def raise_stop():
    raise Stop


def written(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))


def edited(tmp_path, name, old, new):
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))


def differing(objective, tmp_path, name):
    """Runs a study; the warnings that files differ from what is imported, and the best score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = rbt.Tuner(objective, **tuner_arguments(tmp_path, name)).fit()
    found = [warning for warning in caught if "differ" in str(warning.message)]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message) for warning in found], results.get_dataframe()["score"].max()


def test_a_file_that_was_saved_after_it_was_imported_is_said_in_one_warning(tmp_path, load):
    written(tmp_path, BEFORE)
    score = load("own_strategy").Score(1)
    edited(tmp_path, "own_helper.py", "* RATE", "- RATE")
    [message], _ = differing(score, tmp_path, "study")
    assert "own_helper.py (`helper`) differs from what this process imported" in message
    assert "the modules that import from it" in message
    importlib.reload(sys.modules["own_helper"])
    assert len(differing(score, tmp_path, "by_the_old_name")[0]) == 1, "own_strategy holds the old `helper`"
    assert differing(load("own_strategy").Score(1), tmp_path, "again")[0] == []


def test_a_constant_that_was_saved_after_it_was_imported_is_said_until_its_module_is_loaded_again(tmp_path, load):
    written(tmp_path, BEFORE)
    strategy = load("own_strategy")
    edited(tmp_path, "own_helper.py", "RATE = 3", "RATE = 44")
    [message], best = differing(strategy.Score(1), tmp_path, "study")
    assert "own_helper.py (`RATE`) differs" in message
    assert best > 100, "workers run the file as it is"
    importlib.reload(sys.modules["own_helper"])
    assert differing(importlib.reload(strategy).Score(1), tmp_path, "fourth")[0] == []


EDITS = {
    "a function that is not reached": ("own_helper.py", "return 1", "return 2", None),
    "a docstring": ("own_helper.py", "def helper(x, power=2):", "def helper(x, power=2):\n    'About.'", None),
    "an annotation": ("own_helper.py", "def helper(x, power=2):", "def helper(x: int, power: int = 2) -> int:", None),
    "an annotation of a method": ("own_strategy.py", "def cost(self):", "def cost(self) -> float:", None),
    "a comment": ("own_helper.py", "RATE = 3", "# the rate\nRATE = 3  # percent", None),
    "a constant that is not reached": ("own_helper.py", 'SETS = frozenset({"x"', 'SETS = frozenset({"w"', None),
    "a dict": ("own_helper.py", "[1, 2]", "[1, 3]", "own_helper.py (`WEIGHTS`)"),
    "a method": ("own_strategy.py", "2 * self.unit", "3 * self.unit", "own_strategy.py (`Score`)"),
    "a class attribute": ("own_strategy.py", "unit = 1.0", "unit = 2.5", "own_strategy.py (`Score`)"),
    "a default": ("own_helper.py", "power=2", "power=3", "own_helper.py (`helper`)"),
    "a value that is made by a call": ("own_strategy.py", "by_rate(5)", "by_rate(6)", "own_strategy.py (`scaled`)"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_said_of_an_edit_between_two_studies(tmp_path, load, edit):
    name, old, new, message = EDITS[edit]
    written(tmp_path, BEFORE)
    score = load("own_strategy").Score(1)
    sources = own_sources()
    found = find(score).fingerprint
    assert changed_parts(found, sources) == {}
    edited(tmp_path, name, old, new)
    sources = own_sources()
    said = describe_changes(differs, sources) if (differs := changed_parts(found, sources)) else None
    assert (said is None) == (message is None), said
    assert message is None or message in said


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


SCORE = rbt.TuneConfig(metric="score")


def tuner_arguments(tmp_path, name="study"):
    return {"param_space": {"x": rbt.randint(0, 3)}, "run_config": quiet(tmp_path, name=name), "tune_config": SCORE}


STUDY = """
objective = "own_strategy:plain"
[space]
x = { grid_search = [1, 2, 3] }
[search]
metric = "score"
[run]
num_workers = 1
"""


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


KERNEL = """
import os
from numba import njit

@njit(cache=True)
def kernel(x):
    return x * {factor}.0

def objective(params, data):
    return {{"score": kernel(params["x"]), "pid": os.getpid()}}
"""


@pytest.mark.slow
def test_a_kernel_that_is_saved_while_a_study_runs_is_not_taken_for_the_one_it_began_with(tmp_path, load):
    module = tmp_path / "own_kernel.py"
    module.write_text(KERNEL.format(factor=2))
    save = Save(2, lambda: module.write_text(KERNEL.format(factor=3)))
    results = rbt.Tuner(
        load("own_kernel").objective,
        param_space={"x": rbt.randint(1, 13)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=4),
        run_config=quiet(tmp_path, num_workers=1, recycle_after=2, callbacks=[save]),
    ).fit()
    assert [result.metrics["score"] for result in results] == [2.0 * x for x in range(1, 13)], results.errors
    # numba keeps compiled kernels by their source's file: one of the old source must not be found for the new one.
    new = subprocess.run(
        [sys.executable, "-c", "import own_kernel; print(own_kernel.kernel(7))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert new.stdout == "21.0\n"


def test_a_function_that_a_decorator_rewrites_is_no_change_of_its_file(tmp_path, load):
    module = tmp_path / "own_rewriting.py"
    module.write_text(
        "def rewritten(function):\n"
        "    exec(compile('def objective(params, data): return 2.0', __file__, 'exec'), globals())\n"
        "    return globals()['objective']\n\n"
        "@rewritten\ndef objective(params, data):\n    return 1.0\n"
    )
    os.utime(module, (1e9, 1e9))
    objective = load("own_rewriting").objective
    assert differing(objective, tmp_path, "study") == ([], 2.0)
    os.utime(module)  # of a file from after the start of this process it is not known
    messages, best = differing(objective, tmp_path, "again")
    assert (len(messages), best) == (1, 2.0)


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

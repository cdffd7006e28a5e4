"""A study warns of files that differ from the imported code, if the objective reaches the difference."""

import importlib
import os
import sys
import warnings

import pytest

import rbt_ray as rbt
from rbt_ray.objectives.address import locate
from rbt_ray.objectives.fingerprint.own_code import own_sources
from rbt_ray.tuner.same_objective import changed_parts, describe_changes
from tests.end_to_end.own_strategy import BEFORE, edited, tuner_arguments, written


def differing(objective, tmp_path, name):
    """Runs a study; the warnings that files differ from what is imported, and the best score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = rbt.Tuner(objective, **tuner_arguments(tmp_path, name)).fit()
    found = [warning for warning in caught if "differ" in str(warning.message)]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message) for warning in found], results.get_dataframe()["score"].max()


def test_a_file_saved_after_its_import_gives_one_warning(tmp_path, load):
    written(tmp_path, BEFORE)
    score = load("own_strategy").Score(1)
    edited(tmp_path, "own_helper.py", "* RATE", "- RATE")
    [message], _ = differing(score, tmp_path, "study")
    assert "own_helper.py (`helper`) differs from what this process imported" in message
    assert "the modules that import from it" in message
    importlib.reload(sys.modules["own_helper"])
    assert len(differing(score, tmp_path, "by_the_old_name")[0]) == 1, "own_strategy holds the old `helper`"
    assert differing(load("own_strategy").Score(1), tmp_path, "again")[0] == []


def test_a_constant_saved_after_its_import_gives_a_warning_until_the_module_is_reloaded(tmp_path, load):
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
def test_a_warning_describes_an_edit_between_two_studies(tmp_path, load, edit):
    name, old, new, message = EDITS[edit]
    written(tmp_path, BEFORE)
    score = load("own_strategy").Score(1)
    sources = own_sources()
    found = locate(score).fingerprint
    assert changed_parts(found, sources) == {}
    edited(tmp_path, name, old, new)
    sources = own_sources()
    said = describe_changes(differs, sources) if (differs := changed_parts(found, sources)) else None
    assert (said is None) == (message is None), said
    assert message is None or message in said


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

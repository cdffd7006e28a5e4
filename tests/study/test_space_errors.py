"""What a user can get wrong in a space, each with its sentence."""

import decimal
import math
import re

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError, SpaceError
from rbt_ray.study.conditions import Compare
from rbt_ray.study.primitives import qlograndint, qloguniform, qnormal
from rbt_ray.study.space import Space

DOMAINS = {
    "empty choice": (lambda: rbt.choice([]), "`choice(options)` needs at least one option; got []."),
    "empty grid_search": (lambda: rbt.grid_search(()), "`grid_search(values)` needs at least one option; got ()."),
    "choice of text": (lambda: rbt.choice("sma"), "takes a list; got 'sma' of type str. For a single option write `choice(['sma'])`."),
    "choice of a number": (lambda: rbt.choice(3), "takes a list; got 3 of type int. For a single option write `choice([3])`."),
    "choice of a set": (lambda: rbt.choice({3}), "A set has no order, so runs would not be repeatable: sort it into a list."),
    "choice of an iterator": (lambda: rbt.choice(iter([1])), "Write `choice(list(...))`."),
    "choice of domains": (lambda: rbt.choice([1, rbt.randint(0, 3)]), "takes plain options, and option 2 is a domain"),
    "uniform the wrong way": (lambda: rbt.uniform(2, 1), "needs lower < upper; got lower=2, upper=1."),
    "uniform of nothing": (lambda: rbt.uniform(1, 1), "For a fixed value write the value itself."),
    "uniform to NaN": (lambda: rbt.uniform(0, math.nan), "`upper` of `uniform` is a finite number; got nan of type float."),
    "uniform from -inf": (lambda: rbt.uniform(-math.inf, 0), "`lower` of `uniform` is a finite number; got -inf"),
    "uniform of text": (lambda: rbt.uniform("0", 1), "`lower` of `uniform` is a finite number; got '0' of type str."),
    "uniform of a bool": (lambda: rbt.uniform(False, 1), "is a finite number; got False of type bool."),
    "uniform of a Decimal": (lambda: rbt.uniform(decimal.Decimal(0), 1), "got Decimal('0') of type Decimal."),
    "uniform over all floats": (lambda: rbt.uniform(-1.7e308, 1.7e308), "is wider than a float can hold; narrow it."),
    "loguniform from 0": (lambda: rbt.loguniform(0, 1), "`lower` of `loguniform` is above 0, since it is drawn by its logarithm; got 0.0."),
    "loguniform of logarithms": (lambda: rbt.loguniform(-4, -1), "Give the value itself, not its logarithm"),
    "quniform from between": (lambda: rbt.quniform(0.25, 1, 0.1), "`lower` of `quniform` is a multiple of q; got lower=0.25, q=0.1: 2.5 steps."),
    "quniform to between": (lambda: rbt.quniform(0, 1.05, 0.1), "`upper` of `quniform` is a multiple of q; got upper=1.05"),
    "quniform by 0": (lambda: rbt.quniform(0, 1, 0), "`q` of `quniform` is the step between values, above 0; got 0."),
    "quniform by NaN": (lambda: rbt.quniform(0, 1, math.nan), "`q` of `quniform` is a finite number; got nan"),
    "quniform by next to nothing": (lambda: rbt.quniform(0, 1, 1e-300), "can be told apart"),
    "qloguniform from 0": (lambda: qloguniform(0, 1, 0.1), "`lower` of `qloguniform` is above 0"),
    "randint of floats": (lambda: rbt.randint(5.0, 60), "`lower` of `randint` is an int; got 5.0 of type float. For floats use `uniform` or `quniform`."),
    "randint of bools": (lambda: rbt.randint(False, 3), "`lower` of `randint` is an int; got False of type bool."),
    "randint of nothing": (lambda: rbt.randint(5, 5), "`randint` has no value to draw from lower=5, upper=5: `upper` itself is never drawn."),
    "randint the wrong way": (lambda: rbt.randint(60, 5), "no value to draw from lower=60, upper=5"),
    "randint too far": (lambda: rbt.randint(0, 2**60), "can be told apart"),
    "lograndint from 0": (lambda: rbt.lograndint(0, 5), "`lower` of `lograndint` is at least 1"),
    "lograndint of floats": (lambda: rbt.lograndint(1.5, 5), "For floats use `loguniform`."),
    "qrandint by 0": (lambda: rbt.qrandint(0, 5, 0), "`q` of `qrandint` is the step between values, at least 1; got 0."),
    "qrandint without a multiple": (lambda: rbt.qrandint(11, 19, 10), "no multiple of q=10 lies between them."),
    "qlograndint by a float": (lambda: qlograndint(1, 9, 0.5), "`q` of `qlograndint` is an int; got 0.5"),
    "normal without spread": (lambda: rbt.normal(0, 0), "`sd` of `normal` is above 0; got 0."),
    "normal around NaN": (lambda: rbt.normal(math.nan, 1), "`mean` of `normal` is a finite number; got nan"),
    "qnormal by -1": (lambda: qnormal(0, 1, -1), "`q` of `qnormal` is the step between values, above 0; got -1."),
}  # fmt: skip

SPACES = {
    "a list": ([rbt.randint(0, 3)], "`param_space` is a dict such as {'fast': rbt.randint(5, 60)}"),
    "nothing": (None, "or a ConfigSpace.ConfigurationSpace; got None of type NoneType."),
    "a number for a name": ({5: 1}, "have names of type str; got 5 of type int."),
    "a number for a name, nested": ({"opt": {5: 1}}, "parameters in `opt` have names of type str; got 5"),
    "a slash in a name": ({"opt/lr": 1}, "no '/', which joins the names of nested dicts; got 'opt/lr'."),
    "an empty name": ({"": 1}, "has at least one letter"),
    "a lambda": ({"x": lambda config: 3}, "as with Ray Tune's `sample_from`, is not supported"),
    "a function": ({"x": {"y": math.sqrt}}, "`x/y` is <built-in function sqrt> of type builtin_function_or_method."),
    "an array": ({"x": np.arange(3)}, "To try its values one by one, write {'x': choice(list(...))}."),
    "a range": ({"x": range(3)}, "`x` is range(0, 3) of type range. To try its values one by one"),
    "a domain in a list": ({"x": [rbt.randint(0, 3)]}, "Domains nest in dicts only, not in lists or tuples"),
    "an object": ({"x": object()}, "to pass an object as it is, write choice([object])."),
    "an empty grid_search": ({"x": {"grid_search": []}}, "`x`: `grid_search(values)` needs at least one option"),
}  # fmt: skip

SPACE = Space.of(
    {"windows": {"fast": rbt.randint(5, 60), "slow": rbt.randint(20, 250)}, "ma": rbt.choice(["a", "b"]), "fee": 5}
)
GOOD = {"windows": {"fast": 5, "slow": 20}, "ma": "a"}
CONFIGS = {
    "too much": ({**GOOD, "windows": {"fast": 60, "slow": 20}}, "`windows/fast` takes whole numbers from 5 to 59; got 60 in"),
    "a float": ({**GOOD, "windows": {"fast": 5.5, "slow": 20}}, "`windows/fast` takes whole numbers from 5 to 59; got 5.5"),
    "no such option": ({**GOOD, "ma": "c"}, "`ma` takes one of 'a', 'b'; got 'c' in the config"),
    "a part": ({"windows": {"fast": 5}, "ma": "a"}, "lacks `windows/slow`; give every parameter a value. `windows/slow` takes whole"),
    "a misspelt name": ({**GOOD, "mma": "a"}, "has `mma`, which is not a parameter; did you mean 'ma'?"),
    "a misspelt nested name": ({**GOOD, "windows": {"fsat": 5}}, "has `fsat`, which is not a parameter; did you mean 'fast'?"),
    "a value for a group": ({**GOOD, "windows": 5}, "`windows` of the config"),
    "another constant": ({**GOOD, "fee": 6}, "`fee` is always 5; got 6"),
    "a list": ([1, 2], "is a dict of parameters; got [1, 2] of type list."),
}  # fmt: skip


def refused(sentence):
    return pytest.raises(SpaceError, match=re.escape(sentence))


@pytest.mark.parametrize(("make", "sentence"), DOMAINS.values(), ids=DOMAINS)
def test_domains(make, sentence):
    with refused(sentence):
        make()


@pytest.mark.parametrize(("written", "sentence"), SPACES.values(), ids=SPACES)
def test_spaces(written, sentence):
    with refused(sentence):
        Space.of(written)


@pytest.mark.parametrize(("config", "sentence"), CONFIGS.values(), ids=CONFIGS)
def test_configs(config, sentence):
    with refused(sentence):
        SPACE.encode([GOOD, config])


def test_what_a_condition_leaves_out_is_refused():
    space = Space(("a", "b"), (rbt.randint(0, 3), rbt.randint(0, 3)), conditions=(("b", Compare("a", "==", 1.0)),))
    with refused("{'a': 0, 'b': 2} has `b`, which a condition leaves out"):
        space.encode([{"a": 0, "b": 2}])
    with refused("{'a': 1} lacks `b`"):
        space.encode([{"a": 1}])


def test_forbidden_points_are_refused():
    space = Space(("a",), (rbt.randint(0, 3),), forbidden=(Compare("a", "==", 1.0),))
    with refused("the config {'a': 1} is forbidden by a clause of the space; leave it out."):
        space.encode([{"a": 0}, {"a": 1}])


def test_a_grid_of_continuous_domains_is_refused():
    space = Space.of({"fast": rbt.randint(0, 5), "lr": rbt.loguniform(1e-3, 1)})
    with refused(
        "`lr` is loguniform and takes infinitely many values, so there is no grid. Write `grid_search([...])`"
    ):
        space.grid_size


def test_all_of_these_are_input_errors():
    assert issubclass(SpaceError, InputError)

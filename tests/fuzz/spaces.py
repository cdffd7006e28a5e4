"""Parameter spaces in Python: domains, nested dicts, unusual values, ConfigSpace with conditions."""

import json
import warnings

import ConfigSpace as cs
import numpy as np
from ConfigSpace import ConfigurationSpace
from hypothesis import strategies as st

from rbt_ray.errors import SpaceError
from rbt_ray.study import space as words
from rbt_ray.study.space import Space
from tests.fuzz.hostile import NUMBERS, SCALARS, TEXTS, VALUES, refused

_WORDS = ["uniform", "quniform", "loguniform", "randint", "qrandint", "lograndint", "normal", "choice", "grid_search"]
_OBJECTS = st.sampled_from(
    [
        object(),
        print,
        Space,
        b"bytes",
        np.float64(2),
        np.int8(3),
        np.str_("x"),
        np.array([1, 2]),
        np.datetime64("NaT"),
        None,
        1 + 2j,
        {1, 2},
        frozenset("ab"),
        range(3),
        (1, (2, 3)),
        {"a": {"b": []}},
        np.float32("nan"),
        ...,
    ]
)
_ANY = st.one_of(NUMBERS, NUMBERS, VALUES, _OBJECTS)


@st.composite
def _calls(draw):
    """A word with arguments: likely ones, most of the time."""
    word = draw(st.sampled_from(_WORDS))
    if draw(st.sampled_from([True, True, True, False])):
        low = draw(st.integers(1, 20))
        likely = {"choice": [[low, "a", None]], "grid_search": [[low, low + 1]], "normal": [low, 0.5]}
        arguments = likely.get(word, [low, low + draw(st.sampled_from([1, 9, 2**49]))])
        arguments += [draw(st.sampled_from([1, 2, 0.5]))] if word.startswith("q") else []
        if draw(st.sampled_from([False, False, False, True])):
            arguments[draw(st.integers(0, len(arguments) - 1))] = draw(_ANY)
    else:
        arguments = draw(st.lists(_ANY, min_size=1, max_size=3))
    return word, arguments


_FEW, _MORE = st.integers(1, 3), st.integers(4, 9)
_sound_names = st.sampled_from(["x", "y", "opt", "window", *"abcdef"])
_names = st.integers(0, 15).flatmap(lambda n: _sound_names if n else st.one_of(TEXTS, NUMBERS))
_leaves = st.integers(0, 7).flatmap(lambda n: _calls() if n else _ANY)
_trees = st.recursive(_leaves, lambda inner: st.dictionaries(_names, inner, max_size=4), max_leaves=6)
_dicts = st.dictionaries(_names, _trees, max_size=4)


@st.composite
def _recipes(draw):
    """What a ConfigSpace is made of: parameters, then conditions and forbidden clauses between some of them."""
    kinds = st.sampled_from(["int", "float", "cat", "ord", "const", "normal", "beta"])
    parameters = draw(
        st.lists(
            st.tuples(kinds, st.one_of(_FEW, _FEW, SCALARS), st.one_of(_MORE, _MORE, NUMBERS), st.booleans()),
            max_size=4,
        )
    )
    clauses = st.tuples(
        st.sampled_from(["equals", "in", "less", "greater", "forbid", "forbid_in", "relation", "and"]),
        st.integers(0, 3), st.integers(0, 3), st.one_of(_FEW, _FEW, SCALARS),
    )  # fmt: skip
    return "configspace", parameters, draw(st.lists(clauses, max_size=3))


CASES = st.one_of(_dicts, _dicts, _dicts, _recipes(), _recipes(), _ANY)


def check(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(case, tuple) and case and case[0] == "configspace":
            try:
                made = _configspace(*case[1:])
            except Exception:  # ConfigSpace refuses its own way
                return True
            return refused(lambda: _use(Space.of(made)))
        return refused(lambda: _use(Space.of(_made(case))))


def _made(case):
    if isinstance(case, dict):
        return {name: _made(value) for name, value in case.items()}
    if isinstance(case, tuple) and len(case) == 2 and case[0] in _WORDS and isinstance(case[1], list):
        word, arguments = case
        make = getattr(words, word)
        try:
            return make(*arguments)
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            raise SpaceError("the number of arguments is Python's to check.") from None
    return case


def _configspace(parameters, clauses):
    space = ConfigurationSpace(seed=1)
    made = []
    for number, (kind, a, b, log) in enumerate(parameters):
        name = f"p{number}"
        match kind:
            case "int":
                made.append(cs.UniformIntegerHyperparameter(name, int(a), int(b), log=log))
            case "float":
                made.append(cs.UniformFloatHyperparameter(name, float(a), float(b), log=log))
            case "cat":
                made.append(cs.CategoricalHyperparameter(name, [a, "x", b], weights=[1, 2, 3] if log else None))
            case "ord":
                made.append(cs.OrdinalHyperparameter(name, [a, b]))
            case "const":
                made.append(cs.Constant(name, a))
            case "normal":
                made.append(cs.NormalFloatHyperparameter(name, 0.5, float(a), lower=0.0, upper=float(b)))
            case "beta":
                made.append(cs.BetaFloatHyperparameter(name, abs(float(a)), abs(float(b)), lower=0.0, upper=1.0))
    for one in made:
        space.add(one)
    for kind, i, j, value in clauses:
        child, parent = made[i], made[j]
        match kind:
            case "equals":
                space.add(cs.EqualsCondition(child, parent, value))
            case "in":
                space.add(cs.InCondition(child, parent, [value]))
            case "less":
                space.add(cs.LessThanCondition(child, parent, value))
            case "greater":
                space.add(cs.GreaterThanCondition(child, parent, value))
            case "forbid":
                space.add(cs.ForbiddenEqualsClause(parent, value))
            case "forbid_in":
                space.add(cs.ForbiddenInClause(parent, [value]))
            case "relation":
                space.add(cs.ForbiddenGreaterThanRelation(child, parent))
            case "and":
                parts = cs.ForbiddenEqualsClause(child, value), cs.ForbiddenEqualsClause(parent, value)
                space.add(cs.ForbiddenAndConjunction(*parts))
    return space


def _use(space):
    """Uses the space as a study does."""
    n = space.n_params
    points = space.canonical(space.from_unit(np.random.default_rng(0).random((4, n))))
    assert points.shape == (4, n)
    allowed = points[space.allowed(points)]
    assert np.array_equal(space.encode(space.decode(allowed)), allowed + 0.0, equal_nan=True)
    assert len(space.digests(points)) == 4
    levels = space.to_unit(points)
    assert ((levels >= 0) & (levels < 1) | np.isnan(levels)).all()
    if space.is_finite and space.grid_size > 0:
        assert space.grid(0, 3).shape == (min(3, space.grid_size), n)
        assert space.grid(space.grid_size - 1, space.grid_size).shape == (1, n)
    read = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert read.fingerprint == space.fingerprint

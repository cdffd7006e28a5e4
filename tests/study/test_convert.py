"""Spaces of ConfigSpace and Ray Tune, held against those libraries themselves."""

import itertools
import json
import pickle
import re

import ConfigSpace as CS
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune
from scipy import stats

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.study.space import Space


def plain(configuration):
    """A Configuration as plain Python values."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in dict(configuration).items()}


def every_kind():
    space = CS.ConfigurationSpace(seed=3)
    space.add(
        CS.Float("uniform", (-1.0, 2.0)),
        CS.Float("loguniform", (1e-4, 1e2), log=True),
        CS.Float("normal", (-1.0, 3.0), distribution=CS.Normal(0.5, 1.5)),
        CS.Float("lognormal", (1.0, 100.0), distribution=CS.Normal(10.0, 5.0), log=True),
        CS.Float("beta", (0.0, 4.0), distribution=CS.Beta(2.0, 5.0)),
        CS.Integer("randint", (5, 60)),
        CS.Integer("lograndint", (1, 1000), log=True),
        CS.Integer("normalint", (-5, 20), distribution=CS.Normal(3, 4)),
        CS.Integer("betaint", (0, 9), distribution=CS.Beta(3, 2)),
        CS.Categorical("choice", ["sma", "ema", "wma"]),
        CS.Categorical("weighted", [1, 2, 3], weights=[0.2, 0.5, 0.3]),
        CS.OrdinalHyperparameter("ordinal", ["low", "middle", "high"]),
        CS.Constant("constant", "USD"),
    )
    return space


def conditional():
    space = CS.ConfigurationSpace(seed=5)
    kind = CS.Categorical("kind", ["sma", "rsi", "none"])
    fast, slow = CS.Integer("fast", (1, 4)), CS.Integer("slow", (2, 5))
    level = CS.OrdinalHyperparameter("level", ["low", "middle", "high"], default_value="middle")
    smooth = CS.Categorical("smooth", [True, False])
    span = CS.Integer("span", (1, 4))
    tail = CS.Categorical("tail", ["x", "y"])
    fixed = CS.Constant("fixed", 7)
    space.add(kind, fast, slow, level, smooth, span, tail, fixed)
    space.add(
        CS.InCondition(fast, kind, ["sma", "rsi"]),
        CS.EqualsCondition(slow, kind, "sma"),
        CS.AndConjunction(CS.NotEqualsCondition(smooth, kind, "none"), CS.GreaterThanCondition(smooth, level, "low")),
        CS.OrConjunction(CS.EqualsCondition(span, smooth, True), CS.LessThanCondition(span, fast, 3)),
        CS.NotEqualsCondition(tail, span, 2),  # holds where span is inactive
        CS.EqualsCondition(fixed, kind, "rsi"),
    )
    space.add(
        CS.ForbiddenGreaterThanRelation(fast, slow),
        CS.ForbiddenEqualsRelation(fast, slow),
        CS.ForbiddenAndConjunction(CS.ForbiddenEqualsClause(kind, "rsi"), CS.ForbiddenInClause(level, ["low", "high"])),
        CS.ForbiddenEqualsClause(span, 4),
    )
    return space


def relations(kind, default):
    """Two parameters that a forbidden relation compares by value."""
    space = CS.ConfigurationSpace(seed=1)
    a, b = CS.Categorical("a", [10, 2, 3], default=default[0]), CS.Integer("b", (1, 10), default=default[1])
    c = CS.Categorical("c", ["p", "x", "q"], default=default[2])
    d = CS.OrdinalHyperparameter("d", ["z", "q", "a"], default_value=default[3])
    space.add(a, b, c, d, getattr(CS, f"Forbidden{kind}Relation")(a, b), getattr(CS, f"Forbidden{kind}Relation")(c, d))
    return space


SPACES = {
    "every kind": every_kind,
    "conditional": conditional,
    "less": lambda: relations("LessThan", (10, 1, "x", "a")),
    "greater": lambda: relations("GreaterThan", (2, 10, "p", "z")),
    "equal": lambda: relations("Equals", (10, 1, "p", "z")),
}


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
def test_what_configspace_draws_is_ours(make):
    theirs = make()
    space = Space.of(theirs)
    configs = [plain(configuration) for configuration in theirs.sample_configuration(300)]
    again = space.decode(space.encode(configs))
    for config, other in zip(configs, again, strict=True):
        assert other.keys() == config.keys()
        for name, value in config.items():  # a logarithm and back may change the last digits of a float
            assert other[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_we_draw_is_legal_in_configspace(make, seed):
    theirs = make()
    space = Space.of(theirs)
    points = space.canonical(space.from_unit(np.random.default_rng(seed).random((40, space.n_params))))
    allowed = space.allowed(points)
    for config, is_allowed in zip(space.decode(points), allowed.tolist(), strict=True):
        if is_allowed:
            CS.Configuration(theirs, values=dict(config)).check_valid_configuration()
        else:
            with pytest.raises(CS.exceptions.ForbiddenValueError):
                CS.Configuration(theirs, values=dict(config)).check_valid_configuration()


ABSENT = object()


def legal(theirs):
    """The configs that ConfigSpace accepts, of all there could be: each parameter with each value, or without one."""
    values = []
    for name, hyperparameter in theirs.items():
        if isinstance(hyperparameter, CS.UniformIntegerHyperparameter):
            options = range(hyperparameter.lower, hyperparameter.upper + 1)
        else:
            options = (
                getattr(hyperparameter, "choices", None)
                or getattr(hyperparameter, "sequence", None)
                or [hyperparameter.value]
            )
        values.append([*options, ABSENT] if name in theirs.conditional_hyperparameters else options)
    for row in itertools.product(*values):
        config = {name: value for name, value in zip(theirs, row, strict=True) if value is not ABSENT}
        try:
            CS.Configuration(theirs, values=config).check_valid_configuration()
        except (
            CS.exceptions.ForbiddenValueError,
            CS.exceptions.ActiveHyperparameterNotSetError,
            CS.exceptions.InactiveHyperparameterSetError,
        ):
            continue
        yield json.dumps(config, sort_keys=True)


@pytest.mark.parametrize("name", ["conditional", "less", "greater", "equal"])
def test_the_configs_are_those_that_configspace_accepts(name):
    theirs = SPACES[name]()
    space = Space.of(theirs)
    expected = set(legal(theirs))
    rows = space.grid(0, space.grid_size)
    rows = space.canonical(rows[space.allowed(rows) & space.is_representative(rows)])
    assert {json.dumps(config, sort_keys=True) for config in space.decode(rows)} == expected
    assert space.size == len(rows) == len(expected)
    assert space.grid_size == theirs.estimate_size()


def test_the_size_without_conditions_is_configspaces():
    theirs = CS.ConfigurationSpace({"a": (1, 9), "b": ["x", "y"], "c": CS.OrdinalHyperparameter("c", [1, 5]), "d": 3})
    assert Space.of(theirs).size == theirs.estimate_size() == 36


# At 5,000 draws of a fixed seed equal distributions are refused with a probability of 1 %.
@pytest.mark.parametrize("name", ["uniform", "loguniform", "normal", "lognormal", "beta"])
def test_floats_are_distributed_as_configspaces(name):
    theirs = every_kind()
    space = Space.of(theirs)
    ours = space.domains[space.names.index(name)].from_unit(np.random.default_rng(4).random(5000))
    drawn = theirs[name].sample_value(5000, seed=np.random.RandomState(4))
    assert stats.ks_2samp(ours, drawn).pvalue > 0.01


@pytest.mark.parametrize("name", ["randint", "normalint", "betaint", "choice", "weighted", "ordinal"])
def test_discrete_values_are_distributed_as_configspaces(name):
    theirs = every_kind()
    space = Space.of(theirs)
    domain = space.domains[space.names.index(name)]
    ours = domain.from_unit((np.arange(20_000) + 0.5) / 20_000)
    drawn = theirs[name].sample_value(20_000, seed=np.random.RandomState(4))
    drawn = np.array([domain.to_column(value) for value in drawn.tolist()])
    values = np.unique(np.concatenate([ours, drawn]))
    shares = [np.array([(column == value).mean() for value in values]) for column in (ours, drawn)]
    # five standard errors of a share of 20,000 draws, and what ConfigSpace's discretising of a prior does differently
    assert abs(shares[0] - shares[1]).max() < 5 * 0.5 / 20_000**0.5 + 0.01 * (name in ("normalint", "betaint"))


def test_every_kind_keeps_its_bounds_and_name():
    space = Space.of(every_kind())
    assert space.constants == {"constant": "USD"}
    held = {parameter["name"]: parameter for parameter in space.to_json()["parameters"]}
    assert {name: parameter["kind"] for name, parameter in held.items()} == {
        **dict.fromkeys(["uniform", "normal", "beta"], "uniform"),
        **dict.fromkeys(["loguniform", "lognormal"], "loguniform"),
        **dict.fromkeys(["randint", "normalint", "betaint"], "randint"),
        **dict.fromkeys(["choice", "weighted"], "choice"),
        "lograndint": "lograndint",
        "ordinal": "ordinal",
    }
    assert (held["randint"]["lower"], held["randint"]["upper"]) == (5, 60)
    assert space.decode(space.from_unit(np.full((1, 12), 0.5)))[0]["constant"] == "USD"


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
def test_nothing_of_configspace_is_left_inside(make):
    space = Space.of(make())
    assert b"ConfigSpace" not in pickle.dumps(space)
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.fingerprint == space.fingerprint


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CS.ConfigurationSpace({"opt/lr": (0.0, 1.0)}), "of the ConfigurationSpace has at least one letter and no '/'"),
        (lambda: {"part": CS.ConfigurationSpace({"x": (0, 1)})}, "is the whole `param_space`, not a part of a dict"),
        (lambda: far_prior(), "`x`: a normal distribution with mean 99"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted(make, sentence):
    with pytest.raises(SpaceError, match=re.escape(sentence)):
        Space.of(make())


def far_prior():
    space = CS.ConfigurationSpace()
    space.add(CS.Float("x", (0.0, 1.0), distribution=CS.Normal(99.0, 1.0), default=0.5))
    return space


TUNE = {
    "uniform": (tune.uniform(-1, 2), rbt.uniform(-1, 2)),
    "quniform": (tune.quniform(0, 1, 0.1), rbt.quniform(0, 1, 0.1)),
    "loguniform": (tune.loguniform(1e-3, 1e2), rbt.loguniform(1e-3, 1e2)),
    "randint": (tune.randint(3, 9), rbt.randint(3, 9)),
    "lograndint": (tune.lograndint(1, 9), rbt.lograndint(1, 9)),
    "qrandint": (tune.qrandint(5, 42, 10), rbt.qrandint(5, 42, 10)),
    "qrandint by 1": (tune.qrandint(3, 9), rbt.qrandint(3, 9)),
    "randn": (tune.randn(2, 3), rbt.normal(2, 3)),
    "choice": (tune.choice(["a", 1, None]), rbt.choice(["a", 1, None])),
    "grid_search": (tune.grid_search([1, 2, 4]), rbt.grid_search([1, 2, 4])),
    "float without a sampler": (tune.search.sample.Float(0, 3), rbt.uniform(0, 3)),
}


@pytest.mark.parametrize(("theirs", "ours"), TUNE.values(), ids=TUNE)
def test_tune_domains_are_ours(theirs, ours):
    assert Space.of({"x": theirs, "y": {"z": theirs}}) == Space.of({"x": ours, "y": {"z": ours}})


SAMPLED = {
    **{name: theirs for name, (theirs, _) in TUNE.items() if name not in ("grid_search", "quniform")},
    "qlograndint": tune.qlograndint(5, 100, 5),
    "qlograndint by 1": tune.qlograndint(1, 9, 1),
}


@pytest.mark.parametrize("theirs", SAMPLED.values(), ids=SAMPLED)
def test_tune_domains_are_distributed_as_tunes_own(theirs):
    domain = Space.of({"x": theirs}).domains[0]
    drawn = np.array(
        [domain.to_column(value) for value in theirs.sample(size=4000, random_state=np.random.default_rng(8))]
    )
    assert not np.equal(drawn, None).any()  # whatever Tune draws is a value of ours
    levels = (np.arange(4000) + 0.5) / 4000
    ours = domain.from_unit(levels)
    if domain.n_values is None:
        # 4,000 draws of a fixed seed; equal distributions are refused with a probability of 1 %
        assert stats.ks_2samp(ours, drawn.astype(float)).pvalue > 0.01
    else:
        values, counts = np.unique(ours, return_counts=True)
        seen, seen_counts = np.unique(drawn.astype(float), return_counts=True)
        assert seen.tolist() == values.tolist()
        assert abs(counts - seen_counts).max() < 5 * 0.5 * 4000**0.5  # five standard errors


@pytest.mark.parametrize(
    "theirs",
    [tune.quniform(-1, 1, 0.25), tune.qloguniform(0.1, 10, 0.1), tune.qrandn(0, 1, 0.5)],
    ids=["quniform", "qloguniform", "qrandn"],  # their own texts hold addresses
)
def test_tune_quantized_floats_have_the_same_values(theirs):
    # Tune gives the two outermost values half the weight of the others; here each is drawn as often.
    domain = Space.of({"x": theirs}).domains[0]
    drawn = [domain.to_column(value) for value in theirs.sample(size=4000, random_state=np.random.default_rng(8))]
    assert None not in drawn
    ours = set(domain.to_python(domain.from_unit((np.arange(20_000) + 0.5) / 20_000)))
    assert set(drawn) <= ours
    if domain.n_values is not None:
        assert len(ours) == domain.n_values
        assert min(drawn) == min(ours)
        assert max(drawn) == max(ours)


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        (tune.sample_from(lambda config: 3), "`opt/x`: `sample_from` is not supported"),
        (tune.randint(5, 5), "`opt/x`: `randint` has no value to draw from lower=5, upper=5"),
        (tune.choice([]), "`opt/x`: `choice(options)` needs at least one option"),
    ],
)
def test_tune_domains_that_are_refused(domain, sentence):
    with pytest.raises(SpaceError, match=re.escape(sentence)):
        Space.of({"opt": {"x": domain}})

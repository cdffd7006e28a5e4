"""Configs have Ray Tune's number and order; without random draws, Ray's own generator is the oracle."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune as ray_tune
from ray.tune.search.variant_generator import generate_variants

from rbt_ray import tune
from rbt_ray.compat.ray_tune.spaces import generate_samples
from rbt_ray.errors import SpaceError


def rays(space, num_samples=1):
    return [spec for _ in range(num_samples) for _, spec in generate_variants(space)]


GRIDS = st.recursive(
    st.one_of(
        st.integers(0, 9),
        st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(lambda values: {"grid_search": values}),
    ),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(space=st.dictionaries(st.sampled_from("xyz"), GRIDS, min_size=1), n=st.integers(1, 2))
def test_grids_come_in_rays_order_each_as_often_as_asked(space, n):
    assert generate_samples(space, n, 0) == rays(space, n)


def test_each_repeat_of_a_grid_draws_the_random_domains_again():
    space = {"act": tune.grid_search(["relu", "tanh"]), "lr": tune.loguniform(1e-4, 1e-1), "steps": 5}
    samples = generate_samples(space, 50, 3)
    assert [sample["act"] for sample in samples] == ["relu", "tanh"] * 50
    assert len({sample["lr"] for sample in samples}) == 100
    assert all(1e-4 <= sample["lr"] <= 1e-1 and sample["steps"] == 5 for sample in samples)


def test_one_draw_serves_all_combinations_of_a_constant_grid_search():
    space = {"act": tune.grid_search([1, 2, 3]), "lr": tune.uniform(0, 1)}
    samples = generate_samples(space, 4, 3, constant_grid_search=True)
    assert [len({sample["lr"] for sample in samples[i : i + 3]}) for i in range(0, 12, 3)] == [1] * 4
    assert len({sample["lr"] for sample in samples}) == 4


@pytest.mark.parametrize(
    ("domain", "right"),
    [
        (tune.uniform(-1, 2), lambda v: -1 <= v <= 2),
        (tune.quniform(0, 1, 0.25), lambda v: v in (0, 0.25, 0.5, 0.75, 1)),
        (tune.loguniform(1e-3, 1), lambda v: 1e-3 <= v <= 1),
        (tune.qloguniform(0.1, 10, 0.1), lambda v: abs(v * 10 - round(v * 10)) < 1e-9 and 0.1 <= v <= 10),
        (tune.randint(3, 6), lambda v: v in (3, 4, 5)),
        (tune.qrandint(0, 10, 5), lambda v: v in (0, 5, 10)),
        (tune.lograndint(1, 8), lambda v: v in range(1, 8)),
        (tune.qlograndint(2, 8, 2), lambda v: v in (2, 4, 6, 8)),
        (tune.qrandn(0, 10, 0.5), lambda v: (v * 2) == round(v * 2)),
        (tune.randn(5, 1), lambda v: isinstance(v, float)),
        (tune.choice(["a", "b"]), lambda v: v in ("a", "b")),
    ],
)
def test_our_domains_draw_as_rays_do(domain, right):
    values = [sample["v"] for sample in generate_samples({"v": domain}, 200, 1)]
    assert all(right(value) for value in values)
    assert len(set(values)) > 1
    for kind in ("uniform", "randint"):
        assert generate_samples({"v": getattr(tune, kind)(0, 9)}, 20, 5) == generate_samples(
            {"v": getattr(ray_tune, kind)(0, 9)}, 20, 5
        )


def test_normal_draws_have_their_mean_and_deviation():
    values = np.array([sample["v"] for sample in generate_samples({"v": tune.randn(5, 2)}, 2000, 1)])
    assert abs(values.mean() - 5) < 6 * 2 / 2000**0.5
    assert abs(values.std() - 2) < 6 * 2 / 4000**0.5  # a deviation's own is sd / sqrt(2 n)


@pytest.mark.parametrize("words", [tune, ray_tune], ids=["ours", "rays"])
@pytest.mark.parametrize(
    "double",
    [lambda spec: spec.config.x * 2, lambda spec: spec.config["x"] * 2, lambda config: config["x"] * 2],
)
def test_functions_see_what_was_chosen_before_them(words, double):
    space = {"y": words.sample_from(double), "x": words.grid_search([1, 2]), "z": words.sample_from(lambda: 7)}
    assert generate_samples(space, 1, 0) == [{"x": 1, "y": 2, "z": 7}, {"x": 2, "y": 4, "z": 7}]


def test_spaces_nest_and_depend_on_one_another():
    space = {
        "model": {"kind": tune.choice(["tree", "net"]), "depth": tune.sample_from(lambda c: c["model"]["width"] + 1)},
        "optimizer": tune.choice([{"name": "sgd", "lr": tune.uniform(0, 1)}, {"name": "adam"}]),
        "layers": [tune.randint(1, 4), tune.randint(4, 8)],
    }
    space["model"]["width"] = tune.sample_from(lambda spec: 2 if spec.config.model.kind == "tree" else 64)
    samples = generate_samples(space, 60, 1)
    assert {(s["model"]["kind"], s["model"]["depth"]) for s in samples} == {("tree", 3), ("net", 65)}
    assert all(0 <= s["optimizer"]["lr"] <= 1 for s in samples if s["optimizer"]["name"] == "sgd")
    assert all(1 <= s["layers"][0] < 4 <= s["layers"][1] < 8 for s in samples)


@pytest.mark.parametrize(
    "space",
    [
        {"a": (ray_tune.choice([7]), 3)},
        {"a": ({"grid_search": [1, 2]}, {"k": (ray_tune.choice([5]), "x")})},
        {"a": [({"grid_search": [1, 2]}, 4)], "b": {"grid_search": [(ray_tune.choice([1]), 2), ()]}},
    ],
)
def test_domains_in_tuples_are_drawn_as_ray_tune_draws_them(space):
    assert generate_samples(space, 2, 0) == rays(space, 2)


def test_functions_in_tuples_are_called():
    space = {"x": tune.grid_search([1, 2]), "t": (tune.sample_from(lambda c: c["x"] * 2), 0)}
    assert [sample["t"] for sample in generate_samples(space, 1, 0)] == [(2, 0), (4, 0)]


def test_points_to_evaluate_come_first_and_count():
    space = {"x": tune.randint(0, 100), "opt": {"lr": tune.uniform(0, 1)}, "g": tune.grid_search([1, 2])}
    samples = generate_samples(space, 3, 0, points_to_evaluate=[{"x": -5, "opt": {"lr": 9}}])
    assert [sample["x"] for sample in samples[:2]] == [-5, -5]
    assert [sample["opt"]["lr"] for sample in samples[:2]] == [9, 9]
    assert len(samples) == 6


def test_a_seed_draws_the_same_for_any_global_random_state():
    space = {"x": tune.uniform(0, 1), "y": tune.choice(range(100))}
    random.seed(1)
    first = generate_samples(space, 10, 42)
    random.seed(2)
    assert generate_samples(space, 10, 42) == first != generate_samples(space, 10, 43)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (
            {"x": tune.sample_from(lambda c: c["y"]), "y": tune.sample_from(lambda c: c["x"])},
            "depend on one another: x, y",
        ),
        ({"x": tune.sample_from(lambda c: c["nothing"])}, "'x' raised KeyError"),
        ([1], "must be a dict"),
    ],
)
def test_unresolvable_samples_are_an_error(space, says):
    with pytest.raises(SpaceError, match=says):
        generate_samples(space, 1, 0)


def test_a_function_of_two_arguments_is_refused():
    with pytest.raises(SpaceError, match="needs more arguments"):
        tune.sample_from(lambda a, b: a)

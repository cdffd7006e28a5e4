"""Every current name that the fingerprint translates exists, so that a class that moves takes its recorded name along."""

import importlib

import pytest

import rbt_ray as rbt
from rbt_ray.objectives.fingerprint import recorded_names


def found(name):
    """The class, function, module or package of a name with dots."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        above, _, last = name.rpartition(".")
        return getattr(found(above), last)


@pytest.mark.parametrize("name", sorted(recorded_names._RECORDED))
def test_the_current_name_exists(name):
    value = found(name)
    assert getattr(value, "__module__", name) in (name, name.rpartition(".")[0])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (rbt.choice(["a", "b"]), "rbt_ray.study.choices.Choice"),
        (rbt.grid_search([1, 2]), "rbt_ray.study.choices.Choice"),
        (rbt.uniform(0, 1), "rbt_ray.study.numeric_domains.Float"),
        (rbt.randint(0, 5), "rbt_ray.study.numeric_domains.Stepped"),
    ],
)
def test_a_domain_that_an_objective_holds_keeps_the_name_of_its_class(value, name):
    assert recorded_names.recorded(f"{type(value).__module__}.{type(value).__qualname__}") == name

"""Every current name that the fingerprint translates exists, so that a class that moves takes its recorded name along."""

import importlib

import pytest

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

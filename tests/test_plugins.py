"""Entry points of packages that are really on sys.path."""

import sys

import pytest

from rbt_ray import plugins
from rbt_ray.errors import InputError
from tests.installed_packages import install as install

GROUP = "rbt_ray.searchers"
CLASS = "class Thing: pass\n"


def test_an_installed_package_provides_an_object_by_name(install):
    install("one", CLASS, {GROUP: {"thing_of_one": "Thing"}})
    assert "thing_of_one" in plugins.names(GROUP)
    assert plugins.load(GROUP, "thing_of_one").__module__ == "one"


def test_a_package_that_is_installed_later_is_found(install):
    install("one", CLASS, {GROUP: {"thing_of_one": "Thing"}})
    assert "thing_of_two" not in plugins.names(GROUP)
    install("two", CLASS, {GROUP: {"thing_of_two": "Thing"}})
    assert {"thing_of_one", "thing_of_two"} <= set(plugins.names(GROUP))


def test_listing_names_imports_nothing(install):
    install("one", "raise RuntimeError('imported')\n", {GROUP: {"thing_of_one": "Thing"}})
    assert "thing_of_one" in plugins.names(GROUP)
    assert "one" not in sys.modules


def test_loading_an_unknown_name_returns_none():
    assert plugins.load(GROUP, "thing_of_nobody") is None


def test_a_name_that_two_packages_define_is_refused(install):
    install("one", CLASS, {GROUP: {"thing": "Thing"}})
    install("two", CLASS, {GROUP: {"thing": "Thing"}})
    with pytest.raises(InputError, match=r"'thing' is defined more than once .* by one and two"):
        plugins.load(GROUP, "thing")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import missing_package_of_nobody\n", "ModuleNotFoundError: No module named 'missing_package_of_nobody'"),
        ("raise SystemExit('a script')\n", "SystemExit: a script"),
        ("class Other: pass\n", "AttributeError"),
    ],
)
def test_an_entry_point_that_cannot_be_imported_is_refused(install, code, reason):
    install("one", code, {GROUP: {"thing": "Thing"}})
    with pytest.raises(InputError, match=f"'thing'.*package one.*cannot be imported: {reason}"):
        plugins.load(GROUP, "thing")

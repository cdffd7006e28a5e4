"""Entry points of packages that are really on sys.path."""

import sys

import pytest

from rbt_ray import plugins
from rbt_ray.errors import InputError

GROUP = "rbt_ray.searchers"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Returns a function that installs a distribution with one module and one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(distribution, module, code, name, attribute="Thing"):
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}:{attribute}\n")
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def test_an_installed_package_provides_an_object_by_name(install):
    install("one", "one_module", "class Thing: pass\n", "thing_of_one")
    assert "thing_of_one" in plugins.names(GROUP)
    assert plugins.load(GROUP, "thing_of_one").__module__ == "one_module"


def test_listing_names_imports_nothing(install):
    install("one", "one_module", "raise RuntimeError('imported')\n", "thing_of_one")
    assert "thing_of_one" in plugins.names(GROUP)
    assert "one_module" not in sys.modules


def test_a_name_that_nobody_defines_is_none():
    assert plugins.load(GROUP, "thing_of_nobody") is None


def test_a_name_that_two_packages_define_is_refused(install):
    install("one", "one_module", "class Thing: pass\n", "thing")
    install("two", "two_module", "class Thing: pass\n", "thing")
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
    install("one", "one_module", code, "thing")
    with pytest.raises(InputError, match=f"'thing'.*package one.*cannot be imported: {reason}"):
        plugins.load(GROUP, "thing")

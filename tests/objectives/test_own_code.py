"""The user's own modules are found from what is loaded and from what sources import."""

import os
import sys
import types

import pytest

from rbt_ray.objectives.fingerprint.own_code import Source, imported_by, own_sources, source_of

IMPORTS = {
    "after a semicolon": ("x = 1; import late", {"late"}),
    "two on a line": ("import a; import b", {"a", "b"}),
    "on a continued line": ("from pkg import a, \\\n    b", {"pkg", "pkg.a", "pkg.b"}),
    "on a continued line without names": ("import a, \\\n    b", {"a", "b"}),
    "in a block": ("if 1: from pkg import late", {"pkg", "pkg.late"}),
    "in a function": ("def f():\n    import a; import b", {"a", "b"}),
    "in brackets": ("from pkg import (\n    a,  # comment )\n    b as c,\n)", {"pkg", "pkg.a", "pkg.b"}),
    "of a parent": ("import a.b.c as x", {"a", "a.b", "a.b.c"}),
    "relative": ("from . import a\nfrom .b import c", {"own", "own.a", "own.b", "own.b.c"}),
    "in a docstring": ("'''\nimport typed\nfrom x import y\n'''", set()),
    "in a text": ('TEXT = """\nimport typed\n"""\nimport real', {"real"}),
    "what is not Python": ("import a\nthis is no Python", set()),
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_imports_are_found_as_python_reads_them(kind):
    text, expected = IMPORTS[kind]
    assert set(imported_by("own.module", Source("module.py", False, text.encode()))) == expected


class Raising(types.ModuleType):
    def __getattr__(self, name):
        raise RuntimeError(name)


def test_a_module_whose_attributes_raise_is_left_out(monkeypatch):
    module = Raising("raising_module")
    del module.__spec__
    monkeypatch.setitem(sys.modules, "raising_module", module)
    assert "raising_module" not in own_sources(["raising_module"])


def test_what_stands_for_a_module_need_not_be_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_module", object())
    assert "no_module" not in own_sources(["no_module"])


def test_a_source_is_read_again_when_its_file_has_changed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "written_module.py"
    file.write_text("FEE = 1\n")
    os.utime(file, (1e9, 1e9))
    assert source_of("written_module").content == b"FEE = 1\n"
    file.write_text("FEE = 2\n")
    assert source_of("written_module").content == b"FEE = 2\n"
    file.write_text("FEE = 3\n")  # within the same tick of the file system's clock, perhaps
    assert source_of("written_module").content == b"FEE = 3\n"
    file.write_text("FEE = 4\n")
    os.utime(file, (1e9, 1e9))  # as what copies files with their times does
    assert source_of("written_module").content == b"FEE = 4\n"


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("with_init", [True, False])
def test_a_module_in_packages_that_are_not_imported_is_found(tmp_path, monkeypatch, depth, with_init):
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"outer_{depth}_{with_init}", "middle", "inner"][:depth]
    folder = tmp_path.joinpath(*names)
    folder.mkdir(parents=True)
    (folder / "leaf.py").write_text("FEE = 1\n")
    if with_init:
        for package in [folder, *folder.parents][:depth]:
            (package / "__init__.py").write_text("")
    assert source_of(".".join([*names, "leaf"])).content == b"FEE = 1\n"
    assert names[0] not in sys.modules


def test_a_study_of_this_test_sends_no_modules_of_other_tests():
    """See tests/conftest.py; with the whole suite loaded, each study would send 290 files to its workers."""
    assert [name for name in own_sources() if ".test_" in name] == [__name__]

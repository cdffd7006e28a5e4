"""What a trial changed in a module is found by the version of the module's dict, and without one by its names."""

import math
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.objectives import interpreter
from rbt_ray.objectives.interpreter import version_reader

KEYS = st.sampled_from("abcdef")
CHANGES = st.lists(st.tuples(st.sampled_from(["set", "delete", "update", "clear", "read"]), KEYS, st.integers(0, 2)))


@pytest.mark.skipif(not (3, 11) <= sys.version_info < (3, 14), reason="later versions of Python may keep no version")
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="a detail of CPython")
def test_the_version_is_found():
    assert version_reader({})() is not None


@given(CHANGES)
def test_a_dict_of_the_same_version_is_the_same(changes):
    space = {"a": 0, "b": 1}
    read = version_reader(space)
    for what, key, value in changes:
        before, version = dict(space), read()
        if what == "set":
            space[key] = value
        elif what == "delete":
            space.pop(key, None)
        elif what == "update":
            space.update({key: value, "a": value})
        elif what == "clear":
            space.clear()
        else:
            (space.get(key), list(space.items()))
        if version is not None and read() == version:
            assert space == before
        if what == "read":
            assert read() == version


def repaired(watched):
    """Whether any name had to be put back; a whole `Interpreter` would also stop the timer of a test."""
    return any(names.repair() for names in watched)


@pytest.mark.parametrize("keeps_versions", [True, False])
@pytest.mark.parametrize("how", ["attribute", "namespace", "deleted"])
def test_names_are_put_back(monkeypatch, keeps_versions, how):
    if not keeps_versions:
        monkeypatch.setattr(interpreter, "_IS_KEPT", False)
    monkeypatch.setattr(interpreter, "_watched", {})
    watched = interpreter.watched_names()
    sqrt = math.sqrt
    assert not repaired(watched)
    try:
        if how == "attribute":
            math.sqrt = abs
        elif how == "namespace":
            vars(math)["sqrt"] = abs
        else:
            del math.sqrt
        assert repaired(watched)
        assert math.sqrt is sqrt
        assert not repaired(watched)
    finally:
        math.sqrt = sqrt


def test_a_module_that_an_import_patched_is_restored_to_that(monkeypatch):
    monkeypatch.setattr(interpreter, "_watched", {})
    interpreter.watched_names()
    monkeypatch.setattr(math, "sqrt", abs)
    watched = interpreter.watched_names()
    math.sqrt = len
    assert repaired(watched)
    assert math.sqrt is abs


def watched_classes():
    return [attributes for names in interpreter.watched_names() for attributes in names.classes]


def test_the_attributes_of_every_watched_class_are_put_back(monkeypatch):
    """Each attribute is replaced, and in turn deleted or hidden, in a class that others inherit from or not."""
    for attributes in watched_classes():
        kind, before = attributes.kind, dict(vars(attributes.kind))
        own = [name for name, value in before.items() if callable(value) and not name.startswith("__")]
        inherited = [name for name in dir(kind) if name not in before and not name.startswith("__")]
        for change, name in [
            *((setattr, name) for name in own[:3] + inherited[:3]),
            *((delattr, name) for name in own[:3]),
        ]:
            change(kind, name, *([None] if change is setattr else []))
            assert attributes.repair(), (kind, name)
            assert dict(vars(kind)) == before
            assert not attributes.repair()


def test_classes_keep_attributes_that_a_library_adds():
    attributes = next(found for found in watched_classes() if found.kind is pathlib.Path)
    pathlib.Path.of_a_library = 1
    try:
        assert not attributes.repair()
        assert pathlib.Path.of_a_library == 1
    finally:
        del pathlib.Path.of_a_library

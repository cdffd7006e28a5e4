"""The import of modules from the folder of a test."""

import importlib
import sys

import pytest


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Imports a module of the test's folder as it is now."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which is compared by size and second alone
    before = set(sys.modules)

    def load(name):
        forget()
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def forget():
        for module in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[module], "__file__", None)):
                del sys.modules[module]

    yield load
    forget()

"""Ingests a bundle once, with the installed engine."""

import importlib
import os
import sys
from pathlib import Path

import pytest

# With unique names: rustybt installs a package `tests`, which workers would import instead of this folder.
sys.path.insert(0, str(Path(__file__).parent))
import engine_algorithms as algorithms
import engine_bundle as folder


@pytest.fixture(scope="session")
def package():
    if algorithms.INSTALLED not in (["zipline"], ["rustybt"]):
        pytest.fail(f"these tests need zipline-reloaded or rustybt, see .ci/adapters; found {algorithms.INSTALLED}")
    return algorithms.PACKAGE


@pytest.fixture(scope="session")
def root(package, tmp_path_factory):
    """The engine's folder of bundles, with one bundle, `folder.NAME`."""
    home = tmp_path_factory.mktemp("root")
    old = os.environ.get("ZIPLINE_ROOT")
    folder.ingest(package, home)
    yield home
    os.environ.pop("ZIPLINE_ROOT")
    if old is not None:
        os.environ["ZIPLINE_ROOT"] = old


@pytest.fixture(scope="session")
def ingested(root):
    """The folder of that bundle."""
    (found,) = (root / "data" / folder.NAME).iterdir()
    return found


@pytest.fixture(scope="session")
def adapter(package, root):
    return importlib.import_module(f"rbt_ray.adapters.{package}")

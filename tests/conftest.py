"""Which tests share a process when pytest-xdist spreads them, and a short folder for the sockets of Ray."""

import functools
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests import one_ray

# No deadline for single examples: a busy machine takes longer. Everything else is as in the profile that is loaded, such as that
# of a CI.
settings.register_profile("no deadline", parent=settings(), deadline=None)
settings.load_profile("no deadline")

_NAME_OF_TESTS = re.compile(r"tests\.(.*\.)?test_\w+$")
_tests = {}
"""The modules of tests that were loaded, by name."""
_NAME_OF_RAY = re.compile(r"(_?users)?_?ray(pool|_(?!tune).*)?", re.IGNORECASE)
_TEXT_ON_RAY = re.compile(r"\bRayPool\b|\bray\.init\b|^ray$|\bbackend=.ray\b")
_RAY, _RAY_OF_POOLS = "ray", "ray of pools"
_LOCAL = {"local", "forkserver", "spawn", "fork"}
_SLOW_SECONDS = 900

_USERS_RAY = """
import os, sys
if os.fork():
    os._exit(0)  # what looks for processes below its own finds none of these
import ray
ray.init(
    address="local", include_dashboard=False, num_cpus=2, resources={"slot": 1}, object_store_memory=100 << 20,
    log_to_driver=False,
)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def users_ray():
    """A Ray that somebody else started: its address, and the environment of who may join. It has 2 CPU and 1 `slot`."""
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    words = [sys.executable, "-c", _USERS_RAY]
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield next(line.strip() for line in process.stdout if re.fullmatch(r"\S+:\d+", line.strip())), env
        process.stdin.close()
        process.stdout.read()  # until it has ended


def pytest_configure(config):
    """Gives each process of pytest-xdist a folder of its own for its Rays.

    A socket's path has at most 107 characters, of which TMPDIR alone may take more.
    """
    if hasattr(config, "workerinput"):
        config.ray_folder = tempfile.mkdtemp(prefix="rbt", dir="/tmp" if os.name == "posix" else None)
        os.environ["RAY_TMPDIR"] = config.ray_folder


def pytest_unconfigure(config):
    if hasattr(config, "ray_folder"):
        shutil.rmtree(config.ray_folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keeps what each process would do again: pytest's translation of the tests, which it stores as bytecode; and the
    garbage collector's walks over thousands of tests.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False  # the environment may forbid it
    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = before
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Removes the modules of other tests from `sys.modules`, as if this test's file ran alone.

    A study sends all loaded modules of the user to its workers. Those of the whole suite are 290 files: each of thousands of
    studies would look at them and each of its workers would load them.
    """
    if sys.modules.get(item.module.__name__) is item.module and _tests:
        return
    for name in [name for name in sys.modules if _NAME_OF_TESTS.match(name)]:
        _tests[name] = sys.modules.pop(name)
    waiting = [item.module.__name__]
    while waiting:
        name = waiting.pop()
        if name in _tests and name not in sys.modules:
            sys.modules[name] = _tests[name]
            waiting += _imported_tests(_tests[name].__file__)


@functools.cache
def _imported_tests(file):
    return re.findall(r"^ *(?:from|import) (tests\.[\w.]+)", Path(file).read_text(), re.MULTILINE)


def pytest_runtest_teardown(item, nextitem):
    """Ends the Ray that tests share before a test of a module that does not share it.

    Such a test may fork, which no process with Ray's threads should do, or expect a Ray that starts with its environment.
    """
    if nextitem is None or not _is_on_ray(nextitem) or not hasattr(nextitem.module, "one_ray"):
        one_ray.release()


def pytest_collection_modifyitems(config, items):
    """Groups tests by process, sorts the longest groups first, and gives slow tests a longer time limit.

    Tests that start a Ray are one group, and slow ones of pools another: tests of a group often share a Ray, and at most
    two run at a time. Tests with vectorbt share a process too, which compiles it for half a minute. The tests of any other
    module stay together. Groups of Ray and those with a time limit above the usual one come first; within a group of Ray,
    those that share a Ray follow each other. Slow tests without a limit of their own get one that only a test that hangs
    reaches, however busy the machine is.
    """
    groups = {item: _group_of(item) for item in items}
    if getattr(config.option, "loadgroup", False):
        for item, group in groups.items():
            # As pytest-xdist 3.8 does with the mark `xdist_group`, by an attribute that pytest 9.2 has not any more.
            item._id = type(item._id).parse(f"{item.nodeid}@{group}")
    usual = float(config.getini("timeout"))
    limits = {item: item.get_closest_marker("timeout") for item in items}
    long = {groups[item] for item, limit in limits.items() if limit is not None and limit.args[0] > usual}
    for item, limit in limits.items():
        if limit is None and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(_SLOW_SECONDS))
    rays = {item for item in items if groups[item] in (_RAY_OF_POOLS, _RAY)}
    shares = {item for item in rays if hasattr(item.module, "one_ray")}
    items.sort(key=lambda item: (item not in rays, item in rays - shares, groups[item] not in long))


def _group_of(item):
    slow = item.get_closest_marker("slow") is not None
    if slow and item.path.parts[-3:-1] == ("pool", "ray"):
        return _RAY_OF_POOLS  # several start more than one Ray, whose nodes have 30 s to start
    if _is_on_ray(item):
        return _RAY_OF_POOLS if slow and "pool" in item.path.parts else _RAY
    return "vectorbt" if "vectorbt" in item.name or "vectorbt" in item.path.name else item.nodeid.partition("::")[0]


def _is_on_ray(item):
    """Whether a test or one of its fixtures names Ray, unless its parameters choose the local backend."""
    parameters = getattr(item, "callspec", None)
    chosen = {value for value in parameters.params.values() if isinstance(value, str)} if parameters else set()
    if chosen & _LOCAL or any(_NAME_OF_RAY.fullmatch(text) or _TEXT_ON_RAY.search(text) for text in chosen):
        return not chosen & _LOCAL
    fixtures = [item._fixtureinfo.name2fixturedefs[name][-1].func for name in item.fixturenames if name != "request"]
    return any(
        _names_ray(function.__code__) for function in [item.function, *fixtures] if hasattr(function, "__code__")
    )


@functools.cache
def _names_ray(code):
    texts = [constant for constant in code.co_consts if isinstance(constant, str)]
    nested = [constant for constant in code.co_consts if hasattr(constant, "co_consts")]
    return (
        any(_NAME_OF_RAY.fullmatch(name) for name in code.co_names)
        or any(_TEXT_ON_RAY.search(text) for text in texts)
        or any(map(_names_ray, nested))
    )

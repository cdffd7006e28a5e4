"""Changes that a trial makes to its process: the next trial does not see them, or the documentation lists them."""

import _thread
import builtins
import contextvars
import ctypes
import decimal
import gc
import io
import json
import locale
import logging
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.study.space import Space
from tests.pools import batch, collect

SPACE = Space.of({"n": rbt.randint(0, 100)})
PAGE = Path(__file__).parents[2] / "docs" / "workers.md"
VARIABLE = contextvars.ContextVar("VARIABLE", default="nobody's")
ROWS = {}
DOCUMENTED = {}


def row(name, read, change, documented=None):
    """A row of the matrix: how a setting is read and changed, and what the documentation calls it if it stays changed."""
    ROWS[name] = (read, change)
    if documented is not None:
        DOCUMENTED[name] = documented


def handle(number):
    return lambda: signal.signal(number, lambda *_: None)


def timer(which):
    return lambda: signal.setitimer(which, 1000.0)


def soft_limit(number, value):
    return lambda: resource.getrlimit(number), lambda: resource.setrlimit(
        number, (value, resource.getrlimit(number)[1])
    )


def zone(*, in_environment):
    def change():
        os.environ["TZ"] = "Asia/Tokyo"
        time.tzset()
        if not in_environment:
            del os.environ["TZ"]

    return change


def close_stdin():
    sys.stdin = None
    os.close(0)


def variable_of_c():
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return getenv(b"LEFT_TO_C")


def attribute(place, name, value):
    return lambda: getattr(place, name, None), lambda: setattr(place, name, value)


row("working directory", os.getcwd, lambda: os.chdir("/"))
row("environment, set", lambda: os.environ.get("LEFT"), lambda: os.environ.update(LEFT="behind"))
row("environment, removed", lambda: os.environ.get("PATH"), lambda: os.environ.pop("PATH"))
row("umask", lambda: Path("/proc/self/status").read_text().split("Umask:")[1].split()[0], lambda: os.umask(0o777))
row("locale", lambda: locale.setlocale(locale.LC_ALL), lambda: locale.setlocale(locale.LC_ALL, "C"))
row("time zone", lambda: time.localtime(0).tm_hour, zone(in_environment=True))
row("time zone without its variable", lambda: time.localtime(0).tm_hour, zone(in_environment=False))
for signal_number in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
    row(f"handler of signal {int(signal_number)}", lambda n=signal_number: signal.getsignal(n), handle(signal_number))
row(
    "blocked signals",
    lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM}),
)
row(
    "blocked signal that was sent",
    lambda: signal.sigpending(),
    lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}), signal.raise_signal(signal.SIGALRM)),
)
for which_timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
    row(f"timer {which_timer}", lambda n=which_timer: signal.getitimer(n)[0] > 0, timer(which_timer))
row("alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda: signal.alarm(1000))
for limit_name, value in {"NOFILE": 500, "AS": 2**40, "DATA": 2**40, "FSIZE": 2**40, "CPU": 10**6}.items():
    row(f"soft limit {limit_name}", *soft_limit(getattr(resource, f"RLIMIT_{limit_name}"), value))
row(
    "hard RLIMIT_NOFILE",
    lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
    lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500)),
)
row("random numbers of Python", random.random, lambda: random.seed(1))
row("random numbers of numpy", np.random.random, lambda: np.random.seed(1))
row("warning filters", lambda: len(warnings.filters), lambda: warnings.simplefilter("error"))
row("warning filters, replaced", lambda: len(warnings.filters), lambda: setattr(warnings, "filters", []))
row("decimal context", lambda: decimal.getcontext().prec, lambda: setattr(decimal.getcontext(), "prec", 3))
row("context variables", VARIABLE.get, lambda: VARIABLE.set("the trial's"))
row("numpy's errors", np.geterr, lambda: np.seterr(all="raise"))
row("numpy's print options", lambda: np.get_printoptions()["precision"], lambda: np.set_printoptions(precision=2))
row("import path", lambda: list(sys.path), lambda: sys.path.insert(0, "/nowhere"))
row("import path, replaced", lambda: list(sys.path), lambda: setattr(sys, "path", ["/nowhere"]))
row("import finders", lambda: len(sys.meta_path), sys.meta_path.clear)
row("loaded modules", lambda: sys.modules["json"] is json, lambda: sys.modules.pop("json"))
row("recursion limit, lowered", sys.getrecursionlimit, lambda: sys.setrecursionlimit(200))
row("garbage collection", gc.isenabled, gc.disable)
row("thresholds of garbage collection", gc.get_threshold, lambda: gc.set_threshold(5, 5, 5))
row("switch interval", sys.getswitchinterval, lambda: sys.setswitchinterval(1.0))
row("digits of integers", sys.get_int_max_str_digits, lambda: sys.set_int_max_str_digits(1000))
row("timeout of sockets", socket.getdefaulttimeout, lambda: socket.setdefaulttimeout(0.001))
row("trace function", sys.gettrace, lambda: sys.settrace(lambda *_: None))
row("profile function", sys.getprofile, lambda: sys.setprofile(lambda *_: None))
for stream in ("stdin", "stdout", "stderr"):
    row(f"{stream}, replaced", lambda name=stream: type(getattr(sys, name)), attribute(sys, stream, io.StringIO())[1])
row("stdin, closed", lambda: (sys.stdin is None, os.fstat(0).st_rdev), close_stdin)
row("stdout, closed", lambda: sys.stdout.closed, lambda: sys.stdout.close())
row("built-in functions", *attribute(builtins, "sum", lambda _: 7))
row("functions of os", *attribute(os, "getpid", lambda: 7))
row("method of a class", *attribute(json.JSONEncoder, "encode", None))
row("functions of the C time module", *attribute(time, "time", lambda: 0.0))

row("recursion limit, raised", sys.getrecursionlimit, lambda: sys.setrecursionlimit(50_000), "raised recursion limit")
row(
    "attributes of other classes",
    *attribute(tempfile.TemporaryDirectory, "cleanup", None),
    "attributes of other classes",
)
row("attributes added to classes", *attribute(json.JSONEncoder, "left", 7), "attributes added to a class")
row("module state", *attribute(tempfile, "tempdir", "/nowhere"), "in other modules")
row("logging", lambda: logging.root.manager.disable, lambda: logging.disable(logging.CRITICAL), "`logging`")
row("hooks of sys", *attribute(sys, "excepthook", print), "`sys.excepthook`")
row("niceness", lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda: os.nice(1), "priority")
row(
    "processors",
    lambda: len(os.sched_getaffinity(0)),
    lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "processors",
)
row("soft limit STACK", *soft_limit(resource.RLIMIT_STACK, 2**20), "other resource limits")
row("variables of C", variable_of_c, lambda: os.putenv("LEFT_TO_C", "behind"), "`os.putenv`")


def start_threads():
    for _ in range(50):
        _thread.start_new_thread(time.sleep, (30,))
    while _thread._count() <= 40:  # a thread counts once it runs
        time.sleep(0)


row("threads", lambda: _thread._count() > 40, start_threads, "threads")


def pandas_option():
    import pandas as pd

    return pd.get_option("display.max_rows")


def set_pandas_option():
    import pandas as pd

    pd.set_option("display.max_rows", 7)


row("pandas options", pandas_option, set_pandas_option, "`pd.set_option`")

REPLACED = {"hard RLIMIT_NOFILE", "stdout, closed"}
"""Changes that a worker cannot undo: a new process replaces it."""
FOR_SPEED = {"garbage collection", "thresholds of garbage collection", "switch interval"}
"""What no result follows from is restored after a batch, not after each of its trials."""
COVERED = [name for name in ROWS if name not in DOCUMENTED]


class Meddle:
    """An objective whose trials change a setting (`n` is 1), or say how they find it."""

    def __init__(self, name):
        self.name = name

    def __call__(self, params, data):
        read, change = ROWS[self.name]
        if params["n"] == 1:
            change()
            return {"score": 0.0, "seen": ""}
        return {"score": 0.0, "seen": repr(read())}


@rbt.batched
class MeddleTogether(Meddle):
    def __call__(self, params, data):
        return [super(MeddleTogether, self).__call__(one, data) for one in params]


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def pool(request):
    if request.param == "ray":
        from rbt_ray.pool.ray.pool import RayPool as Pool
    else:
        Pool = LocalPool
    pool = Pool(1)
    yield pool
    pool.close()


def study(pool, objective, *batches):
    """What trials of one study found, in batches one after the other; None for a batch that was lost with its worker."""
    job = Task(objective, SPACE, "score", 7, None, 0).pack()
    found, first = [], 0
    for number, numbers in enumerate(batches):
        pool.submit(batch(number, job, np.array(numbers, float)[:, None], first))
        returned = collect(pool, 1)[number]
        assert returned.lost is not None or not returned.outcomes.errors, returned.outcomes.errors
        found.append(None if returned.lost else returned.outcomes.metrics["seen"].to_list())
        first += len(numbers)
    return found


SAMPLE = {
    f"handler of signal {int(number)}" for number in (signal.SIGINT, signal.SIGTERM, signal.SIGSEGV, signal.SIGRTMAX)
}
"""Of the handlers, which one loop restores, the default run has these."""
EACH = [
    pytest.param(name, marks=[pytest.mark.slow] * (name.startswith("handler of") and name not in SAMPLE))
    for name in COVERED
]


@pytest.mark.parametrize("name", EACH)
def test_what_a_trial_changes_no_later_trial_finds(pool, name):
    """Not in its batch, not in the next, not in the next study."""
    undisturbed = study(pool, Meddle(name), [0, 0, 0], [0])
    together, later = study(pool, Meddle(name), [1, 0, 0], [0])
    assert (together is None) == (name in REPLACED)
    if together is not None and name not in FOR_SPEED:
        assert together[1:] == undisturbed[0][1:]
    assert later == undisturbed[1]
    alone = study(pool, Meddle(name), [1], [0], [0], [0])[1:]
    assert alone == [[seen] for seen in (*undisturbed[0][1:], *undisturbed[1])]
    assert study(pool, Meddle(name), [0, 0, 0], [0]) == undisturbed
    if "random" not in name:  # those of a batched objective do not follow from a trial
        assert study(pool, MeddleTogether(name), [0], [1], [0])[::2] == [undisturbed[0][:1]] * 2


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_stays_changed_is_in_the_documentation(pool, name):
    page = " ".join(PAGE.read_text().split("## What a trial inherits")[1].split("## ")[0].split())
    assert DOCUMENTED[name] in page
    [[before], _, [after]] = study(pool, Meddle(name), [0], [1], [0])
    assert before != after

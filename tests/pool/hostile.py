"""A catalogue of what an objective can do to the process it runs in, and a driver that runs a study of each.

    python -m tests.pool.hostile BACKEND FOLDER NAME...

Each study has `N` trials, of which one, `MARKED`, does what the catalogue names; the others are innocent. The driver
prints a JSON object a study. Import nothing of rbt_ray here: workers import this module.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

N = 16
MARKED = 5
CATALOGUE = {}


def hostile(status="COMPLETED", **settings):
    """Registers a function by its name, with the status that the marked trial has after it."""

    def register(function):
        CATALOGUE[function.__name__] = (function, status, settings)
        return function

    return register


def also(name, function, status="COMPLETED", **settings):
    CATALOGUE[name] = (function, status, settings)


def module(name):
    return sys.modules.get(name) or importlib.import_module(name)


# A callable that is gone, or gives nonsense, in a module that everybody uses.
def _replace(place, name, value):
    return lambda: setattr(module(place), name, value)


for where, attribute in [
    *(("pickle", name) for name in ("loads", "dumps", "Unpickler", "PickleBuffer")),
    *(("json", name) for name in ("loads", "dumps")),
    *(("time", name) for name in ("time", "perf_counter", "thread_time", "monotonic", "sleep")),
    *(("os", name) for name in ("getpid", "getcwd", "chdir", "environ", "write", "_exit", "fstat", "kill", "path")),
    *(("threading", name) for name in ("Thread", "Lock", "current_thread")),
    *(("numpy", name) for name in ("array", "asarray", "float64", "diff", "full", "isfinite", "ndarray")),
    *(("random", name) for name in ("seed", "random", "getstate")),
    *(("builtins", name) for name in ("len", "isinstance", "float", "dict", "list", "zip", "enumerate", "getattr")),
    *(("builtins", name) for name in ("Exception", "BaseException", "__import__", "__build_class__", "print", "type")),
    *(("traceback", "format_exception"), ("struct", "Struct"), ("warnings", "filters"), ("math", "isnan")),
]:
    also(f"{where}.{attribute} = None", _replace(where, attribute, None))
also("time stands still", _replace("time", "time", lambda: 0.0))
also("math lies", _replace("math", "sqrt", lambda x: -1.0))
also("sum lies", _replace("builtins", "sum", lambda values: 7))


@hostile()
def modules_cleared():
    sys.modules.clear()


@hostile()
def finders_cleared():
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()


@hostile()
def builtins_cleared():
    names = vars(module("builtins"))
    for name in ("len", "range", "sum", "sqrt", "min", "max", "str"):
        names.pop(name, None)


@hostile()
def recursion_limit_low():
    sys.setrecursionlimit(60)


@hostile("FAILED")
def recursion_limit_one():
    sys.setrecursionlimit(1)


@hostile("FAILED")
def recursion_endless():
    return recursion_endless()


@hostile()
def garbage_never_collected():
    gc.disable()


@hostile("FAILED")
def traced():
    def trace(*_):
        raise ValueError("traced")

    sys.settrace(trace)


@hostile()
def profiled():
    def profile(*_):
        time.sleep(0)

    sys.setprofile(profile)


@hostile()
def streams_gone():
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None


@hostile()
def streams_closed():
    sys.stdout.close()
    sys.stderr.close()


@hostile()
def standard_descriptors_closed():
    os.close(1)
    os.close(2)


@hostile()
def standard_descriptors_replaced():
    os.dup2(os.open(os.devnull, os.O_RDONLY), 1)


@hostile("CRASHED")
def descriptors_closed():
    os.closerange(0, 4096)


def _sockets_and_pipes():
    """Those of the process but the one to multiprocessing's resource tracker, which all processes of a program share."""
    from multiprocessing.resource_tracker import _resource_tracker

    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            number = int(link.name)
            ours = str(link.readlink()).startswith(("socket:", "pipe:")) and number > 2
            if ours and number != _resource_tracker._fd:
                yield number


@hostile("CRASHED")
def pipes_replaced():
    for descriptor in list(_sockets_and_pipes()):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)


def _write_everywhere(data):
    for descriptor in list(_sockets_and_pipes()):
        os.set_blocking(descriptor, False)
        try:
            os.write(descriptor, data)
        except OSError:
            continue


for label, junk in {
    "junk": b"junk" * 9,
    "zeros": bytes(64),
    "two gigabytes declared": b"\x7f\xff\xff\xff" + b"x" * 60,
    "a length": b"\x00\x00\x00\x10abc",
    "a pickle": b"\x00\x00\x00\x02N.",
}.items():
    # On Ray, what is written to a socket of its own reaches Ray, whose business it is whether the actor survives.
    also(f"pipes: {label}", lambda junk=junk: _write_everywhere(junk), "CRASHED", local_only=True)


@hostile()
def alarm_left():
    signal.setitimer(signal.ITIMER_REAL, 0.2)  # would interrupt a later trial or the next study


@hostile()
def signals_ignored():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


@hostile("TIMED_OUT", trial_timeout_s=3.0)
def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)


@hostile("TIMED_OUT", trial_timeout_s=3.0)
def asleep():
    time.sleep(1000)


@hostile("CRASHED")
def exits():
    os._exit(3)


@hostile("CRASHED")
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@hostile("CRASHED")
def segfault():
    ctypes.string_at(0)


@hostile("CRASHED")
def aborts():
    os.abort()


for error in (SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, StopIteration, AssertionError):

    def _raise(error=error):
        raise error("on purpose")

    also(f"raises {error.__name__}", _raise, "FAILED")


class Mute(BaseException):
    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__

    def __reduce__(self):
        raise KeyboardInterrupt


@hostile("FAILED")
def raises_mute():
    raise Mute


@hostile()
def threads_endless():
    for daemon in (True, False):
        threading.Thread(target=time.sleep, args=(1000,), daemon=daemon).start()


@hostile()
def exit_hangs():
    import atexit

    atexit.register(time.sleep, 1000)
    threading._register_atexit(time.sleep, 1000)


@hostile()
def fork_returns_twice():
    os.fork()


@hostile("FAILED")
def fork_raises_twice():
    os.fork()
    raise ValueError("twice")


@hostile()
def fork_by_libc():
    ctypes.CDLL(None).fork()


@hostile()
def fork_hangs():
    if os.fork() == 0:
        time.sleep(1000)


@hostile()
def fork_exits_as_python_does():
    if os.fork() == 0:
        sys.exit(3)


@hostile("CRASHED")
def fork_outlives_its_parent():
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(3)


@hostile()
def child_hangs():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])


@hostile()
def limit_of_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@hostile()
def hard_limit_of_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


@hostile()
def limit_of_memory():
    resource.setrlimit(resource.RLIMIT_AS, (2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))


@hostile()
def limit_of_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@hostile()
def folder_removed():
    folder = Path("removed").resolve()
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    folder.rmdir()


@hostile()
def environment_wiped():
    os.environ.clear()
    os.environ = {}  # noqa: B003 - it is meant to


@hostile()
def locale_set():
    import locale

    locale.setlocale(locale.LC_ALL, "C")


@hostile()
def decimals_cut():
    import decimal

    decimal.getcontext().prec = 1


@hostile()
def numpy_raises():
    module("numpy").seterr(all="raise")


@hostile()
def warnings_raise():
    import warnings

    warnings.simplefilter("error")


@hostile()
def random_seeded():
    module("random").seed(1)
    module("numpy").random.seed(1)


@hostile()
def faults_handled():
    import faulthandler

    faulthandler.enable(sys.__stderr__)


@hostile()
def prints_much():
    for _ in range(100):
        os.write(1, b"x" * 10**5)


@hostile()
def root_changed():
    if os.getuid() == 0:
        Path("empty").mkdir(exist_ok=True)
        os.chroot("empty")


@hostile()
def user_changed():
    if os.getuid() == 0:
        os.setuid(65534)


@hostile("CRASHED")
def forks_a_daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.wait()
    os._exit(3)


@hostile("CRASHED")
def forks_a_session():
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    os._exit(3)


@hostile()
def signals_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})


@hostile("CRASHED")
def pickling_poisoned():
    import copyreg

    for kind in (float, dict, list, module("numpy").ndarray, Hostile):
        copyreg.pickle(kind, lambda _: 1 / 0)


@hostile()
def masks_files():
    os.umask(0o777)


@hostile()
def stdin_closed():
    sys.stdin = None
    os.close(0)


@hostile()
def prints_to_closed_stdout():
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdout.close()


@hostile()
def threads_raise():
    def fail():
        raise SystemExit("of a thread")

    threads = [threading.Thread(target=fail) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@hostile()
def classes_broken():
    module("json").JSONEncoder.encode = None
    module("threading").Thread.start = None
    module("pathlib").Path.stat = None
    module("random").Random.random = None


@hostile()
def thread_breaks_builtins_later():
    def later():
        time.sleep(0.2)
        module("builtins").len = None

    threading.Thread(target=later).start()


@hostile("CRASHED", worker_memory_limit=600 * 2**20)
def memory_bomb():
    held = []
    while True:
        held.append(bytearray(b"x" * 2**24))
        time.sleep(0.01)


for label, answer in {
    "a generator": lambda: (x for x in range(3)),
    "itself": lambda: CATALOGUE,
    "a lock": threading.Lock,
    "bytes": lambda: bytes(10**6),
    "a surrogate": lambda: {"score": 1.0, "\ud800": "\ud800"},
    "long text": lambda: {"score": 1.0, "text": "x" * 10**7},
    "a set": lambda: {1.0},
    "a class": lambda: Mute,
    "no score": lambda: {"other": 1.0},
    "nan": lambda: float("nan"),
    "huge": lambda: 10**400,
    "complex": lambda: 1j,
}.items():
    also(f"returns {label}", answer, None)


class Bomb:
    def __reduce__(self):
        return os._exit, (3,)

    def __float__(self):
        raise SystemExit

    def __len__(self):
        return 2**62

    def __eq__(self, other):
        raise KeyboardInterrupt

    __hash__ = None


@hostile("FAILED")
def returns_a_bomb():
    return Bomb()


@hostile("FAILED")
def returns_a_bomb_as_metric():
    return {"score": Bomb()}


class Hostile:
    """The objective: innocent trials use much of what the marked one may have broken.

    Args:
        name: in the catalogue.
        marked: the trial that does it.
    """

    def __init__(self, name, marked):
        self.name, self.marked = name, marked

    def __call__(self, params, data):
        n = params["n"]
        if n == self.marked:
            found = CATALOGUE[self.name][0]()
            return n + 0.0 if found is None else found
        import math

        np = module("numpy")
        text = json.dumps([math.sqrt(x) for x in range(n)])
        Path("/").stat()
        print(end="", flush=True)
        with open(os.devnull) as file:  # noqa: PTH123 - it is what many objectives do
            file.read()
        return {"score": float(n), "sum": float(np.asarray(json.loads(text), float).sum()), "length": len(text)}


def main(backend, folder, *names):
    import rbt_ray as rbt

    for name in names:
        _, status, settings = CATALOGUE[name]
        settings = {key: value for key, value in settings.items() if key != "local_only"}
        # Alone in its batch where its worker is lost, so that one loss decides.
        marked = 0 if status in ("CRASHED", "TIMED_OUT") else MARKED
        tuner = rbt.Tuner(
            Hostile(name, marked),
            param_space={"n": rbt.grid_search(list(range(N)))},
            tune_config=rbt.TuneConfig(metric="score", mode="max"),
            run_config=rbt.RunConfig(
                name=str(list(CATALOGUE).index(name)),
                storage_path=folder,
                backend=backend,
                num_workers=2,
                max_retries=0,
                verbose=0,
                **settings,
            ),
        )
        began = time.monotonic()
        results = tuner.fit()
        rows = [
            [r.status, r.metrics.get("score"), r.metrics.get("sum"), r.metrics.get("length"), r.error] for r in results
        ]
        found = {"name": name, "marked": marked, "hash": results.table_hash(), "rows": rows}
        print(json.dumps({**found, "seconds": time.monotonic() - began}), flush=True)
    rbt.shutdown()


if __name__ == "__main__":
    importlib.import_module("tests.pool.hostile").main(*sys.argv[1:])

"""Checks that studies can run on this machine."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rbt_ray import process_limits
from rbt_ray._version import __version__
from rbt_ray.cli.doctor_cluster import Finding


def check_machine(*, ray: bool = False) -> list[Finding]:
    """Runs all checks of this machine and returns their findings.

    Args:
        ray: also start a Ray and check its ports.
    """
    return [
        _run_check(name, check)
        for name, check in [(what, check) for what, check in _CHECKS.items() if ray or what != "ray"]
    ]


def _run_check(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except Exception as error:  # the doctor reports any error
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _versions() -> str:
    from importlib.metadata import version

    names = ("numpy", "numba", "pandas", "pyarrow", "ray", "scipy")
    return f"rbt_ray {__version__}, " + ", ".join(f"{name} {version(name)}" for name in names)


def _machine() -> str:
    import psutil

    from rbt_ray.pool.local.pool import usable_cpus

    memory = psutil.virtual_memory().total / 2**30
    return f"Python {platform.python_version()}, {usable_cpus()} cores, {memory:.0f} GiB, {platform.platform()}"


def _bytecode() -> str:
    import numpy

    cached = (Path(numpy.__file__).parent / "__pycache__").is_dir()
    if not cached and os.environ.get("PYTHONDONTWRITEBYTECODE"):
        raise RuntimeError(
            "packages have no bytecode and PYTHONDONTWRITEBYTECODE is set, so every start takes seconds longer. "
            f"Run `{sys.executable} -m compileall -q {Path(numpy.__file__).parents[1]}`."
        )
    return "compiled" if cached else "will be compiled on first use"


def _bundles() -> str:
    from rbt_ray.data import registry
    from rbt_ray.data.holes import coverage, describe

    names = []
    for info in registry.list_bundles():
        holes = "" if info.error else describe(coverage(registry.load_bundle(info.name)))
        names.append(f"{info.name} ({holes})" if holes else info.name)
    return ", ".join(names)


def _kernels() -> str:
    from rbt_ray import objectives
    from rbt_ray.data.registry import load_bundle

    process_limits.check(process_limits.WORKER_BYTES)
    start = time.perf_counter()
    objectives.sma_cross()({"fast": 10, "slow": 50}, load_bundle("sample").view()).metrics()
    return f"the first backtest took {time.perf_counter() - start:.1f} s"


def _workers() -> str:
    from rbt_ray.pool.local import worker_limits
    from rbt_ray.pool.local.pool import LocalPool

    worker_limits.check(1)
    start = time.perf_counter()
    pool = LocalPool(1)
    try:
        while not pool.pids():
            pool.wait(0.01)
        return f"a worker process started in {time.perf_counter() - start:.1f} s"
    finally:
        pool.close()


def _ray() -> str:
    from rbt_ray.pool.ray.ports import ports_of_our_own

    start = time.perf_counter()
    ports = ports_of_our_own()
    exposed = [f"{port.program} on {port.address}:{port.number}" for port in ports if not port.is_loopback]
    if exposed:
        raise RuntimeError(f"a Ray that rbt_ray starts can be reached from the network: {', '.join(exposed)}")
    guarded = sorted({port.program for port in ports if port.is_guarded})
    pages = [str(port.number) for port in ports if not port.is_guarded]
    if not guarded:
        raise RuntimeError(
            "a Ray that rbt_ray starts listens only on loopback but requires no token: every user of this machine can run "
            "code with your rights while it runs. Unset RAY_AUTH_MODE."
        )
    return (
        f"a Ray started in {time.perf_counter() - start:.1f} s; it listens only on loopback. {', '.join(guarded)} require "
        f"Ray's token; ports {', '.join(pages)} show Ray's metrics to all users of this machine"
    )


def _disk() -> str:
    with tempfile.NamedTemporaryFile(dir=".") as file:
        file.write(b"0")
        os.fsync(file.fileno())
    return f"{Path.cwd()} is writable, {shutil.disk_usage('.').free / 2**30:.0f} GiB free"


def _limits() -> str:
    from rbt_ray.pool.local import worker_limits

    worker_limits.check(1)
    return "address space, descriptors, threads and processes are enough for a worker"


_CHECKS = {
    "versions": _versions,
    "machine": _machine,
    "limits": _limits,
    "bytecode": _bytecode,
    "bundles": _bundles,
    "kernels": _kernels,
    "workers": _workers,
    "ray": _ray,
    "storage": _disk,
}

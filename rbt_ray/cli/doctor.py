"""Checks that studies can run on this machine or on a Ray cluster."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rbt_ray import process_limits
from rbt_ray._version import __version__
from rbt_ray.cli.tables import print_json

if TYPE_CHECKING:
    from rbt_ray.pool.ray.probe import ClusterFacts, Service

_SKEW_S = 1.0
"""With larger clock differences, logs of different hosts are hard to compare."""
_LITTLE = 0.1
"""If less than this share of a store is free, a bundle may not fit."""
_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its name, whether it passed, and details."""

    what: str
    ok: bool
    says: str


def check_machine(*, ray: bool = False) -> list[Finding]:
    """Runs all checks of this machine and returns their findings.

    Args:
        ray: also start a Ray and check its ports.
    """
    return [_run_check(name, check) for name, check in _CHECKS.items() if ray or name != "ray"]


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
    with closing(LocalPool(1)) as pool:
        while not pool.pids():
            pool.wait(0.01)
        return f"a worker process started in {time.perf_counter() - start:.1f} s"


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


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints findings. Returns 0 if all checks passed, else 1."""
    if as_json:
        print_json({finding.what: {"ok": finding.ok, "says": finding.says} for finding in findings})
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what:<{width}}  {finding.says}")
    return 0 if all(finding.ok for finding in findings) else 1


def check_cluster(address: str) -> list[Finding]:
    """Runs all checks of a cluster and returns their findings.

    Raises:
        SettingError: no cluster answers at `address`.
    """
    from rbt_ray.pool.ray.probe import look

    cluster = look(address)
    return [
        _hosts(cluster),
        _token(cluster),
        *(_service(cluster, what, service) for what, service in cluster.services.items()),
        _host_versions(cluster),
        _clocks(cluster),
        _stores(cluster),
    ]


def _hosts(cluster: ClusterFacts) -> Finding:
    head, *workers = (host.name for host in cluster.hosts)
    says = f"{len(cluster.hosts)}: {', '.join([f'{head} (the head)', *workers])}"
    for name, why in cluster.silent.items():
        says += f"; {name} is alive in Ray but runs no task: {why}"
    return Finding("hosts", not cluster.silent, says)


def _token(cluster: ClusterFacts) -> Finding:
    if cluster.asks_for_token:
        return Finding("token", True, "required: the head refuses calls without one")
    return Finding(
        "token",
        False,
        "not required: anyone who can reach Ray's ports can run any code with your rights on every host. Create a token "
        "with `ray get-auth-token --generate`, copy it to every host, and start Ray with RAY_AUTH_MODE=token",
    )


def _service(cluster: ClusterFacts, what: str, service: Service) -> Finding:
    if not service.addresses:
        return Finding(what, True, "not running")
    where = f"port {service.port} of "
    if all(address.startswith("127.") or address == "::1" for address in service.addresses):
        return Finding(what, True, f"{where}the head's loopback only: reachable on the head or over ssh")
    listens = any(address in _EVERYWHERE for address in service.addresses)
    where += "all addresses of the head" if listens else ", ".join(service.addresses)
    if cluster.asks_for_token:
        return Finding(what, True, f"{where}: open to the network, with the token")
    return Finding(what, False, f"{where}: open to the network, without a token")


def _host_versions(cluster: ClusterFacts) -> Finding:
    asked = [*((host.name, host.versions) for host in cluster.hosts), ("this process", cluster.here)]
    differ = []
    for package in cluster.here:
        found: dict[str, list[str]] = {}
        for name, versions in asked:
            found.setdefault(versions[package], []).append(name)
        if len(found) > 1:
            parts = [f"{version or 'not installed'} on {', '.join(names)}" for version, names in found.items()]
            differ.append(f"{package} is {' and '.join(parts)}")
    if differ:
        return Finding("versions", False, "; ".join(differ))
    same = ", ".join(f"{package} {version}" for package, version in cluster.here.items())
    return Finding("versions", True, f"{same} on every host and here")


def _clocks(cluster: ClusterFacts) -> Finding:
    off = [host for host in cluster.hosts if abs(host.ahead_s) - host.within_s > _SKEW_S]
    if off:
        sides = ["ahead of" if host.ahead_s > 0 else "behind" for host in off]
        parts = [f"{host.name} is {abs(host.ahead_s):.1f} s {side}" for host, side in zip(off, sides, strict=True)]
        return Finding("clocks", False, f"{', '.join(parts)} this process's clock: synchronize them with NTP")
    most = max(abs(host.ahead_s) + host.within_s for host in cluster.hosts)
    return Finding("clocks", True, f"all within {most:.2g} s of this process's")


def _stores(cluster: ClusterFacts) -> Finding:
    full = any(host.free_bytes < _LITTLE * host.store_bytes for host in cluster.hosts)
    free = (f"{host.name} {host.free_bytes / 1e9:.2f} of {host.store_bytes / 1e9:.2f} GB" for host in cluster.hosts)
    return Finding("object stores", not full, f"free: {', '.join(free)}")

"""Checks a Ray cluster: open ports, differences between its hosts, free memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rbt_ray.cli.tables import print_json

if TYPE_CHECKING:
    from rbt_ray.pool.ray.probe import ClusterFacts, Service


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its name, whether it passed, and details."""

    what: str
    ok: bool
    says: str


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints findings. Returns 0 if all checks passed, else 1."""
    if as_json:
        print_json({finding.what: {"ok": finding.ok, "says": finding.says} for finding in findings})
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what:<{width}}  {finding.says}")
    return 0 if all(finding.ok for finding in findings) else 1


_SKEW_S = 1.0
"""With larger clock differences, logs of different hosts are hard to compare."""
_LITTLE = 0.1
"""If less than this share of a store is free, a bundle may not fit."""
_EVERYWHERE = ("0.0.0.0", "::")


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
        parts = [f"{host.name} is {abs(host.ahead_s):.1f} s {_side(host.ahead_s)}" for host in off]
        return Finding("clocks", False, f"{', '.join(parts)} this process's clock: synchronize them with NTP")
    most = max(abs(host.ahead_s) + host.within_s for host in cluster.hosts)
    return Finding("clocks", True, f"all within {most:.2g} s of this process's")


def _side(ahead_s: float) -> str:
    return "ahead of" if ahead_s > 0 else "behind"


def _stores(cluster: ClusterFacts) -> Finding:
    full = any(host.free_bytes < _LITTLE * host.store_bytes for host in cluster.hosts)
    free = (f"{host.name} {host.free_bytes / 1e9:.2f} of {host.store_bytes / 1e9:.2f} GB" for host in cluster.hosts)
    return Finding("object stores", not full, f"free: {', '.join(free)}")

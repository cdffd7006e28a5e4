"""Collects facts about a Ray cluster: versions, clocks and object stores of its hosts, and the services of its head."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.ray import runtime

PACKAGES = ("ray", "rbt_ray", "numpy")
_SECONDS = 60.0
_PINGS = 5


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host of the cluster.

    Args:
        name: the name of the host.
        versions: of Python and of `PACKAGES` as workers there import them; "" if not installed.
        ahead_s: how far its clock is ahead of this process's, in seconds.
        within_s: the error of that: half the round-trip time of a call.
        store_bytes: the size of its object store.
        free_bytes: how much of that is free.
    """

    name: str
    versions: Mapping[str, str]
    ahead_s: float
    within_s: float
    store_bytes: float
    free_bytes: float


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the head.

    Args:
        port: that it listens on.
        addresses: that it listens on; "0.0.0.0" and "::" mean all. Empty if it does not run.
    """

    port: int | None
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Facts about a cluster.

    Args:
        hosts: the hosts that answer, the head first.
        silent: for each host that is up for Ray and does not answer, the reason, by host name.
        here: the versions in this process.
        services: "head", "dashboard" and "client server", on the head.
        asks_for_token: whether the head refused a call without a token.
    """

    hosts: tuple[HostFacts, ...]
    silent: Mapping[str, str]
    here: Mapping[str, str]
    services: Mapping[str, Service]
    asks_for_token: bool


def look(address: str) -> ClusterFacts:
    """Joins the cluster, queries every host, and leaves.

    Args:
        address: "auto", "host:port" or "ray://host:port".

    Raises:
        SettingError: no cluster answers there.
        WorkerStartError: the head cannot run an actor.
    """
    connection = runtime.join(address, n_cpus=0)
    # By value, so that hosts with another rbt_ray, or without one, can be reported.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        return _look()
    except RayError as error:
        raise WorkerStartError(
            f"the head of the cluster at {address!r} does not answer: {_last_line(error)} Is rbt_ray[cluster] installed there?"
        ) from error
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        runtime.leave(connection)


def _look() -> ClusterFacts:
    alive = (node for node in ray.nodes() if node["Alive"])
    nodes = sorted(alive, key=lambda node: "node:__internal_head__" not in node["Resources"])  # the head first
    probes = [_probe(node["NodeID"]) for node in nodes]
    head = probes[0]
    services, asks, free = ray.get(
        [head.services.remote(), head.asks_for_token.remote(), head.free.remote()], timeout=_SECONDS
    )
    hosts: list[HostFacts] = []
    silent: dict[str, str] = {}
    for node, probe in zip(nodes, probes, strict=True):
        name, store = node["NodeManagerHostname"], node["Resources"].get("object_store_memory", 0.0)
        try:
            found = ray.get(probe.versions.remote(), timeout=_SECONDS)
            within, ahead = min(_ping(probe) for _ in range(_PINGS))
        except RayError as error:
            silent[name] = _last_line(error)
        else:
            hosts.append(HostFacts(name, found, ahead, within, store, free.get(node["NodeID"], 0.0)))
        ray.kill(probe)
    return ClusterFacts(
        tuple(hosts),
        silent,
        _versions(),
        {what: Service(port, tuple(addresses)) for what, (port, addresses) in services.items()},
        asks,
    )


def _probe(node: str) -> Any:
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(_Probe).options(num_cpus=0, scheduling_strategy=here).remote()


def _ping(probe: Any) -> tuple[float, float]:
    """Returns the error of a reading of the host's clock, and how far that is ahead, in seconds."""
    sent = time.time()
    there = ray.get(probe.clock.remote(), timeout=_SECONDS)
    back = time.time()
    return (back - sent) / 2, there - (sent + back) / 2


def _versions() -> dict[str, str]:
    import importlib
    import platform

    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.import_module(name).__version__
        except ImportError:
            found[name] = ""
    return found


class _Probe:
    """An actor on each host. It returns plain data and needs only Ray there."""

    def versions(self) -> dict[str, str]:
        return _versions()

    def clock(self) -> float:
        return time.time()

    def free(self) -> dict[str, float]:
        """Returns the free bytes of every host's object store, by node id."""
        from ray._private.state import available_resources_per_node

        free = available_resources_per_node()
        return {node: amounts.get("object_store_memory", 0.0) for node, amounts in free.items()}

    def services(self) -> dict[str, tuple[int | None, list[str]]]:
        """Returns the ports and addresses of the services; called on the head."""
        import psutil
        from ray.experimental.internal_kv import _internal_kv_get

        page = _internal_kv_get(b"webui:url", namespace=b"dashboard")
        servers = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
        client = [word for words in servers if "ray.util.client.server" in words for word in words if "--port=" in word]
        gcs = ray.get_runtime_context().gcs_address
        ports = {
            "head": _port(gcs),
            "dashboard": _port(page.decode()) if page else None,
            "client server": int(client[0].partition("=")[2]) if client else None,
        }
        listening: list[Any] = [one.laddr for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        return {
            what: (port, sorted({at.ip.removeprefix("::ffff:") for at in listening if at.port == port}))
            for what, port in ports.items()
        }

    def asks_for_token(self) -> bool:
        """Returns whether the head refuses a call without a token."""
        import grpc  # type: ignore[import-untyped]
        from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

        with grpc.insecure_channel(ray.get_runtime_context().gcs_address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            try:
                stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=10)
            except grpc.RpcError as error:
                return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
            return False


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])

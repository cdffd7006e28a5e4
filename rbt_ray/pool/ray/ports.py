"""Finds the ports that a Ray of our own listens on, and whether each requires the token."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType

import grpc  # type: ignore[import-untyped]
import psutil

from rbt_ray.pool.ray import runtime

_SECONDS = 20.0
_CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
)
"""One call of each gRPC service, without side effects."""
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}
"""The address at which to reach a server that listens on all addresses."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that a process of Ray listens on.

    Args:
        program: the name of the process.
        address: that it listens on; "0.0.0.0" and "::" mean all.
        number: the number of the port.
        is_guarded: whether it refuses a call without the token.
    """

    program: str
    address: str
    number: int
    is_guarded: bool

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address.startswith("127.") or self.address == "::1"


def ports_of_our_own() -> tuple[Port, ...]:
    """Starts a Ray of our own, unless one runs, and calls each of its ports without a token.

    Raises:
        WorkerStartError: no Ray can be started on this machine.
        SettingError: this process is connected to another Ray.
    """
    connection = runtime.join(None, n_cpus=1)
    try:
        this = psutil.Process()
        return tuple(
            Port(process.name(), address, number, refuses(address, number))
            for process in (this, *this.children(recursive=True))
            for address, number in _listening(process)
        )
    finally:
        runtime.leave(connection)


def refuses(address: str, number: int, headers: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Returns whether the server at a port of this machine refuses a call.

    Args:
        address: that it listens on.
        number: the number of the port.
        headers: the headers of the call, such as the token.
    """
    host = _LOOPBACK.get(address, address)
    try:
        with closing(http.client.HTTPConnection(host, number, timeout=_SECONDS)) as connection:
            connection.request("GET", "/", headers=dict(headers))
            return connection.getresponse().status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
    except http.client.BadStatusLine:  # it speaks HTTP/2: gRPC
        return _grpc_refuses(f"[{host}]:{number}" if ":" in host else f"{host}:{number}", headers)


def _grpc_refuses(target: str, headers: Mapping[str, str]) -> bool:
    metadata = [(name.lower(), value) for name, value in headers.items()]
    with grpc.insecure_channel(target) as channel:
        for call in _CALLS:
            try:
                channel.unary_unary(call)(b"", metadata=metadata, timeout=_SECONDS)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    continue
                return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
            return False
    return False


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:  # it has ended
        return []
    at = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
    return [(one.ip.removeprefix("::ffff:"), one.port) for one in at]

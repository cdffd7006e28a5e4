"""Serves the metrics of a study by HTTP on the loopback interface, for Prometheus."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from rbt_ray.engine.monitor import Monitor
from rbt_ray.errors import SettingError

_ADDRESS = "127.0.0.1"


class MetricsServer:
    """An HTTP server in a thread. It reads a study's metrics when a client requests them, and has none before `monitor` is set.

    Args:
        port: of the loopback interface.

    Raises:
        SettingError: prometheus_client is not installed, or nothing can listen at the port.
    """

    def __init__(self, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
            from prometheus_client.core import Metric
        except ImportError as error:
            raise SettingError("`metrics_port` needs prometheus_client: pip install 'rbt-ray[metrics]'.") from error
        self.monitor: Monitor | None = None
        self._metric = Metric
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server = make_server(_ADDRESS, port, make_wsgi_app(registry), _Server, _Handler)
        except OSError as error:
            raise SettingError(
                f"`metrics_port`: nothing can listen at {_ADDRESS}:{port} ({error.strerror}). Use another port, or end the "
                f"program that uses this one."
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="rbt-ray-metrics", daemon=True)
        self._thread.start()

    def collect(self) -> Iterator[Any]:
        """Yields the metrics, as a collector of prometheus_client does."""
        if self.monitor is None:
            return
        for family, samples in self.monitor.read():
            # prometheus_client appends the suffix of a counter.
            metric = self._metric(family.name.removesuffix("_total"), family.help, family.kind)
            for sample in samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric

    def close(self) -> None:
        """Stops the server and frees the port."""
        # It wakes the server's thread, which otherwise looks every 0.5 s whether to stop, and on Linux it frees the port
        # although processes that were forked may have inherited the socket.
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per request. Errors of a request, such as a client that disconnects, end with it."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing."""


class _Handler(WSGIRequestHandler):
    """Answers a request; gives up on a client that sends nothing."""

    timeout = 10.0

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""

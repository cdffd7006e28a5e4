"""Exports the metrics of a run: at `metrics_port` of RunConfig, and on Ray also by Ray."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rbt_ray.engine.monitor import Monitor
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.pools import backend_of

if TYPE_CHECKING:
    from rbt_ray.tuner.metrics_server import MetricsServer

_RAY_SECONDS = 1.0


class MetricsExporter:
    """Exports the metrics of a study from before its workers start until its driver has finished.

    Args:
        run_config: where the study runs, and `metrics_port`.

    Raises:
        SettingError: the metrics cannot be served at `metrics_port`.
    """

    def __init__(self, run_config: RunConfig) -> None:
        self._on_ray = backend_of(run_config) == "ray"
        self._server = None if run_config.metrics_port is None else _serve(run_config.metrics_port)

    @contextmanager
    def exporting(self, monitor: Monitor) -> Iterator[None]:
        """Exports the metrics of a run while the block runs. An error is printed once, and the study continues."""
        if self._server is not None:
            self._server.monitor = monitor
        if not self._on_ray:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(
            target=_export_by_ray, args=(monitor, stop), name="rbt-ray-metrics-of-ray", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        """Stops the server."""
        if self._server is not None:
            self._server.close()


def _serve(port: int) -> MetricsServer:
    from rbt_ray.tuner.metrics_server import MetricsServer  # its HTTP modules would slow down the start of every study

    return MetricsServer(port)


def _export_by_ray(monitor: Monitor, stop: threading.Event) -> None:
    """Updates Ray's metrics every second, and once more after `stop` is set; gives up after an error."""
    from rbt_ray.pool.ray import metrics, runtime

    if runtime.is_client():  # its process is not one of the cluster's
        return
    try:
        while not stop.wait(_RAY_SECONDS):
            metrics.export(monitor.read())
        metrics.export(monitor.read(running=False))
    except Exception as error:  # of Ray, whose metrics no study depends on
        with suppress(OSError):
            print(f"rbt-ray: Ray does not take the study's metrics ({error}); the study continues.", file=sys.stderr)

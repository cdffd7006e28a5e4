"""An error of Ray's metrics is printed once, and the run that exports them continues."""

from types import SimpleNamespace

import pytest
from ray.util.metrics import Gauge

import rbt_ray as rbt
from rbt_ray.engine.monitor import Monitor
from rbt_ray.engine.progress import Progress
from rbt_ray.tuner import export_metrics


def test_a_run_continues_when_ray_does_not_take_its_metrics(tmp_path, monkeypatch, capfd):
    calls = []

    def broken(*given):
        calls.append(given)
        raise RuntimeError("no agent")

    monkeypatch.setattr(Gauge, "set", broken)
    monkeypatch.setattr(export_metrics, "_RAY_SECONDS", 0.001)
    run_config = rbt.RunConfig(name="mine", storage_path=tmp_path, backend="ray", verbose=0)
    study = rbt.Tuner(lambda p, d: 0.0, param_space={"x": rbt.uniform(0, 1)}, run_config=run_config).study
    monitor = Monitor("mine", Progress(study), SimpleNamespace(n_workers=2), SimpleNamespace(lag_s=0.0))
    exporter = export_metrics.MetricsExporter(run_config)
    with exporter.exporting(monitor):
        pass
    with pytest.raises(ZeroDivisionError), exporter.exporting(monitor):
        1 / 0
    assert len(calls) == 2
    line = "rbt-ray: Ray does not take the study's metrics (no agent); the study continues.\n"
    assert capfd.readouterr().err == 2 * line

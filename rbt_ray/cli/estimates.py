"""Prints what a study will take: `rbt-ray run STUDY.toml --estimate`."""

from __future__ import annotations

from dataclasses import asdict

from rbt_ray.cli.study_file import StudyFile
from rbt_ray.cli.tables import print_json
from rbt_ray.reporting.text import duration
from rbt_ray.tuner.estimate import estimate


def print_estimate(study: StudyFile, *, as_json: bool) -> int:
    """Measures a few configs of a study, prints the estimate, and returns the exit code."""
    found = estimate(study.objective, study.param_space, study.bundle, study.tune_config, study.run_config)
    if as_json:
        print_json(asdict(found))
        return 0
    lines = {
        "trials": [f"{n:,}" for n in found.trials],
        "cost": [f"{cost:,.1f} evaluations at full fidelity" for cost in found.cost],
        "time": [duration(seconds) for seconds in found.seconds],
        "journal": [_size(n) for n in found.journal_bytes],
    }
    each = (
        f"{found.seconds_per_config * 1000:,.3g} ms"
        if found.seconds_per_config < 1
        else duration(found.seconds_per_config)
    )
    print(f"An estimate from {found.n_configs:,} configs, of {each} each, on {found.n_workers} workers:")
    for name, (least, most) in lines.items():
        print(f"  {name:<8}{least if least == most else f'{least} to {most}'}")
    return 0


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"

"""Conversion of a study's trials to an hpbandster Result, and back to warm-start from one."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.store.study_record import times_of
from rbt_ray.types import Config

try:
    from hpbandster.core.result import Result as HpbandsterResult
    from hpbandster.core.result import logged_results_to_HBS_result
except ModuleNotFoundError as error:
    raise SettingError("`to_hpbandster` needs hpbandster: pip install 'rbt-ray[hpbandster]'.") from error

if TYPE_CHECKING:
    from rbt_ray.store.study_record import StudyRecord


def to_hpbandster(record: StudyRecord) -> HpbandsterResult:
    """Returns the trials as hpbandster's `Result`: a budget is a fidelity, a loss is the study's metric to minimize.

    A config's id is (0, 0, k), where k counts configs in order of their first trials. A run's info holds the metrics. A trial
    that did not complete has no result, and its error as exception. Options that JSON cannot hold become their `repr`.

    Raises:
        NoResultError: the study has no trials.
        SettingError: the study has several metrics, and a run of hpbandster has one loss.
    """
    table = record.table
    if record.study.further_goals:
        raise SettingError(
            f"the study {record.study.name!r} optimizes several metrics, and hpbandster's results have one loss: use "
            f"`get_dataframe()` or `to_optuna()`."
        )
    if not len(table):
        raise NoResultError(f"the study {record.study.name!r} has no finished trials yet.")
    times = times_of(record)
    ids: dict[bytes, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "configs.json").open("w") as configs, (Path(folder) / "results.json").open("w") as runs:
            for point, result in zip(table.points, table.results(), strict=True):
                key = point.tobytes()
                if key not in ids:
                    ids[key] = len(ids)
                    configs.write(_line([0, 0, ids[key]], result.config, {}))
                # hpbandster has no constraints: an infeasible run must not become its incumbent
                counts = result.loss is not None and result.violation == 0
                outcome = {"loss": result.loss, "info": result.metrics} if counts else None
                run_id = [0, 0, ids[key]]
                runs.write(_line(run_id, result.fidelity, times[result.trial_id], outcome, result.error))
        read: HpbandsterResult = logged_results_to_HBS_result(folder)
    return read


def runs_of(result: HpbandsterResult) -> list[tuple[Config, float, float | None]]:
    """Returns config, fidelity and loss of each run of an hpbandster `Result`, to warm-start a search.

    A fidelity is the run's budget as a share of the largest. A loss is None if the run failed or returned no finite one.
    """
    largest = max(result.HB_config["budgets"])
    configs = result.get_id2config_mapping()
    return [
        (
            configs[run.config_id]["config"],
            run.budget / largest,
            float(run.loss) if run.loss is not None and math.isfinite(run.loss) else None,
        )
        for run in result.get_all_runs()
    ]


def _line(*parts: Any) -> str:
    return json.dumps(parts, default=repr) + "\n"

"""The trials of a study as a pandas frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rbt_ray.html_text import encodable
from rbt_ray.store.table import TrialTable
from rbt_ray.types import STATUSES


def trial_frame(table: TrialTable) -> pd.DataFrame:
    """Returns a row per trial; `ResultGrid.get_dataframe` says which columns."""
    columns: dict[str, Any] = {
        "trial_id": table.trials,
        "status": [STATUSES[code] for code in table.outcomes.status],
        "fidelity": table.fidelity,
    }
    for name, values in table.study.space.columns(table.points).items():
        columns[f"config/{name}"] = values
    for name, column in table.outcomes.metrics.items():
        whole = column.kind != "json" and bool(column.present.all())
        columns[name] = column.values if whole else column.numbers() if column.kind == "float" else column.to_list()
    if table.study.constraints:
        columns |= _feasibility_columns(table)
    errors = [table.outcomes.errors.get(row) for row in range(len(table))]
    columns["error"] = pd.Series(errors, dtype=object)  # None, not NaN, for a trial without an error
    columns["duration_s"] = table.outcomes.duration_s
    columns["worker"] = [table.workers[code] for code in table.worker]
    try:
        return pd.DataFrame(columns)
    except UnicodeEncodeError:
        return pd.DataFrame({encodable(name): _encodable_column(values) for name, values in columns.items()})


def _feasibility_columns(table: TrialTable) -> dict[str, Any]:
    feasible, violation = table.feasibility_columns()
    judged = ~np.isnan(violation)
    return {
        "feasible": feasible
        if judged.all()
        else [ok if known else None for ok, known in zip(feasible.tolist(), judged.tolist(), strict=True)],
        "violation": violation,
    }


def _encodable_column(values: Any) -> Any:
    if getattr(getattr(values, "dtype", None), "kind", "O") != "O":
        return values
    return pd.Series([encodable(value) if isinstance(value, str) else value for value in values], dtype=object)

"""The trials of a study as Arrow record batches, for `to_arrow` and `to_parquet`.

A batch is converted at a time, so that beside the study's own columns only one batch is in memory as Python values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rbt_ray.errors import SettingError
from rbt_ray.html_text import encodable
from rbt_ray.metric_columns import Column
from rbt_ray.private_files import replacing
from rbt_ray.store.table import TrialTable
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.types import STATUSES, FloatArray, IntArray

N_ROWS = 65_536
"""Rows of a batch."""
_TYPE_OF_KIND = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "json": pa.string()}
_FILE_MODE = 0o666  # less the umask: the file is the user's own


def to_arrow(table: TrialTable, rows: IntArray) -> pa.Table:
    """Returns some trials as an Arrow table with the columns of `schema_of`."""
    return pa.Table.from_batches(batches(table, rows), schema_of(table))


def to_parquet(table: TrialTable, rows: IntArray, path: Path) -> Path:
    """Writes some trials to a Parquet file, whole or not at all, and returns its path.

    Raises:
        SettingError: the folder does not exist, or the path is a folder.
    """
    if not path.parent.is_dir():
        raise SettingError(f"{path} cannot be written: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise SettingError(f"{path} is a folder: name a file in it, such as {path / 'trials.parquet'}.")
    with replacing(path, mode=_FILE_MODE, flush=False) as file, pq.ParquetWriter(file, schema_of(table)) as writer:
        for batch in batches(table, rows):
            writer.write_batch(batch)
    return path


def schema_of(table: TrialTable) -> pa.Schema:
    """Returns the names and types of the columns: those of `get_dataframe`, in its order.

    A metric, or the options of a parameter, that no Arrow type holds is text: a string itself, anything else as JSON.
    """
    space = table.study.space
    fields: dict[str, pa.DataType] = {"trial_id": pa.int64(), "status": pa.string(), "fidelity": pa.float64()}
    for at, (name, domain) in enumerate(zip(space.names, space.domains, strict=True)):
        fields[f"config/{name}"] = _type_of(domain, table.points[:, at])
    for name, column in table.outcomes.metrics.items():
        fields[name] = _TYPE_OF_KIND[column.kind]
    if table.study.constraints:
        fields |= {"feasible": pa.bool_(), "violation": pa.float64()}
    fields |= {"error": pa.string(), "duration_s": pa.float64(), "worker": pa.string()}
    return pa.schema([(encodable(name), kind) for name, kind in fields.items()])


def batches(table: TrialTable, rows: IntArray) -> Iterator[pa.RecordBatch]:
    """Yields some trials, `N_ROWS` at a time, with the columns of `schema_of`.

    Args:
        table: the trials.
        rows: ``(n,)`` the rows of the table to yield, in this order.
    """
    schema = schema_of(table)
    judged = table.feasibility_columns() if table.study.constraints else None
    for first in range(0, len(rows), N_ROWS):
        some = rows[first : first + N_ROWS]
        columns: list[Any] = [table.trials[some], [STATUSES[code] for code in table.outcomes.status[some]]]
        columns += [table.fidelity[some], *table.study.space.columns(table.points[some]).values()]
        columns += [_metric(column.take(some)) for column in table.outcomes.metrics.values()]
        if judged is not None:
            feasible, violation = judged
            is_judged = ~np.isnan(violation[some])
            columns += [pa.array(feasible[some], mask=~is_judged), pa.array(violation[some], mask=~is_judged)]
        columns.append([table.outcomes.errors.get(row) for row in some.tolist()])
        columns += [table.outcomes.duration_s[some], [table.workers[code] for code in table.worker[some]]]
        arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_string(kind):
        values = [None if value is None else _text(value) for value in values]
    return pa.array(values, kind)


def _metric(column: Column) -> Any:
    if column.kind == "json":
        return column.to_list()
    return pa.array(column.values, _TYPE_OF_KIND[column.kind], mask=~column.present)


def _type_of(domain: Domain, column: FloatArray) -> pa.DataType:
    """Returns the type of a parameter; that of a choice depends on all of its options."""
    if not isinstance(domain, Choice):
        given = domain.to_python(column[~np.isnan(column)][:1])
        return pa.int64() if given and isinstance(given[0], int) else pa.float64()
    try:
        kind = pa.array(domain.options).type
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.string()
    flat = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    return kind if any(fits(kind) for fits in flat) else pa.string()


def _text(value: Any) -> str:
    return encodable(value if isinstance(value, str) else json.dumps(value, default=repr))

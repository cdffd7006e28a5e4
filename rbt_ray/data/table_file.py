"""One Parquet, Feather or Arrow file to a pandas frame; the file may be anybody's, and be made to harm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.data import room
from rbt_ray.errors import BundleError

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = (".parquet", ".pq")
_HINT = "Is it damaged? A table of prices that large can be read in parts, a bundle each."


def read(path: Path) -> pd.DataFrame:
    """The frame in a file that ends in ``.parquet``, ``.pq``, ``.feather``, ``.arrow`` or ``.ipc``.

    Raises:
        BundleError: it is damaged, no such file, or holds more than this machine can.
    """
    suffix = path.suffix.lower()
    try:
        table = _parquet(path) if suffix in _PARQUET else _feather(path)
        table.validate(full=True)  # pandas would follow offsets that lead out of their buffers
        frame: pd.DataFrame = table.to_pandas()
    except BundleError:
        raise
    except Exception as error:  # there is no list of what readers raise of damaged files, memory errors among it
        reason = (str(error).splitlines() or ["it is damaged"])[0].rstrip(".")
        raise BundleError(f"`{path.name}` cannot be read as {suffix[1:]}: {reason}.") from None
    return frame


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    _check(path, file.metadata.num_rows, file.metadata.num_columns)
    return file.read()


def _feather(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    with pa.memory_map(str(path)) as source:
        is_arrow = source.read(6) == b"ARROW1"  # the first version of Feather was another format, without compression
        source.seek(0)
        if is_arrow:
            file = pa.ipc.open_file(source)
            _check(path, file.count_rows(), len(file.schema))
    return feather.read_table(str(path))


def _check(path: Path, n_rows: int, n_columns: int) -> None:
    """Refuse what is too large, by what the file says of itself: a column of one value a billion times takes no room in it."""
    room.check_columns(n_columns, path.name)
    room.check_bytes(8 * n_rows * n_columns, f"`{path.name}` with its {n_rows:,} rows", _HINT)

"""Malicious files and paths: well formed and with correct digests, but wrong."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

import rbt_ray as rbt
from rbt_ray.data.arrow_file import DIGEST, HEAD
from rbt_ray.errors import BundleError, SettingError
from rbt_ray.store.location import StudyLocation


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("tz", "../../etc/passwd"),
        ("periods_per_year", float("inf")),
        ("periods_per_year", "252"),
        ("metadata", ["x"]),
        ("symbols", [{}, []]),
        ("symbols", ["A", "A"]),
        ("name", {}),
        ("version", "../x"),
        ("n_bars", 0),
    ],
)
def test_a_bundle_s_head_is_looked_at_although_its_digest_is_right(tmp_path, part, value):
    days = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    rbt.Bundle.from_arrays({"close": np.ones((3, 2))}, days, ["A", "B"]).save(tmp_path / "b.arrow")
    with pa.OSFile(str(tmp_path / "b.arrow")) as source, pa.ipc.open_file(source) as file:
        batch, head = file.get_batch(0), json.loads(file.schema.metadata[HEAD])
    raw = json.dumps({**head, part: value}).encode()
    made = batch.replace_schema_metadata({HEAD: raw, DIGEST: hashlib.sha256(raw).hexdigest().encode()})
    with pa.ipc.new_file(tmp_path / "c.arrow", made.schema) as writer:
        writer.write_batch(made)
    with pytest.raises(BundleError, match=r"c\.arrow` is not a bundle file, or is damaged"):
        rbt.Bundle.open(tmp_path / "c.arrow")


def test_offsets_that_lead_out_of_their_buffer_are_not_followed(tmp_path):
    offsets = pa.py_buffer(np.array([0, 2**30, 10], np.int32))
    dates = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"2020-01-01"))
    table = pa.table({"date": dates, "AAPL": [1.0, 2.0]})
    with pa.ipc.new_file(tmp_path / "x.feather", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(BundleError, match=r"x\.feather` cannot be read as feather: .*(offset|Offset)"):
        rbt.ingest("x", tmp_path / "x.feather")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "loop"])
def test_a_path_that_no_study_can_have_is_a_sentence(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SettingError, match="cannot be the path of a study"):
        StudyLocation(path if path != "loop" else "loop/study")

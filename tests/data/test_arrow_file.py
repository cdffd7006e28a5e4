from __future__ import annotations

import contextlib
import random
import re
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import rbt_ray as rbt
from rbt_ray.data.bundle import FileRef
from rbt_ray.errors import BundleError

MAPS = Path("/proc/self/maps")


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "small.arrow"
    small.save(path)
    return path


def _same(one: rbt.Bundle, other: rbt.Bundle) -> bool:
    return (
        one == other
        and (one.symbols, one.fields, one.metadata, one.tz) == (other.symbols, other.fields, other.metadata, other.tz)
        and np.array_equal(one.index, other.index)
        and all(np.array_equal(one[field], other[field], equal_nan=True) for field in one.fields)
    )


@pytest.mark.parametrize("verify", [False, True])
def test_opening_returns_the_saved_bundle(saved, small, verify):
    opened = rbt.Bundle.open(saved, verify=verify)
    assert _same(opened, small)
    assert opened.path == saved
    assert opened.periods_per_year == small.periods_per_year


def test_time_zone_and_name_survive(tmp_path, small):
    bundle = rbt.Bundle.from_arrays(
        {"close": small.close}, small.index, ["A", "é€", "C D"], tz="Asia/Tokyo", name="n", periods_per_year=9.5
    )
    bundle.save(tmp_path / "b.arrow")
    opened = rbt.Bundle.open(str(tmp_path / "b.arrow"), verify=True)
    assert _same(opened, bundle)
    assert (opened.name, opened.periods_per_year) == ("n", 9.5)


def test_the_file_is_plain_arrow_for_anybody_else(saved, small):
    table = pa.ipc.open_file(str(saved)).read_all()
    assert table.column_names == ["index", "close", "mood"]
    assert table.schema.field("close").type == pa.list_(pa.float64(), 3)
    np.testing.assert_array_equal(np.array(table["mood"].to_pylist()), small["mood"])
    np.testing.assert_array_equal(table["index"].to_numpy(), small.index)


def test_the_arrays_lie_in_the_mapping_of_the_file(saved):
    before = pa.total_allocated_bytes()
    opened = rbt.Bundle.open(saved)
    assert pa.total_allocated_bytes() == before
    arrays = (opened.index, opened.close, opened["mood"], opened.view(7).close)
    assert not any(array.flags.owndata for array in arrays)
    if not MAPS.exists():  # only Linux shows where files are mapped
        return
    spans = [
        tuple(int(part, 16) for part in line.split()[0].split("-"))
        for line in MAPS.read_text().splitlines()
        if line.endswith(str(saved))
    ]
    for array in arrays:
        address = array.__array_interface__["data"][0]
        assert any(start <= address and address + array.nbytes <= end for start, end in spans)


def test_a_mapped_bundle_cannot_be_written(saved):
    opened = rbt.Bundle.open(saved)
    for array in (opened.close, opened.index, opened.view(5)["mood"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)


def test_a_file_cut_anywhere_is_refused_with_a_sentence(saved, tmp_path):
    whole = saved.read_bytes()
    cut = tmp_path / "cut.arrow"
    for length in [0, len(whole) - 1, *random.Random(1).sample(range(len(whole)), 50)]:
        cut.write_bytes(whole[:length])
        with pytest.raises(BundleError, match=re.escape(f"`{cut}` is not a bundle file, or is damaged: ")):
            rbt.Bundle.open(cut)


def test_flipped_bits_are_refused_or_harmless(saved, small, tmp_path):
    whole = saved.read_bytes()
    rng = random.Random(2)
    damaged = tmp_path / "damaged.arrow"
    refused = 0
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        damaged.write_bytes(content)
        try:
            assert _same(rbt.Bundle.open(damaged, verify=True), small)  # the bits were padding
        except BundleError:
            refused += 1
        with contextlib.suppress(BundleError):
            rbt.Bundle.open(damaged)["close"].sum()
    assert refused > 300  # more than half of the file is not padding


def test_other_files_are_refused_with_a_sentence(tmp_path, saved):
    with pytest.raises(BundleError, match="There is no bundle file"):
        rbt.Bundle.open(tmp_path / "none.arrow")
    with pytest.raises(BundleError, match="is not a bundle file"):
        rbt.Bundle.open(tmp_path)
    (tmp_path / "x.arrow").write_text("close\n1.0\n")
    with pytest.raises(BundleError, match="is not a bundle file"):
        rbt.Bundle.open(tmp_path / "x.arrow")
    table = pa.table({"close": [1.0]})
    with pa.ipc.new_file(str(tmp_path / "y.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(BundleError, match="its schema has no bundle metadata"):
        rbt.Bundle.open(tmp_path / "y.arrow")


def test_saving_is_atomic_private_and_leaves_nothing_behind(tmp_path, small):
    path = tmp_path / "b.arrow"
    small.save(path)
    mapped = rbt.Bundle.open(path)
    other = rbt.Bundle.from_arrays({"close": small.close * 2}, small.index, small.symbols)
    other.save(path)
    assert _same(mapped, small)  # the old file lives as long as it is mapped
    assert rbt.Bundle.open(path) == other
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["b.arrow"]
    with pytest.raises(BundleError, match=r"there is no folder .*none"):
        small.save(tmp_path / "none" / "b.arrow")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match="folder` cannot be written: "):
        small.save(tmp_path / "folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.arrow", "folder"]


def test_a_reference_opens_its_version_only(tmp_path, small):
    path = tmp_path / "b.arrow"
    small.save(path)
    ref = FileRef(path, small.version)
    assert ref.open() == small
    rbt.Bundle.from_arrays({"close": small.close * 2}, small.index, small.symbols).save(path)
    with pytest.raises(BundleError, match="the file was overwritten"):
        ref.open()
    path.unlink()
    with pytest.raises(BundleError, match="There is no bundle file"):
        ref.open()

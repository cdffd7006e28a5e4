"""Checksums detect every change of a bundle; they are computed with it and stored in its file."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data import arrow_file
from rbt_ray.data.checksums import BLOCK_BYTES, block_sums, changed_values
from rbt_ray.errors import BundleError

WORDS = BLOCK_BYTES // 8
ROW = 512


def prices(n_bars=3, n_symbols=2, seed=1):
    index = np.datetime64("2000-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    close = np.random.default_rng(seed).uniform(1, 100, (n_bars, n_symbols))
    fields = {"open": close * 0.99, "close": close, "volume": np.floor(close) * 100, "size of spread": close / 1000}
    return rbt.Bundle.from_arrays(fields, index, [f"S{number}" for number in range(n_symbols)])


BUNDLES = [prices(1, 1), prices(300, 2), prices(20_000, 9)]  # of less than a row, of a block, of two


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(BUNDLES), st.data())
def test_any_bit_that_flips_in_any_column_is_seen_where_it_is(bundle, data):
    content = bundle.content
    name = data.draw(st.sampled_from(["index", *content.arrays]))
    values = (content.index if name == "index" else content.arrays[name]).copy()
    bit = data.draw(st.integers(0, values.nbytes * 8 - 1))
    values.view(np.uint8).reshape(-1)[bit // 8] ^= np.uint8(1 << bit % 8)
    changed = dataclasses.replace(
        content,
        index=values if name == "index" else content.index,
        arrays=content.arrays if name == "index" else {**content.arrays, name: values},
    )
    assert content.changed() is None
    assert changed.changed().startswith(f"`{name}`, bars ")
    bar = bit // 64 // (1 if name == "index" else bundle.n_symbols)
    first, last = (int(word.replace(",", "")) for word in changed.changed().split("bars ")[1].split(" to "))
    assert first <= bar <= last


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.data())
def test_overwriting_part_of_a_page_is_detected(seed, data):
    """Overwrites with random bytes, zeros, adjacent bytes or another part of the array, like torn and misplaced writes."""
    values = np.round(np.random.default_rng(seed).uniform(1, 9, 2 * WORDS + 700))  # round prices: few bits are in use
    sums, before = block_sums(values), values.copy()
    start = data.draw(st.integers(0, len(values) - 1))
    length = data.draw(st.integers(1, min(ROW - start % ROW, len(values) - start)))
    source = data.draw(st.integers(0, len(values) - length))
    written = data.draw(
        st.sampled_from([np.zeros(length), before[source : source + length], before[start : start + length][::-1]])
    )
    values[start : start + length] = written
    found = changed_values(values, sums)
    if np.array_equal(values, before):
        assert found is None
    else:
        differ = np.flatnonzero(values != before)
        assert found is not None
        assert found[0] <= differ[0] <= found[-1]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, WORDS - 1), st.integers(0, WORDS // ROW - 1), st.integers(0, ROW - 1), st.booleans())
def test_two_values_that_change_places_are_seen(one, row, column, is_same_column):
    values = np.floor(np.arange(WORDS) * 0.37) + 1.0
    sums = block_sums(values)
    other = row * ROW + (one % ROW if is_same_column else column)
    is_same = values[one] == values[other]
    values[[one, other]] = values[[other, one]]
    assert (changed_values(values, sums) is None) == is_same


def test_a_saved_bundle_brings_its_checksums_and_a_file_of_an_earlier_version_is_checked_by_its_hash(tmp_path):
    bundle = BUNDLES[1]
    bundle.save(tmp_path / "new.arrow")
    assert rbt.Bundle.open(tmp_path / "new.arrow").content.sums == bundle.content.sums
    old = dataclasses.replace(bundle.content, sums=None)
    arrow_file.write(tmp_path / "old.arrow", old, None, {})
    assert rbt.Bundle.open(tmp_path / "old.arrow").content.sums is None
    assert rbt.Bundle.open(tmp_path / "old.arrow").content.changed() is None
    assert rbt.Bundle.open(tmp_path / "old.arrow", verify=True).content.sums == bundle.content.sums
    for name in ("new", "old"):
        path = tmp_path / f"{name}.arrow"
        at = path.read_bytes().index(bundle.close.tobytes()) + 1000
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))
        assert rbt.Bundle.open(path).content.changed() is not None


@pytest.mark.parametrize("sums", [{}, 7, {"close": "00"}, "all", {"close": None}, {"close": "no hexadecimal"}])
def test_a_head_with_unusable_checksums_is_refused(tmp_path, sums):
    content = BUNDLES[1].content
    path = tmp_path / "bundle.arrow"
    wrong = dict(content.sums) | {"close": b""}
    arrow_file.write(path, dataclasses.replace(content, sums=wrong), None, {})
    with pytest.raises(BundleError, match="no usable `sums`"):
        rbt.Bundle.open(path)
    head = {"sums": sums}
    with pytest.raises(arrow_file._DAMAGE):
        arrow_file._sums(head["sums"], list(content.arrays), len(content.index), 2)

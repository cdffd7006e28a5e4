"""Declared ends of listings: which declarations are valid, and where they are stored."""

from __future__ import annotations

import datetime
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import rbt_ray as rbt
from rbt_ray.cli.main import app
from rbt_ray.data.bundle import FileRef
from rbt_ray.data.fidelity import cut_to_fidelity
from rbt_ray.errors import BundleError
from rbt_ray.objectives import lookahead, review

NAN = np.nan
DAYS = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]")
CLOSES = np.array([[1.0, 2, 3, NAN, NAN, NAN], [1, 2, 3, 4, 5, 6]]).T
THIRD = np.datetime64("2020-01-03", "ns")


def bundle_of(listed_until=None, tz=None):
    return rbt.Bundle.from_arrays({"close": CLOSES}, DAYS, ["A", "B"], tz=tz, listed_until=listed_until)


@pytest.fixture
def declared():
    return bundle_of({"A": "2020-01-03"})


@pytest.mark.parametrize(
    "end",
    [
        "2020-01-03",
        "2020-01-03T00:00+00:00",
        datetime.date(2020, 1, 3),
        datetime.datetime(2020, 1, 3, tzinfo=datetime.UTC),
        np.datetime64("2020-01-03"),
        pd.Timestamp("2020-01-03"),
    ],
)
def test_a_time_of_any_kind(end):
    assert dict(bundle_of({"A": end}).listed_until) == {"A": THIRD}


def test_times_without_a_zone_are_the_bundles_and_datetime64_is_utc():
    late = bundle_of({"A": "2020-01-03T09:00"}, "Asia/Tokyo")
    assert late.listed_until["A"] == THIRD == bundle_of({"A": THIRD}, "Asia/Tokyo").listed_until["A"]


@pytest.mark.parametrize(
    ("listed_until", "sentence"),
    [
        ({"C": "2020-01-03"}, "has 'C', which is not a symbol of the bundle"),
        ({"A": "soon"}, "of A is the time of its last bar .*; got 'soon'"),
        ({"A": np.datetime64("NaT")}, "of A is the time of its last bar"),
        ({"A": 3}, "of A is the time of its last bar .*; got 3"),
        ({"A": None}, "of A is the time of its last bar .*; got None"),
        ({"A": "2020-01-02"}, "of A is 2020-01-02, but it has a close on 2020-01-03"),
        (["A"], "is a mapping from symbols to the times of their last bars.*; got list"),
    ],
)
def test_invalid_declarations_are_refused(listed_until, sentence):
    with pytest.raises(BundleError, match=sentence):
        bundle_of(listed_until)


def test_the_declaration_is_part_of_the_version(declared):
    plain = bundle_of()
    assert plain.version == bundle_of({}).version
    assert len({plain.version, declared.version, bundle_of({"A": "2020-01-04"}).version}) == 3
    assert bundle_of({"A": "2020-01-03", "B": "2020-01-06"}) == bundle_of({"B": "2020-01-06", "A": "2020-01-03"})
    with pytest.raises(TypeError):
        declared.listed_until["A"] = THIRD


def test_bundles_without_a_declaration_have_the_hash_and_the_file_they_had(tmp_path):
    """The hashes are of the last version without declarations."""
    assert rbt.load_bundle("sample").version == "5dbff505f7128b2f136a155297cad70ec1e6f77fe50b91b7ec91bc5f0c736016"
    plain = bundle_of()
    assert plain.version == "9adf5a48ab8e0a08aabfec1a60f3255b747c6fc0685258347899049c610e5d52"
    plain.save(tmp_path / "plain.arrow")
    assert b"listed_until" not in (tmp_path / "plain.arrow").read_bytes()


def test_files_pickles_and_references_keep_it(declared, tmp_path):
    declared.save(tmp_path / "b.arrow")
    opened = rbt.Bundle.open(tmp_path / "b.arrow", verify=True)
    for copy in (opened, pickle.loads(pickle.dumps(opened)), pickle.loads(pickle.dumps(declared))):
        assert copy == declared
        assert dict(copy.listed_until) == {"A": THIRD}
    assert dict(FileRef(tmp_path / "b.arrow", declared.version).open().listed_until) == {"A": THIRD}


@pytest.mark.parametrize("ends", [{"C": 0}, {"A": "2020"}, {"A": 2**63}, {"A": True}, ["A"], None])
def test_a_file_that_declares_something_else_is_damaged(declared, tmp_path, ends):
    import pyarrow as pa

    from rbt_ray.data import arrow_file

    declared.save(tmp_path / "b.arrow")
    table = pa.ipc.open_file(tmp_path / "b.arrow").read_all()
    head = json.loads(table.schema.metadata[arrow_file.HEAD]) | {"listed_until": ends}
    raw = json.dumps(head).encode()
    table = table.replace_schema_metadata({arrow_file.HEAD: raw, arrow_file.DIGEST: arrow_file._digest(raw)})
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(BundleError, match="its head has no usable `listed_until`"):
        rbt.Bundle.open(tmp_path / "b.arrow")


def test_slices_and_parts_keep_it(declared):
    for part in (
        declared.view(4),
        declared.view(4).for_trial(1),
        review._since(declared, 2),
        review._since(declared, 4),
        lookahead._altered(declared, 4, np.random.default_rng(0), 1.0),
        cut_to_fidelity(declared, "blocks", 0.5, 6, 0)[0],
    ):
        assert dict(part.listed_until) == {"A": THIRD}
    for seed in range(4):
        some = cut_to_fidelity(declared, "symbols", 0.5, 6, seed)[0]
        assert set(some.listed_until) == {"A"} & set(some.symbols)


def test_frames_and_ingests_take_it(declared, tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    wide = pd.DataFrame(CLOSES, pd.DatetimeIndex(DAYS), columns=["A", "B"])
    wide.index.name = "date"
    assert rbt.Bundle.from_frame(wide, listed_until={"A": "2020-01-03"}) == declared
    assert rbt.ingest("kept", declared) == declared
    assert rbt.ingest("kept", declared, periods_per_year=365).listed_until == declared.listed_until
    assert rbt.ingest("changed", declared, listed_until={}) == bundle_of()
    wide.to_csv(tmp_path / "wide.csv")
    words = ["bundle", "ingest", "marked", str(tmp_path / "wide.csv"), "--listed-until"]
    assert CliRunner().invoke(app, [*words, "A=2020-01-03"]).exit_code == 0
    assert rbt.load_bundle("marked") == declared
    shown = json.loads(CliRunner().invoke(app, ["bundle", "show", "marked", "--json"]).stdout)
    assert shown["listed_until"] == {"A": "2020-01-03"}
    assert "listed until      A 2020-01-03" in CliRunner().invoke(app, ["bundle", "show", "marked"]).stdout
    for wrong in (["A"], ["=2020-01-03"], ["A=2020-01-03", "--listed-until", "A=2020-01-04"]):
        with pytest.raises(BundleError, match="`--listed-until` takes SYMBOL=TIME"):
            CliRunner().invoke(app, [*words, *wrong], catch_exceptions=False)


def test_a_view_does_not_show_ends_that_lie_after_it(declared):
    assert [len(declared.view(n).listed_until) for n in range(1, 7)] == [0, 0, 0, 1, 1, 1]

from __future__ import annotations

import os
import random
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError, BundleNotFoundError

INGEST_FOR_EVER = """
import itertools, sys
import numpy as np
import rbt_ray as rbt
index = np.arange(20_000).astype("datetime64[D]")
first = int(sys.argv[1])
for number in itertools.count(first) if len(sys.argv) == 2 else range(first, first + int(sys.argv[2])):
    bundle = rbt.Bundle.from_arrays({"close": np.full((20_000, 4), 1.0 + number)}, index, list("ABCD"))
    print("begun", bundle.version, flush=True)
    rbt.ingest("prices", bundle)
    print("done", bundle.version, flush=True)
"""

INGEST_AND_REMOVE = """
import numpy as np
import rbt_ray as rbt
index = np.arange(2_000).astype("datetime64[D]")
bundles = [rbt.Bundle.from_arrays({"close": np.full((2_000, 4), 1.0 + n)}, index, list("ABCD")) for n in range(3)]
print("ready", flush=True)
while True:
    for bundle in bundles:
        rbt.ingest("prices", bundle)
    rbt.remove_bundle("prices")
"""


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", INGEST_FOR_EVER, *arguments], stdout=subprocess.PIPE, text=True)


def test_ingest_load_list_remove(home, small):
    bundle = rbt.ingest("my.prices_1-2", small)
    assert (bundle, bundle.name) == (small, "my.prices_1-2")
    loaded = rbt.load_bundle("my.prices_1-2")
    assert (loaded, loaded.path, loaded.metadata) == (small, bundle.path, small.metadata)
    assert [info.name for info in rbt.list_bundles()] == ["sample", "fx", "my.prices_1-2"]
    info = rbt.list_bundles()[-1]
    assert (info.n_bars, info.symbols, info.fields) == (20, ("A", "B", "C"), ("close", "mood"))
    assert (info.start, info.end, info.error, info.embedded) == ("2020-01-01", "2020-01-20", None, False)
    assert (info.version, info.nbytes) == (small.version, 2 * 20 * 3 * 8)
    rbt.remove_bundle("my.prices_1-2")
    assert [info.name for info in rbt.list_bundles()] == ["sample", "fx"]
    np.testing.assert_array_equal(loaded.close, small.close)  # a mapped file stays readable
    assert list((home / "bundles").iterdir()) == []


def test_older_versions_stay_until_removed(home, small):
    first = rbt.ingest("p", small)
    second = rbt.ingest("p", small, periods_per_year=7)
    assert rbt.load_bundle("p") == second != first
    assert rbt.load_bundle("p", first.version) == first
    third = rbt.ingest("p", small)
    assert rbt.load_bundle("p") == third == first
    assert len(list((home / "bundles" / "p").glob("*.arrow"))) == 2
    with pytest.raises(BundleNotFoundError, match=f"`p` has no version 'abc'; it has .*{second.version}"):
        rbt.load_bundle("p", "abc")
    with pytest.raises(BundleNotFoundError, match="no version"):
        rbt.load_bundle("p", "../p/" + first.version)


def test_new_metadata_replaces_the_old(home, small):
    rbt.ingest("p", small)
    fields = {field: small[field] for field in small.fields}
    again = rbt.Bundle.from_arrays(fields, small.index, small.symbols, metadata={"source": "elsewhere"})
    assert rbt.ingest("p", again).metadata == {"source": "elsewhere"}


def test_files_are_private(home, small):
    rbt.ingest("p", small)
    if os.name != "posix":  # elsewhere the user's whole folder is private
        return
    for path in (home / "bundles", *(home / "bundles").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_an_unknown_name_lists_the_nearest_and_all(home, small):
    rbt.ingest("prices", small)
    with pytest.raises(
        BundleNotFoundError, match=r"no bundle 'price': did you mean 'prices'\? There are: sample, fx, prices\."
    ):
        rbt.load_bundle("price")
    with pytest.raises(BundleNotFoundError, match=r"no bundle 'zzz'. There are: .*rbt\.ingest"):
        rbt.remove_bundle("zzz")
    with pytest.raises(BundleNotFoundError, match="There are: sample"):
        rbt.load_bundle("../prices")
    with pytest.raises(LookupError):
        rbt.load_bundle(7)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "../a", ".hidden", "-x", "a b", "é", "x.", "x" * 101, "a\n", None]
)
def test_invalid_names_are_refused(home, small, name):
    with pytest.raises(BundleError, match=re.escape(f"letter or digit; got {name!r}.")):
        rbt.ingest(name, small)
    assert not home.exists()


@pytest.mark.parametrize("name", ["sample", "fx", "Sample", "FX"])
def test_embedded_names_are_taken(home, small, name):
    for act in (lambda: rbt.ingest(name, small), lambda: rbt.remove_bundle(name)):
        with pytest.raises(BundleError, match=f"`{name}` is the name of a bundle that comes with rbt_ray"):
            act()


def test_a_damaged_bundle_is_refused_listed_and_mended(home, small):
    path = rbt.ingest("p", small).path
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(2.0).tobytes())] ^= 1  # one bit of one price
    path.write_bytes(content)
    with pytest.raises(BundleError, match="its prices do not match its content hash"):
        rbt.load_bundle("p")
    path.write_bytes(content[: len(content) // 2])
    assert "is damaged" in rbt.list_bundles()[-1].error
    assert rbt.list_bundles()[-1].version == ""
    rbt.ingest("p", small)
    assert rbt.load_bundle("p") == small
    (home / "bundles" / "p" / "current").write_text('{"version": "../../x"}')
    with pytest.raises(BundleError, match="current` is damaged: it names no version"):
        rbt.load_bundle("p")
    rbt.ingest("p", small)
    path.unlink()
    with pytest.raises(BundleError, match="There is no bundle file"):
        rbt.load_bundle("p")


def test_the_embedded_version_is_checked(home):
    version = rbt.load_bundle("sample").version
    assert rbt.load_bundle("sample", version).version == version
    with pytest.raises(BundleNotFoundError, match=f"is version {version[:12]}; got 'old'"):
        rbt.load_bundle("sample", "old")


def test_without_rbt_ray_home_bundles_are_in_the_users_data_folder(monkeypatch, tmp_path, small):
    monkeypatch.delenv("RBT_RAY_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert rbt.ingest("p", small).path.is_relative_to(tmp_path)


def test_a_home_that_cannot_be_written_is_a_sentence(monkeypatch, tmp_path, small):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "file"))
    with pytest.raises(BundleError, match=r"cannot be made: .*\. Set RBT_RAY_HOME to a writable folder"):
        rbt.ingest("p", small)


def test_a_bad_source_leaves_the_old_version(home, small):
    rbt.ingest("p", small)
    with pytest.raises(BundleError):
        rbt.ingest("p", home / "nothing")
    assert rbt.load_bundle("p") == small


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [3, 12])
def test_a_killed_ingest_leaves_a_whole_version(home, attempts):
    rng = random.Random(3)
    for attempt in range(attempts):
        child = _start(str(1000 * attempt))
        said = [child.stdout.readline() for _ in range(rng.randrange(3, 9))]
        moment = time.perf_counter() + rng.uniform(0, 0.01)
        while time.perf_counter() < moment:  # at any point of an ingest, which takes about 5 ms
            pass
        child.kill()
        said += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        lines = [line.split() for line in said if line.endswith("\n")]
        done = [version for what, version in lines if what == "done"]
        begun = [version for what, version in lines if what == "begun"]
        assert rbt.load_bundle("prices").version in (done[-1], begun[-1])
        for version in done:
            assert rbt.load_bundle("prices", version).version == version


@pytest.mark.parametrize("act", ["ingest", "remove"])
def test_remains_of_killed_ingests_and_removals_are_removed(home, small, act, tmp_path):
    """No other process writes while the registry is locked, so every unfinished file is a leftover."""
    rbt.ingest("p", small)
    rbt.ingest("q", small)
    bundles, outside = home / "bundles", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    (bundles / "p" / ".writing-half").write_bytes(b"half")
    (bundles / "never-ingested").mkdir()
    (bundles / "never-ingested" / ".writing-half").write_bytes(b"half")
    (bundles / ".removed-abc" / "p").mkdir(parents=True)
    (bundles / ".removed-abc" / "p" / "current").write_text("{}")
    (bundles / ".removed-link").symlink_to(outside)
    os.mkfifo(bundles / ".removed-pipe")
    rbt.ingest("q", small) if act == "ingest" else rbt.remove_bundle("q")
    left = sorted(path.name for path in bundles.iterdir())
    assert left == (["p", "q"] if act == "ingest" else ["p"])
    assert list((bundles / "p").glob(".*")) == []
    assert (outside / "precious").read_text() == "stays"
    assert rbt.load_bundle("p") == small


def test_a_removal_that_is_killed_is_finished_by_the_next_write(home, small):
    """Kills children that ingest and remove in a loop, at random instants."""
    rng = random.Random(5)
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", INGEST_AND_REMOVE], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        moment = time.perf_counter() + rng.uniform(0, 0.05)
        while time.perf_counter() < moment:
            pass
        child.kill()
        child.communicate()
        rbt.ingest("quiet", small)
        assert not list((home / "bundles").rglob(".*"))
        for info in rbt.list_bundles():
            assert info.error is None
            rbt.load_bundle(info.name)
    rbt.remove_bundle("quiet")


@pytest.mark.parametrize("what", ["current", "version"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "sparse"])
def test_special_files_in_the_registry_are_errors_at_once(home, small, what, kind):
    path = rbt.ingest("p", small).path
    victim = path if what == "version" else path.with_name("current")
    victim.unlink()
    if kind == "fifo":
        os.mkfifo(victim)
    elif kind == "folder":
        victim.mkdir()
    else:
        with victim.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(BundleError, match="damaged"):
        rbt.load_bundle("p")
    assert "damaged" in rbt.list_bundles()[-1].error


def test_ingests_at_once_leave_whole_versions_only(home, small):
    rbt.ingest("prices", small)
    children = [_start(str(1000 * number), "6") for number in range(3)]
    loads = 0
    while any(child.poll() is None for child in children):
        assert rbt.load_bundle("prices").n_symbols in (3, 4)
        loads += 1
    versions = []
    for child in children:
        versions += [line.split()[1] for line in child.communicate()[0].splitlines() if line.startswith("done")]
        assert child.returncode == 0
    assert loads > 10
    assert len(set(versions)) == 18
    assert rbt.load_bundle("prices").version in (versions[5], versions[11], versions[17])
    for version in versions:
        assert rbt.load_bundle("prices", version).version == version
    assert list((home / "bundles" / "prices").glob(".*")) == []


def test_ingest_and_remove_at_once(home, small):
    child = _start("0", "30")
    removed = 0
    while child.poll() is None:
        try:
            rbt.remove_bundle("prices")
            removed += 1
        except BundleNotFoundError:
            pass
    child.stdout.close()
    assert child.returncode == 0
    assert removed > 0
    assert not list(Path(home / "bundles").glob(".removed-*"))

"""Others may write to a mirror: hostile content ends in a one-sentence error, and changes no file elsewhere."""

import base64
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

import rbt_ray as rbt
from rbt_ray.errors import BundleError, JournalError, SettingError, StudyLockedError
from rbt_ray.private_files import DRAFT_PREFIX
from rbt_ray.store import mirror as mirror_module
from rbt_ray.store import reconcile as reconcile_module
from rbt_ray.store import segment as segment_module
from rbt_ray.store import storage as storage_module
from rbt_ray.store.journal import Asked, Journal
from rbt_ray.store.journal_file import RawEvents, chain_digest, row_checksum
from rbt_ray.store.lease import Lease
from rbt_ray.store.location import OWN_BUNDLE, StudyLocation
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.segment import Segment, pack, unpack
from rbt_ray.store.storage import ArrowStorage

FIRST = "events-000000000001.arrow"
OBJECTS = ("owner.json", FIRST, OWN_BUNDLE)
NO_FILES = ("link", "broken link", "fifo", "folder", "sparse")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def remote(tmp_path):
    return tmp_path / "remote" / "study"


def uri_of(folder):
    return f"file://{folder}"


def own_bundle():
    days = np.datetime64("2020-01-01") + np.arange(30)
    return rbt.Bundle.from_arrays({"close": np.full((30, 2), 2.0)}, days, ["A", "B"])


def definition():
    prices = own_bundle()
    return {"bundle": {"name": None, "version": prices.version, "n_bars": prices.n_bars, "train_bars": prices.n_bars}}


def run(folder, n=3):
    """A new study with a bundle of its own, mirrored in `folder`."""
    location = StudyLocation(uri_of(folder))
    with location.locked():
        journal = Journal.create(location.folder, definition())
        own_bundle().save(location.folder / OWN_BUNDLE)
        with location.mirrored(), closing(journal):
            for number in range(n):
                journal.append(Asked(number, 1, "x"))
    return location.folder


def go_on(location):
    with location.locked():
        location.reconcile()
        with location.mirrored():
            pass


def plant(kind, path, canary):
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(canary)
    elif kind == "broken link":
        path.symlink_to(canary.with_name("not-there"))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(2**40)


def test_links_under_the_names_of_drafts_are_not_written_through(remote, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("precious")
    remote.mkdir(parents=True)
    for name in OBJECTS:
        for link in (f".{name}.new", f".{name}", f"{name}.new", f"{name}.partial"):
            (remote / link).symlink_to(canary)
            (remote / f"{link}2").symlink_to(tmp_path / "not-there")
    run(remote)
    assert canary.read_text() == "precious"
    assert not (tmp_path / "not-there").exists()
    assert len(Mirror(uri_of(remote)).read(1).rows) == 3


_WRITES = """
import os, sys
from pathlib import Path
home = Path(sys.argv[1]).resolve()
plain, exact = set(), {}
def look(event, arguments):
    if event != "open" or not isinstance(arguments[0], str):
        return
    path, mode, flags = Path(os.path.abspath(arguments[0])), arguments[1], arguments[2]
    if flags & (os.O_WRONLY | os.O_RDWR) and home in path.parents:
        if mode is None:
            exact[path] = flags  # by os.open, with which `open(..., opener=)` opens as well
        else:
            plain.add(path)
sys.addaudithook(look)
import rbt_ray as rbt
os.environ["RBT_RAY_HOME"] = str(home / "home")
prices = rbt.ingest("mine", rbt.load_bundle("sample"))
own = rbt.Bundle.from_arrays({"close": prices.close}, prices.index, prices.symbols)
results = rbt.Tuner(
    rbt.objectives.sma_cross(), param_space={"fast": rbt.randint(5, 9), "slow": 50}, bundle=own,
    run_config=rbt.RunConfig(name="s", storage_path=f"file://{home}/mirror", num_workers=1, verbose=0),
).fit()
results.report(home / "page.html")
rbt.remove_bundle("mine")
in_place = ("lock", "bundles.lock", "journal.sqlite-flushed")
unsafe = plain - set(exact)
unsafe |= {path for path, flags in exact.items() if not flags & os.O_EXCL and path.name not in in_place}
unsafe |= {path for path, flags in exact.items() if not flags & os.O_NOFOLLOW}
print(len(exact), sorted(path.name for path in unsafe if path.name != "journal.sqlite-wal"))  # which is only flushed
"""


@pytest.mark.slow
def test_every_file_is_opened_to_write_so_that_no_link_is_followed(tmp_path):
    """Python's audit hook reports which files are opened, and how, for a study with a mirror, a report and a bundle."""
    done = subprocess.run([sys.executable, "-c", _WRITES, tmp_path], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    n_opened, _, unsafe = done.stdout.splitlines()[-1].partition(" ")
    assert unsafe == "[]"
    assert int(n_opened) > 10
    assert (tmp_path / "mirror" / "s" / OWN_BUNDLE).exists()
    assert not list(tmp_path.rglob(f"{DRAFT_PREFIX}*"))


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_not_a_file_is_an_error(remote, tmp_path, monkeypatch, name, kind):
    canary = tmp_path / "canary"
    run(remote)
    canary.write_bytes((remote / FIRST).read_bytes())
    before = canary.read_bytes()
    plant(kind, remote / name, canary)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    location = StudyLocation(uri_of(remote))
    with pytest.raises(
        (SettingError, JournalError), match=r"link|no regular file|such an object has at most|it is no bundle"
    ):
        go_on(location)
    assert canary.read_bytes() == before
    assert not (tmp_path / "not-there").exists()
    assert not (location.folder / OWN_BUNDLE).exists()


def test_a_mirror_that_is_a_link_is_refused(remote, tmp_path):
    """In a shared folder, anybody could link a study's name to another folder of the user."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "owner.json").write_text("precious")
    remote.parent.mkdir()
    remote.symlink_to(victim)
    with pytest.raises(SettingError, match="it is a link; name the folder that it leads to"):
        run(remote)
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("owner.json", "precious")]


def bomb(n_rows=1, size=1_500_000_000, compression="zstd"):
    """Returns a segment with one event of zeros: a few kilobytes that unpack to any size."""
    header = {"first": 1, "before": "", "meta": {}}
    schema = pa.schema(
        [("kind", pa.string()), ("header", pa.string()), ("body", pa.binary()), ("seal", pa.int64())],
        metadata={"rbt_ray": json.dumps(header)},
    )
    table = pa.table([["asked"] * n_rows, ["{}"] * n_rows, [bytes(size)] * n_rows, [0] * n_rows], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_segment_that_unpacks_to_much_is_refused_before_it_is_unpacked(compression):
    packed = bomb(size=300_000_000, compression=compression)
    assert len(packed) < 2_000_000
    code = (
        "import sys\nimport pyarrow as pa\nfrom rbt_ray.store.segment import unpack\n"
        "try:\n    unpack(sys.stdin.buffer.read(), 1, 'x')\n"
        "except ValueError as error:\n    print(pa.default_memory_pool().max_memory(), error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, timeout=100)
    peak, _, said = done.stdout.decode().partition(" ")
    assert "its columns take 300,000,0" in said, done.stderr
    assert int(peak) < 10_000_000


def test_a_segment_with_a_wrong_unpacked_size_is_refused():
    """Lengths before the compressed columns that are too small, negative, or larger than any memory."""
    packed = bomb(size=100_000)
    length = struct.pack("<q", 100_000)
    assert packed.count(length) >= 1
    for lie in (0, 1, 99_999, 100_001, -2, 2**31, 2**62, -(2**63)):
        with pytest.raises(ValueError, match=r".+"):
            unpack(packed.replace(length, struct.pack("<q", lie)), 1, "x")


def test_a_segment_without_some_of_its_events_is_refused():
    rows = [("asked", "{}", b"", row_checksum(at, "asked", "{}", b"")) for at in (1, 2, 3)]
    packed = pack(Segment(1, "", META, rows))
    table = pa.ipc.open_file(packed).read_all()
    for n_rows in (0, 1, 2):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            if n_rows:
                writer.write_table(table.slice(0, n_rows))
        with pytest.raises(ValueError, match=f"it holds {n_rows} events, and its header says 3"):
            unpack(sink.getvalue().to_pybytes(), 1, "x")
    assert unpack(packed, 1, "x").rows == rows


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_segment_with_changed_bytes_is_refused_or_read_unchanged(data):
    """Any changed byte, also of a length, offset or size, ends in an error of rbt_ray, and never in other events."""
    meta = META
    rows = [
        ("asked", "{}", body, row_checksum(at, "asked", "{}", body))
        for at, body in enumerate((b"", b"\0" * 3000, None), 1)
    ]
    packed = bytearray(pack(Segment(1, "", meta, rows)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packed) - 8))
        packed[at : at + 8] = data.draw(
            st.one_of(
                st.binary(min_size=8, max_size=8), st.integers(-(2**63), 2**63 - 1).map(lambda n: struct.pack("<q", n))
            )
        )
    try:
        found = unpack(bytes(packed), 1, "x")
    except (ValueError, JournalError):
        return
    assert found.rows == rows
    assert found.meta == meta


@pytest.fixture(autouse=True, scope="module")
def meta_of_a_journal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    Journal.create(folder, {"name": "s"}).close()
    with closing(RawEvents(folder)) as events:
        META.update(events.meta)


META: dict[str, str] = {}


def test_too_many_events_in_a_segment_are_refused(monkeypatch):
    packed = bomb(n_rows=200, size=1)
    monkeypatch.setattr(segment_module, "_MOST_ROWS", 100)
    monkeypatch.setattr(segment_module, "_described", lambda schema, what: ("", META))
    with pytest.raises(ValueError, match="it holds 200 events, more than the 100 that"):
        unpack(packed, 1, "x")


@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_an_event_of_any_size_is_read_unchanged(monkeypatch, kind):
    """A segment that would unpack to more than its limit is written uncompressed."""
    monkeypatch.setattr(segment_module, "_FREELY_UNPACKED", 2**20)
    body = bytes(2**22) if kind == "zeros" else np.random.default_rng(0).bytes(2**22)
    rows = [("asked", "{}", body, row_checksum(1, "asked", "{}", body))]
    packed = pack(Segment(1, "", META, rows))
    assert unpack(packed, 1, "x").rows == rows
    assert len(packed) > 2**22 if kind == "zeros" else len(packed) > 2**21


def test_a_segment_of_an_earlier_version_is_read():
    """A segment as earlier versions wrote it, before sizes were checked: three events, with zstd."""
    found = unpack(zlib.decompress(base64.b85decode(_EARLIER)), 1, "x")
    assert [json.loads(header)["digest"] for _, header, _, _ in found.rows] == ["old"] * 3
    assert found.definition == {"name": "s"}


_EARLIER = (
    "c-rk%F>4f25T3o;TUTAYO-OM<ko6HkLCD=jW3<W@fnXz~u~{&C>^rmE-EP=B#E=|DB!9tLAw{~R2?Ww4on^qr(w|^!A#vut$=$NL"
    "y@dm_GjHa5^Jd<g_qMgR_Tps&;1cP;0C0im2HXM*Dqy3AWSC>SgI|;F`$|VQGTCkXlFvqchkZTdZPAI+!B9N&8V^0umYpP(I1mCy"
    "eK`zJM@W+P1Hy<V*+bch;%FEpF`2e~5eI$gqwb4=FGd6z$e>5g#*_NO<45(yr3En>QI^+`)AsOH8f>W?4mgix&gm`IidmPaCXa2v"
    "l7a%)Vq+v*y9}Cpr01D5ua=wFPQoqHKOyFu##Qn-3wc8Zp-ch3AjX9mjBnv8w0kb^v7R@Zi{FjnQ0t}|(|N7q#?LUu!IkuhIVu{I"
    "O%=m4U`!6&!8Ob=<~#Bn=U9d;S*mu6YrhG_beH9QmLAL19Bws--(=ZhdBSp<<ps;zEPv$U6^$QcY~~+z6_3jWe)p=r<N05n`(6(!"
    ">M8(KC%9@BSH)Hc23;9WK7WmK5BWKAGKrI9amk(mbEV1ksbkm2e2v2BwG>G&6r)DdgtL#k{{H&Z-cvp^FtTxs>jm|!D1!mbvl82D"
    "S%2*uVDZgqmkb}?Rdz{!{e1W{vp<)r*L7S6yU|kJ<?0^96IkLNyLu;1II#_u+5Y_hzWh7y%LQ(FOZ^*u1MCRQc>"
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([2**31, 10**400, -1, 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
OWNER = st.fixed_dictionaries(
    {},
    optional={
        "host": JSON | st.just("far-away"),
        "machine": JSON | st.just("m"),
        "pid": JSON | st.just(1),
        "token": JSON | st.just("t"),
        "time": JSON | st.just(time.time()),
        "stale_after_s": JSON | st.just(35.0),
    },
)
HOSTILE_OWNERS = [
    b"[" * 4000,
    b'{"a":' * 800,
    b"null",
    b"",
    b"\xff\xfe",
    b"[1]",
    b"9" * 4096,
    b"x" * 5000,
    json.dumps(
        {"host": "h", "machine": "m", "token": "t", "pid": 1, "time": float("nan"), "stale_after_s": 35}
    ).encode(),
    json.dumps({"host": "h", "machine": "m", "token": "t", "pid": 2**64, "time": 1, "stale_after_s": 35}).encode(),
    json.dumps({"host": "h", "machine": "m", "token": "t", "pid": 1, "time": 1, "stale_after_s": 1e308}).encode(),
    json.dumps({"host": "\x1b[2J", "machine": "m", "token": "t", "pid": 1, "time": 1, "stale_after_s": 35}).encode(),
]


def claim_and_release(remote):
    mirror = Mirror(uri_of(remote))
    lease = Lease(mirror, 10.0)
    lease.acquire()
    lease.renew()
    lease.release()


@pytest.mark.parametrize("content", HOSTILE_OWNERS, ids=range(len(HOSTILE_OWNERS)))
def test_an_invalid_lease_file_is_an_error(remote, content):
    remote.mkdir(parents=True)
    (remote / "owner.json").write_bytes(content)
    with pytest.raises(JournalError, match=r"is damaged: owner.json (is unreadable\. If no driver|has 5,000 bytes)"):
        claim_and_release(remote)


@settings(max_examples=200, deadline=None)
@given(found=OWNER | JSON)
def test_any_content_of_a_lease_file_ends_in_a_result_or_an_error(tmp_path_factory, found):
    remote = tmp_path_factory.mktemp("remote")
    (remote / "owner.json").write_text(json.dumps(found))
    said = "nobody's"
    try:
        claim_and_release(remote)
    except (StudyLockedError, JournalError) as error:
        said = str(error)
    assert len(said) < 600
    assert said.isprintable()
    assert (said == "nobody's") == (list(remote.iterdir()) == [])


def with_bundle(remote, tmp_path, monkeypatch, edit):
    """Another machine fetches a study whose mirror's bundle was edited."""
    run(remote)
    edit(remote / OWN_BUNDLE)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    location = StudyLocation(uri_of(remote))
    try:
        location.fetch()
    finally:
        assert not (location.folder / OWN_BUNDLE).exists()
        assert not list(location.folder.glob(f"{DRAFT_PREFIX}*"))


def grow(path):
    with path.open("r+b") as file:
        file.truncate(2**40)


def another(path):
    days = np.datetime64("2020-01-01") + np.arange(30)
    rbt.Bundle.from_arrays({"close": np.ones((30, 2))}, days, ["A", "B"]).save(path)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (grow, "bundle.arrow: it has 1,099,511,627,776 bytes, and the bundle it names has at most"),
        (another, "it is not the bundle that the study began with"),
        (lambda path: path.write_bytes(b""), "it is no bundle"),
        (lambda path: path.write_bytes(b"ARROW1\0\0" + b"\xff" * 60), "it is no bundle"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "it is no bundle"),
    ],
)
def test_a_bundle_that_is_not_the_studys_is_not_copied(remote, tmp_path, monkeypatch, edit, sentence):
    with pytest.raises(JournalError, match=sentence):
        with_bundle(remote, tmp_path, monkeypatch, edit)


def test_a_bundle_that_does_not_fit_on_the_disk_is_not_begun(remote, tmp_path, monkeypatch):
    """A sparse file of ten terabytes, with the header and the size of the bundle that the study needs."""
    n_bars, path = 4 * 10**11, tmp_path / "huge.arrow"
    own_bundle().save(path)
    schema = pa.ipc.open_file(str(path)).schema
    head = {**json.loads(schema.metadata[b"rbt_ray.bundle"]), "n_bars": n_bars}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema.with_metadata({"rbt_ray.bundle": json.dumps(head)})):
        pass
    wanted = {"bundle": {**definition()["bundle"], "n_bars": n_bars}}
    location = StudyLocation(uri_of(remote))
    with location.locked():
        Journal.create(location.folder, wanted).close()
        with location.mirrored():
            pass
    with (remote / OWN_BUNDLE).open("wb") as file:
        file.write(sink.getvalue())
        file.truncate(24 * n_bars)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    with pytest.raises(
        SettingError, match=r"9,600\.0 GB would have to be copied to .* are free there\. Free some space"
    ):
        StudyLocation(uri_of(remote)).fetch()


def test_events_that_do_not_fit_on_the_disk_leave_the_journal_unchanged(remote, tmp_path, monkeypatch):
    """Each byte counts as a terabyte; the free disk space is the real one."""
    run(remote, n=3)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    StudyLocation(uri_of(remote)).fetch()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    location = StudyLocation(uri_of(remote))
    with closing(Journal(location.folder, write=True)) as journal:
        journal.append(Asked(3, 1, "y" * 1000))
    location.sync()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    monkeypatch.setattr(reconcile_module, "_COPIES", 10**12)
    with pytest.raises(SettingError, match="would have to be copied to"):
        StudyLocation(uri_of(remote)).fetch()
    with closing(Journal(StudyLocation(uri_of(remote)).folder)) as journal:
        assert [event.first for event in journal.read()] == [0, 1, 2]


@pytest.mark.slow
def test_prices_of_a_mirror_have_to_have_the_versions_hash(remote, tmp_path, monkeypatch):
    """A changed price keeps the file's header and size; resuming the study checks the prices."""
    study = (
        "import sys, rbt_ray as rbt\nfrom pathlib import Path\nimport numpy as np\n"
        "days = np.datetime64('2020-01-01') + np.arange(600)\n"
        "prices = rbt.Bundle.from_arrays({'close': np.linspace(50, 80, 600)[:, None]}, days, ['A'])\n"
        "rbt.Tuner(rbt.objectives.sma_cross(), param_space={'fast': 5, 'slow': 50}, bundle=prices,\n"
        "  run_config=rbt.RunConfig(name='study', storage_path=sys.argv[1], num_workers=1, verbose=0, recheck=0)).fit()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", study, uri_of(remote.parent)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    path = remote / OWN_BUNDLE
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(80.0).tobytes())] ^= 1
    path.write_bytes(content)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    with pytest.raises(BundleError, match="its prices do not match its content hash"):
        rbt.Tuner.restore(uri_of(remote), rbt.objectives.sma_cross())


def test_a_bundle_whose_columns_are_compressed_is_not_unpacked(tmp_path):
    path = tmp_path / "x.arrow"
    own_bundle().save(path)
    schema = pa.ipc.open_file(str(path)).schema
    n = 10_000_000
    cells = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * n)), 2)
    batch = pa.record_batch([pa.array(np.zeros(n, "<M8[ns]")), cells], schema=schema)
    with pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    assert path.stat().st_size < 1_000_000
    before = pa.total_allocated_bytes()
    with pytest.raises(BundleError, match="its columns take 240,000,000 bytes"):
        rbt.Bundle.open(path)
    assert pa.total_allocated_bytes() <= before


def test_a_folder_with_more_than_any_mirror_holds_is_refused(remote, monkeypatch):
    monkeypatch.setattr(storage_module, "MAX_OBJECTS", 50)
    monkeypatch.setattr(mirror_module, "MAX_OBJECTS", 50)
    remote.mkdir(parents=True)
    for number in range(60):
        (remote / f"{number}").touch()
    with pytest.raises(SettingError, match="holds more than 50 objects, which no mirror of a study does"):
        Mirror(uri_of(remote)).segment_starts()


def test_a_mirror_that_begins_late_or_has_a_gap_changes_no_journal(remote, tmp_path, monkeypatch):
    """Anybody can compute matching digests and checksums, and still the events would get other numbers."""
    run(remote, n=0)
    mirror = Mirror(uri_of(remote))
    whole = mirror.read(1)
    rows = [("ended", "{}", None, row_checksum(number, "ended", "{}", None)) for number in (1, 7)]
    mirror.write(Segment(1, "", whole.meta, rows[:1]))
    mirror.write(Segment(7, chain_digest("", rows[:1]), whole.meta, rows[1:]))
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "another"))
    with pytest.raises(JournalError, match="event 7 is of another history"):
        StudyLocation(uri_of(remote)).fetch()
    mirror.remove_segment(1)
    mirror.write(Segment(7, "", whole.meta, rows[1:]))
    with pytest.raises(JournalError, match="does not begin with a first event"):
        StudyLocation(uri_of(remote)).fetch()


def test_drafts_of_killed_drivers_are_removed_and_those_of_living_ones_stay(remote):
    remote.mkdir(parents=True)
    for name, age in ((f"{DRAFT_PREFIX}old", 4000), (f"{DRAFT_PREFIX}new", 10)):
        (remote / name).write_bytes(b"half")
        os.utime(remote / name, (time.time() - age,) * 2)
    folder = run(remote)
    (folder / f"{DRAFT_PREFIX}old").touch()
    os.utime(folder / f"{DRAFT_PREFIX}old", (time.time() - 4000,) * 2)
    StudyLocation(uri_of(remote)).sync()
    assert [path.name for path in remote.glob(f"{DRAFT_PREFIX}*")] == [f"{DRAFT_PREFIX}new"]
    assert not list(folder.glob(f"{DRAFT_PREFIX}*"))


def test_other_file_systems_get_drafts_of_random_names_and_lose_old_ones(tmp_path):
    objects = ArrowStorage(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "study")
    (tmp_path / "study").mkdir()
    canary = tmp_path / "canary"
    canary.write_text("precious")
    (tmp_path / "study" / ".x.new").symlink_to(canary)
    for name, age in ((f"{DRAFT_PREFIX}old", 4000), (f"{DRAFT_PREFIX}new", 10)):
        (tmp_path / "study" / name).write_bytes(b"half")
        os.utime(tmp_path / "study" / name, (time.time() - age,) * 2)
    objects.put("x", b"content")
    objects.remove_drafts()
    with objects.open("x") as (source, n_bytes):
        assert (source.read(), n_bytes) == (b"content", 7)
    assert sorted(objects.names()) == [f"{DRAFT_PREFIX}new", ".x.new", "x"]
    assert canary.read_text() == "precious"
    (tmp_path / "study" / "y").mkdir()
    (tmp_path / "study" / "y" / "z").touch()
    with pytest.raises(OSError, match="y"):
        objects.put("y", b"content")
    assert [name for name in objects.names() if name.startswith(DRAFT_PREFIX)] == [f"{DRAFT_PREFIX}new"], (
        "a failed put leaves no draft"
    )


def test_a_mirror_has_the_permissions_of_its_folder(remote):
    code = (
        "import os, sys\nos.umask(0o027)\nfrom rbt_ray.store.mirror import Mirror\n"
        "Mirror(sys.argv[1]).put('owner.json', b'{}')\n"
    )
    subprocess.run([sys.executable, "-c", code, uri_of(remote)], check=True, timeout=60)
    assert (remote / "owner.json").stat().st_mode & 0o777 == 0o640

"""A journal and its mirror at a URI are one history, whichever of the two is lost, late or different."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import JournalError, SettingError, StudyLockedError, StudyMismatchError, StudyNotFoundError
from rbt_ray.store import reconcile as writer_module
from rbt_ray.store.journal import Asked, Journal, Reviewed
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.location import OWN_BUNDLE, SUPERSEDED, StudyLocation
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.storage import child, is_uri, local_folder, without_secrets


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def uri(tmp_path):
    return f"file://{tmp_path}/remote/study"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes this process look like another machine, with its own disk."""
    return lambda name: monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / name))


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", 100)


def event(number, by="one"):
    return Asked(number, 1, by)


def run(uri, numbers, by="one", new=False, definition=None):
    """Runs a driver that appends these events and ends normally."""
    location = StudyLocation(uri)
    with location.locked():
        if new:
            Journal.create(location.folder, definition or {"name": "study"}).close()
        else:
            location.reconcile()
        with location.mirrored(), closing(Journal(location.folder, write=True)) as journal:
            for number in numbers:
                journal.append(event(number, by))
    return location.folder


def bundle(price=1.0):
    days = np.datetime64("2020-01-01") + np.arange(30)
    return rbt.Bundle.from_arrays({"close": np.full((30, 2), price)}, days, ["A", "B"])


def defined(wanted):
    """The definition of a study with a bundle of its own."""
    return {"bundle": {"name": None, "version": wanted.version, "n_bars": wanted.n_bars, "train_bars": wanted.n_bars}}


def alone(folder, numbers, by):
    """A driver that appends while it cannot reach the mirror."""
    with closing(Journal(folder, write=True)) as journal:
        for number in numbers:
            journal.append(event(number, by))


def events(folder):
    with closing(Journal(folder)) as journal:
        return [(one.first, one.digest) for one in journal.read()]


def expected(**numbers_by):
    return [(number, by) for by, numbers in numbers_by.items() for number in numbers]


any_pieces = given(pieces=st.lists(st.integers(0, 60), min_size=1, max_size=6), n_bytes=st.integers(1, 4000))


@settings(max_examples=8, deadline=None)
@any_pieces
def test_another_machine_reads_what_was_pushed_in_whatever_pieces(tmp_path_factory, pieces, n_bytes):
    check_pieces(tmp_path_factory, pieces, n_bytes)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@any_pieces
def test_the_same_in_many_more_pieces(tmp_path_factory, pieces, n_bytes):
    check_pieces(tmp_path_factory, pieces, n_bytes)


def check_pieces(tmp_path_factory, pieces, n_bytes):
    tmp_path = tmp_path_factory.mktemp("mirror")
    uri = f"file://{tmp_path}/remote/study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "SEGMENT_BYTES", n_bytes)
        patch.setenv("RBT_RAY_HOME", str(tmp_path / "a"))
        at = 0
        for number, n in enumerate(pieces):
            run(uri, range(at, at + n), new=number == 0)
            at += n
        patch.setenv("RBT_RAY_HOME", str(tmp_path / "b"))
        there = StudyLocation(uri).fetch()
        assert there.is_relative_to(tmp_path / "b")
        assert events(there) == expected(one=range(at))
        with closing(Journal(there)) as journal:
            assert journal.definition == {"name": "study"}


def test_bodies_and_headers_come_back_byte_for_byte(uri, machine):
    location = StudyLocation(uri)
    told = Reviewed([{"trial": 0, "text": "é\x00\n"}], {"equity": np.array([1.0, np.nan, -0.0]), "empty": np.empty(0)})
    with location.locked():
        journal = Journal.create(location.folder, {"name": "ü"})
        with location.mirrored(), closing(journal):
            journal.append(told)
    machine("another")
    with closing(Journal(StudyLocation(uri).fetch())) as journal:
        [back] = journal.read()
        assert journal.definition == {"name": "ü"}
    assert back.rows == told.rows
    assert {name: curve.tobytes() for name, curve in back.curves.items()} == {
        name: curve.tobytes() for name, curve in told.curves.items()
    }


def test_only_new_events_are_written(uri, tmp_path, small_segments):
    run(uri, range(40), new=True)
    segments = sorted((tmp_path / "remote" / "study").glob("events-*"))
    before = {path.name: path.stat().st_mtime_ns for path in segments}
    run(uri, range(40, 42))
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "remote" / "study").glob("events-*")}
    touched = {name for name, stamp in after.items() if before.get(name) != stamp}
    assert len(before) > 5
    assert touched <= {max(before), max(after)}


def test_a_longer_local_copy_is_continued(uri, machine, small_segments, capsys):
    folder = run(uri, range(10), new=True)
    alone(folder, range(10, 13), "one")
    run(uri, range(13, 15))
    machine("another")
    assert events(StudyLocation(uri).fetch()) == expected(one=range(15))
    assert capsys.readouterr().err == ""


def test_a_longer_mirror_is_continued(uri, machine, home, small_segments, capsys):
    run(uri, range(10), new=True)
    machine("another")
    run(uri, range(10, 20))
    machine(home.name)
    run(uri, range(20, 25))
    assert events(StudyLocation(uri).fetch()) == expected(one=range(25))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("here", [3, 12])
def test_two_different_histories_are_never_merged(uri, machine, home, small_segments, capsys, here):
    """One machine continued without its mirror, another from it: the copy with more events replaces the other."""
    folder = run(uri, range(10), new=True)
    alone(folder, range(10, 10 + here), "here")
    machine("another")
    run(uri, range(10, 16), "there")
    machine(home.name)
    shown = events(StudyLocation(uri).fetch())
    won = expected(one=range(10), here=range(10, 22)) if here == 12 else expected(one=range(10), there=range(10, 16))
    assert shown == won
    if here == 12:
        assert sum(len(Mirror(uri).read(first).rows) for first in Mirror(uri).segment_starts()) == 16, (
            "looking changes nothing"
        )
    run(uri, range(50, 53), "last")
    assert events(folder) == [*won, *expected(last=range(50, 53))]
    machine("third")
    assert events(StudyLocation(uri).fetch()) == [*won, *expected(last=range(50, 53))]
    said = capsys.readouterr().err
    assert "differs from" in said
    if here == 3:
        (folder / SUPERSEDED).rename(folder / FILE_NAME)
        assert events(folder) == expected(one=range(10), here=range(10, 13))
        assert f"it is kept as {SUPERSEDED}" in said
    else:
        assert "(16 of 22): it is overwritten" in said


def test_a_mirror_of_two_histories_is_refused(uri, machine, tmp_path, small_segments):
    run(uri, range(12), "one", new=True)
    machine("another")
    other = f"file://{tmp_path}/other/study"
    run(other, range(12), "two", new=True)
    names = sorted(path.name for path in (tmp_path / "other" / "study").glob("events-*"))
    (tmp_path / "other" / "study" / names[2]).replace(tmp_path / "remote" / "study" / names[2])
    machine("third")
    with pytest.raises(JournalError, match="of another history"):
        StudyLocation(uri).fetch()


def test_a_missing_or_incomplete_segment_is_an_error(uri, machine, tmp_path, small_segments):
    run(uri, range(12), new=True)
    machine("another")
    second = sorted((tmp_path / "remote" / "study").glob("events-*"))[1]
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    with pytest.raises(JournalError, match=f"is damaged: {second.name}"):
        StudyLocation(uri).fetch()
    second.unlink()
    with pytest.raises(JournalError, match="of another history"):
        StudyLocation(uri).fetch()


def test_another_study_of_the_same_name_is_refused(uri, tmp_path, machine, home):
    folder = run(uri, range(3), new=True)
    (tmp_path / "remote" / "study").rename(tmp_path / "moved")
    machine("another")
    run(uri, range(3), new=True, definition={"name": "another"})
    machine(home.name)
    with pytest.raises(StudyMismatchError, match=rf"{folder} is of another study"):
        StudyLocation(uri).fetch()


def test_the_bundle_of_a_study_is_mirrored(uri, machine, tmp_path):
    location, wanted = StudyLocation(uri), bundle()
    with location.locked():
        Journal.create(location.folder, defined(wanted)).close()
        wanted.save(location.folder / OWN_BUNDLE)
        content = (location.folder / OWN_BUNDLE).read_bytes()
        with location.mirrored():
            assert (tmp_path / "remote" / "study" / OWN_BUNDLE).read_bytes() == content
            assert Mirror(uri).segment_starts() == [1], "the definition is there before anything runs"
    machine("another")
    assert (StudyLocation(uri).fetch() / OWN_BUNDLE).read_bytes() == content


def test_a_uri_without_a_study_is_an_error(uri):
    with pytest.raises(StudyNotFoundError, match=f"there is no study in {uri}"):
        StudyLocation(uri).fetch()


def test_the_local_copy_is_private_and_whole_objects_alone_are_there(uri, home, tmp_path):
    folder = run(uri, range(3), new=True)
    assert folder == local_folder(uri)
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "remote" / "study").iterdir()] == ["events-000000000001.arrow"]


def while_mirrored(location, act):
    """Runs a driver of a new study that calls `act`, and then appends an event."""
    with location.locked():
        journal = Journal.create(location.folder, {})
        with location.mirrored(), closing(journal):
            act()
            journal.append(event(0))


def block(remote):
    """Puts a file in place of the folder, so that not even root can write there."""
    remote.rename(remote.with_name("aside"))
    remote.write_text("a file where the folder was")


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_a_mirror_that_cannot_be_written_is_synced_later(uri, tmp_path, capsys):
    remote = tmp_path / "remote" / "study"
    said = []

    def err():
        said.append(capsys.readouterr().err)
        return "".join(said)

    def act():
        block(remote)
        wait_until(err)
        remote.unlink()

    location = StudyLocation(uri, 0.01)
    while_mirrored(location, act)
    assert len(Mirror(uri).read(1).rows) == 1
    assert err().count("The study continues with its journal in") == 1
    assert str(location.folder) in err()


def test_a_mirror_that_cannot_be_written_at_the_end_is_an_error_that_names_the_journal(uri, tmp_path):
    remote = tmp_path / "remote" / "study"
    location = StudyLocation(uri)
    with pytest.raises(JournalError, match=rf"The journal in {location.folder} has all trials.*rbt-ray resume {uri}"):
        while_mirrored(location, lambda: block(remote))
    remote.unlink()
    location.sync()
    assert len(Mirror(uri).read(1).rows) == 1


def test_a_driver_whose_lease_was_taken_over_stops_writing(uri, tmp_path):
    owner = tmp_path / "remote" / "study" / "owner.json"

    def act():
        mine = json.loads(owner.read_bytes())
        assert (mine["pid"], mine["host"]) == (os.getpid(), socket.gethostname())
        owner.write_text(json.dumps({**mine, "host": "far-away", "pid": 77, "token": "x"}))

    with pytest.raises(JournalError, match="was taken over by process 77 on far-away"):
        while_mirrored(StudyLocation(uri), act)
    assert Mirror(uri).read(1).rows == []
    assert json.loads(owner.read_bytes())["pid"] == 77


def test_a_second_machine_is_refused_until_the_first_is_silent_for_long(uri, machine, tmp_path):
    run(uri, range(2), new=True)
    first = StudyLocation(uri)
    with first.locked():
        first.reconcile()
        with first.mirrored():
            owner = tmp_path / "remote" / "study" / "owner.json"
            elsewhere = {**json.loads(owner.read_bytes()), "host": "far-away", "pid": 77, "token": "x"}
            machine("another")
            owner.write_text(json.dumps(elsewhere))
            with pytest.raises(StudyLockedError, match=r"process 77 on far-away, last seen \d s ago.*after 35 s"):
                run(uri, range(2, 4))
            owner.write_text(json.dumps({**elsewhere, "time": time.time() - 36}))
            run(uri, range(2, 4), "two")
    assert events(local_folder(uri)) == [(0, "one"), (1, "one"), (2, "two"), (3, "two")]


def test_a_driver_that_died_on_this_machine_is_taken_over_at_once(uri, tmp_path):
    code = (
        "import os, signal, sys\nfrom rbt_ray.store.journal import Journal\nfrom rbt_ray.store.location import StudyLocation\n"
        "location = StudyLocation(sys.argv[1])\n"
        "with location.locked():\n"
        "    Journal.create(location.folder, {'name': 'study'}).close()\n"
        "    with location.mirrored():\n"
        "        print('held', flush=True)\n"
        "        sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StudyLockedError, match=rf"by process {other.pid} on "):
            run(uri, range(1))
        os.environ["RBT_RAY_HOME"] = str(
            tmp_path / "beside"
        )  # the same machine, another home: only the owner file knows
        with pytest.raises(StudyLockedError, match=rf"by process {other.pid} on {socket.gethostname()}, last seen"):
            run(uri, range(1))
        other.kill()
        other.wait()
        run(uri, range(1))
    assert events(local_folder(uri)) == [(0, "one")]


def test_reading_a_study_that_this_machine_runs_uses_the_local_journal(uri):
    location = StudyLocation(uri)
    with location.locked():
        journal = Journal.create(location.folder, {})
        with location.mirrored(), closing(journal):
            journal.append(event(0))
            assert events(StudyLocation(uri).fetch()) == [(0, "one")]


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("nosuch://x/y", r"nosuch://x/y is no URI that can be used: Unrecognized filesystem"),
        ("s3:///study", r"Missing bucket name"),
        ("file://elsewhere/x", r"Unsupported hostname"),
        ("s3://key:secret@bucket/x?region=a b", r"Cannot parse URI: 's3://bucket/x\?region=a b'"),
        ("s3://key:sec/secret@bucket/x", r"is no URI that can be used"),
        pytest.param(
            "s3://key:secret@bucket/x?scheme=http&endpoint_override=127.0.0.1:1&region=us-east-1",
            r"^s3://bucket/x\?scheme=http.* cannot be reached: .*Failed to connect to 127.0.0.1",
            marks=pytest.mark.slow,  # Arrow tries for six seconds
        ),
    ],
)
def test_errors_of_unusable_uris_contain_no_secrets(bad, sentence):
    with pytest.raises(SettingError, match=sentence) as caught:
        StudyLocation(bad).fetch()
    assert "secret" not in str(caught.value)


def test_uris_are_distinguished_from_paths():
    assert is_uri("s3://bucket/x")
    assert not any(map(is_uri, ("C:/studies", "studies/a", "/x", "C://x")))
    assert child("s3://k:v@b/x/?region=r", "n") == "s3://k:v@b/x/n?region=r"
    assert without_secrets("s3://k:v@b/x?region=r") == "s3://b/x?region=r"
    assert without_secrets("s3://k:v/w@b/x") == "s3://b/x"
    assert without_secrets("s3://b/x@y/z") == "s3://b/x@y/z"
    azure = "abfs://box@account.dfs.core.windows.net/x?client_id=1&client_secret=S&sig=T&tls=true"
    assert (
        without_secrets(azure)
        == "abfs://box@account.dfs.core.windows.net/x?client_id=...&client_secret=...&sig=...&tls=true"
    )
    assert (
        local_folder(azure)
        == local_folder(azure.replace("sig=T", "sig=U"))
        != local_folder(azure.replace("box", "bag"))
    )
    assert local_folder("s3://k:v@b/x/n/") == local_folder("s3://b/x/n") != local_folder("s3://b/y/n")

"""What every storage of a mirror has to satisfy: a new one is a line in `STORAGES`."""

import os
import threading

import pyarrow as pa
import pytest
from pyarrow import fs

from rbt_ray.private_files import ABANDONED_AFTER_S, DRAFT_PREFIX
from rbt_ray.store.storage import ArrowStorage, FolderStorage

# S3 itself is tried against a server, by `.ci/s3`.
STORAGES = {
    "a folder": lambda folder: FolderStorage(folder / "study"),
    "a file system of pyarrow's": lambda folder: ArrowStorage(fs.LocalFileSystem(), f"{folder}/study"),
    "a part of one": lambda folder: ArrowStorage(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "study"),
}


@pytest.fixture(params=STORAGES.values(), ids=STORAGES)
def objects(request, tmp_path):
    return request.param(tmp_path)


def content_of(objects, name):
    with objects.open(name) as (file, size):
        content = file.read()
    assert size == len(content)
    return bytes(content)


def test_where_nothing_was_written_there_is_nothing(objects):
    assert objects.names() == []
    with pytest.raises(FileNotFoundError), objects.open("0"):
        pass
    objects.remove("0")
    objects.remove_drafts()
    assert objects.names() == []


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 20_000], ids=["nothing", "little", "much"])
def test_what_is_put_or_uploaded_is_read(objects, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    objects.put("put", content)
    objects.upload("uploaded", tmp_path / "file")
    assert sorted(objects.names()) == ["put", "uploaded"]
    assert content_of(objects, "put") == content_of(objects, "uploaded") == content


def test_the_last_that_was_written_under_a_name_counts(objects, tmp_path):
    objects.put("name", b"a longer first content")
    objects.put("name", b"second")
    assert content_of(objects, "name") == b"second"
    (tmp_path / "file").write_bytes(b"third")
    objects.upload("name", tmp_path / "file")
    assert content_of(objects, "name") == b"third"
    assert objects.names() == ["name"]


def test_what_is_removed_is_gone_and_the_others_stay(objects):
    for name in ("one", "two"):
        objects.put(name, name.encode())
    objects.remove("one")
    objects.remove("one")
    assert objects.names() == ["two"]
    with pytest.raises(FileNotFoundError), objects.open("one"):
        pass
    assert content_of(objects, "two") == b"two"


def test_a_reader_sees_one_content_or_the_other_and_never_a_part(objects):
    contents = {bytes([letter]) * 200_000 for letter in b"ab"}
    objects.put("name", min(contents))
    seen, ended = set(), threading.Event()

    def look():
        while not ended.is_set():
            seen.add(content_of(objects, "name"))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(30):
        for content in sorted(contents):
            objects.put("name", content)
    ended.set()
    reader.join()
    assert seen
    assert seen <= contents


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(objects, tmp_path):
    (tmp_path / "study").write_bytes(b"a file in the folder's place")
    with pytest.raises((OSError, pa.ArrowException)):
        objects.put("name", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_drafts_of_killed_processes_are_swept_once_they_are_old(objects, tmp_path):
    objects.put("name", b"content")
    for name, age in ((f"{DRAFT_PREFIX}old", 2 * ABANDONED_AFTER_S), (f"{DRAFT_PREFIX}new", 0)):
        (tmp_path / "study" / name).write_bytes(b"half")
        now = (tmp_path / "study" / name).stat().st_mtime
        os.utime(tmp_path / "study" / name, (now - age, now - age))
    objects.remove_drafts()
    assert {path.name for path in (tmp_path / "study").iterdir()} == {f"{DRAFT_PREFIX}new", "name"}

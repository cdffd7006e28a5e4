"""Folders of files are unpacked atomically under their hash; remains of killed workers are removed."""

import os
import time

from rbt_ray.data.file_tree import FileTree, unpack, unpacked


def test_old_remains_are_removed_and_new_ones_stay(home, tmp_path):
    source, outside = tmp_path / "source", tmp_path / "outside"
    source.mkdir()
    (source / "prices.csv").write_text("1")
    outside.mkdir()
    (outside / "precious").write_text("stays")
    unfinished = home / "files"
    for name, age in ((".unpacking-old", 4000), (".unpacking-new", 10)):
        (unfinished / name).mkdir(parents=True)
        (unfinished / name / "half").write_text("1")
        os.utime(unfinished / name, (time.time() - age,) * 2)
    (unfinished / ".unpacking-link").symlink_to(outside)
    os.utime(unfinished / ".unpacking-link", (time.time() - 4000,) * 2, follow_symlinks=False)
    files = FileTree.of(source)
    folder = unpack(files.version, files.pack())
    assert (folder / "prices.csv").read_text() == "1"
    assert unpacked(files.version) == folder
    assert sorted(path.name for path in unfinished.glob(".*")) == [".unpacking-link", ".unpacking-new"]
    assert (outside / "precious").read_text() == "stays"

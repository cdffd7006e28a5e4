"""A storage of another installed package keeps the mirror of a study."""

import sys

import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError, SettingError
from rbt_ray.store.mirror import Mirror

CODE = """
from pathlib import Path
from urllib.parse import urlsplit

from rbt_ray.store.storage import FolderStorage

def open_shelf(uri):
    parts = urlsplit(uri)
    if parts.netloc != "here":
        raise OSError(f"there is no shelf {parts.netloc!r}")
    return FolderStorage(Path(parts.path))
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package that opens URIs such as shelf://here/folder."""
    packages = tmp_path / "packages"
    info = packages / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[rbt_ray.storages]\nshelf = shelf_storage:open_shelf\ns3 = shelf_storage:open_shelf\n"
    )
    (packages / "shelf_storage.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, "shelf_storage", raising=False)
    return packages


def square(params, data):
    return params["x"] ** 2


def test_a_study_is_mirrored_to_the_storage_and_restored_from_it(shelf, tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "first"))
    tuner = rbt.Tuner(
        square,
        param_space={"x": rbt.uniform(-1, 1)},
        tune_config=rbt.TuneConfig(metric="y", mode="min", search_alg="random", num_samples=12, seed=3),
        run_config=rbt.RunConfig("mine", f"shelf://here{tmp_path}/remote", num_workers=1, verbose=0),
    )
    found = tuner.fit().table_hash()
    assert (tmp_path / "remote" / "mine" / "events-000000000001.arrow").exists()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "second"))
    restored = rbt.Tuner.restore(f"shelf://here{tmp_path}/remote/mine", square)
    assert restored.path.is_relative_to(tmp_path / "second")
    assert restored.fit().table_hash() == found


def test_an_error_of_the_storage_names_the_uri(shelf):
    with pytest.raises(SettingError, match=r"shelf://there/x is no URI that can be used: there is no shelf 'there'"):
        Mirror("shelf://there/x")


def test_a_package_does_not_replace_a_built_in_storage(shelf, tmp_path):
    Mirror(f"file://{tmp_path}/remote")
    with pytest.raises(SettingError, match="s3://"):
        Mirror("s3://key:sec/secret@bucket/x")
    assert "shelf_storage" not in sys.modules


def test_a_storage_that_cannot_be_imported_is_named(shelf):
    (shelf / "shelf_storage.py").write_text("import missing_package_of_nobody\n")
    with pytest.raises(InputError, match=r"'shelf' of 'rbt_ray.storages'.*missing_package_of_nobody"):
        Mirror("shelf://here/x")

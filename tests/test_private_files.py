"""Folders that several processes create at the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from rbt_ray.private_files import make_folder


def test_all_who_create_a_folder_at_the_same_time_succeed(tmp_path):
    n, rounds = 4, 300
    barrier = Barrier(n, timeout=60)

    def create_in_step(_):
        for at in range(rounds):
            barrier.wait()
            make_folder(tmp_path / str(at) / "a" / "b" / "c", flush=False)

    with ThreadPoolExecutor(n) as threads:
        list(threads.map(create_in_step, range(n)))
    assert (tmp_path / "0" / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["file/below", "link/below", "file"])
def test_what_is_no_folder_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError) as caught:
        make_folder(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name.split("/")[0])


def test_a_folder_that_exists_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755

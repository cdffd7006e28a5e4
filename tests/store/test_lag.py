"""A journal knows for how long it has had events that a power cut would lose."""

import errno
import os
from contextlib import closing

import pytest

from rbt_ray.errors import JournalBlockedError
from rbt_ray.store.journal import Asked, Journal


def test_the_lag_grows_until_the_disk_has_all_events(tmp_path, monkeypatch):
    with closing(Journal.create(tmp_path, {"format": 1})) as journal:
        journal.flush()
        assert journal.lag_s == 0
        journal.append(Asked(0, 1, "0" * 32))
        first = journal.lag_s
        assert 0 < first < journal.lag_s
        with monkeypatch.context() as patch:

            def broken(_descriptor):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            patch.setattr(os, "fsync", broken)
            with pytest.raises(JournalBlockedError):
                journal.flush()
            assert journal.lag_s > first
        journal.flush()
        assert journal.lag_s == 0
        with closing(Journal(tmp_path)) as reader:
            assert reader.lag_s == 0

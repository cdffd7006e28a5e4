"""Where a study is kept: a folder, or a folder of this machine with a mirror at a URI."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from rbt_ray.errors import InputError, JournalError, SettingError, StudyLockedError, StudyNotFoundError
from rbt_ray.private_files import make_folder, remove_abandoned_drafts
from rbt_ray.store.journal import Journal
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.lease import Lease
from rbt_ray.store.lock import StudyLock
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.reconcile import MirrorPosition, reconcile
from rbt_ray.store.uri import is_uri, local_folder
from rbt_ray.store.writer import MirrorWriter

OWN_BUNDLE = "bundle.arrow"
SUPERSEDED = "superseded.sqlite"


class StudyLocation:
    """A study's place. For a path it is that folder; for a URI, `uri.local_folder` of it and a mirror.

    The journal of a mirrored study lies on this machine's disk. `fetch` decides between the two copies by what they
    hold: where one goes on from the other the longer is right. Two that parted, since two machines went on from
    one point, are never mixed: the one with more events wins, the mirror where both have as many. A local loser
    is kept beside the journal as ``superseded.sqlite``, a losing mirror is overwritten, and stderr says so.

    Args:
        path: a study's folder or URI.
        interval_s: how often the mirror is brought up to date.

    Raises:
        SettingError: the URI, or the path, cannot be used.
    """

    def __init__(self, path: str | Path, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._mirror = Mirror(str(path)) if is_uri(path) else None
        self._lease = None if self._mirror is None else Lease(self._mirror, interval_s)
        self._known: MirrorPosition | None = None
        self.folder = Path(path) if self._mirror is None else local_folder(str(path))
        self.display_name = str(path) if self._mirror is None else self._mirror.display_name
        """The path or URI as people are shown it."""
        try:
            self.folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # whoever needs it says so
        except (OSError, ValueError) as error:  # too long, a NUL in it, not to be entered
            reason = getattr(error, "strerror", None) or error
            raise SettingError(f"{self.display_name!r} is no path that a study can have: {reason}.") from None

    def holder(self) -> str | None:
        """Where there is a study already: its folder, or else its URI."""
        if (self.folder / FILE_NAME).exists():
            return str(self.folder)
        return self.display_name if self._mirror is not None and self._mirror.segment_starts() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other drivers out, here and at the URI.

        Raises:
            StudyLockedError: another one runs the study.
            SettingError: the folder cannot be made, or the mirror not be written.
            JournalError: the mirror's owner file is damaged.
        """
        with self._locked_here():
            if self._lease is not None:
                self._lease.acquire()
            if self._mirror is not None:
                self._mirror.remove_drafts()
            try:
                yield
            finally:
                if self._lease is not None:
                    with suppress(SettingError, JournalError):  # a mirror that cannot be written was reported before
                        self._lease.release()

    def fetch(self) -> Path:
        """The folder with the study's latest journal in it, fetched from the mirror where that is ahead.

        Raises:
            StudyNotFoundError: there is no study, here or there.
            StudyMismatchError: the local copy is of another study than the mirror.
            SettingError: the mirror cannot be reached, or its copy does not fit on the disk.
            JournalError: the mirror or the local journal is damaged.
        """
        if self._mirror is not None:
            if self.holder() is None:
                raise StudyNotFoundError(f"there is no study in {self.display_name}.")
            with suppress(StudyLockedError), self._locked_here():  # what a driver of this machine writes is the latest
                self.reconcile(owned=False)
        return self.folder

    def reconcile(self, *, owned: bool = True) -> None:
        """As `fetch`, within `locked`: also a mirror that lost is put right. Nothing for a folder."""
        if self._mirror is None:
            return
        try:
            self._known = reconcile(self._mirror, self.folder, aside=self.folder / SUPERSEDED, owned=owned)
            self._fetch_bundle(self._mirror)
        except SettingError as error:
            raise SettingError(f"{error} What this machine has of the study is in {self.folder}.") from error

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Within `locked`: keeps the mirror up to date while the block runs, and is there before the block begins.

        Where the mirror cannot be written any more the block goes on, and stderr says so once.

        Raises:
            SettingError: the mirror cannot be written at the start.
            JournalError: it could not be written at the end; the message says where the journal is.
        """
        if self._mirror is None or self._lease is None:
            yield
            return
        self._mirror_bundle(self._mirror)
        writer = MirrorWriter(self._mirror, self._lease, self.folder, self._known)
        writer.push()
        stop = threading.Event()
        thread = threading.Thread(target=self._push_often, args=(writer, stop), name="rbt-ray-mirror", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            if (trouble := self._finish(writer, stop, thread)) is not None:
                print(f"rbt-ray: {trouble}", file=sys.stderr)
            raise
        if (trouble := self._finish(writer, stop, thread)) is not None:
            raise JournalError(trouble)

    def bring_up_to_date(self) -> None:
        """Writes to the mirror what it lacks of a study that is done. Nothing for a folder.

        Raises:
            StudyLockedError: another driver runs the study.
            SettingError: the mirror cannot be written.
        """
        if self._mirror is not None:
            with self.locked():
                self.reconcile()
                with self.mirrored():
                    return

    def _fetch_bundle(self, mirror: Mirror) -> None:
        """The study's own bundle, if it began with one and this machine lacks it."""
        own = self.folder / OWN_BUNDLE
        if own.exists() or self._known is None:
            return
        with closing(Journal(self.folder)) as journal:
            wanted = journal.definition.get("bundle")
        if isinstance(wanted, dict) and mirror.has(OWN_BUNDLE):
            mirror.download_bundle(own, wanted)

    def _mirror_bundle(self, mirror: Mirror) -> None:
        """A bundle of the study's own is there before any trial, and none of another study."""
        own = self.folder / OWN_BUNDLE
        if not own.exists():
            mirror.remove(OWN_BUNDLE)
        elif self._known is None or not mirror.has(OWN_BUNDLE):
            mirror.upload(own)

    def _push_often(self, writer: MirrorWriter, stop: threading.Event) -> None:
        spoke = False
        while not stop.wait(self._interval_s):
            try:
                writer.push()
            except (InputError, JournalError) as error:
                if not spoke:
                    spoke = True
                    print(
                        f"rbt-ray: {error} The study goes on with its journal in {self.folder}; the mirror is tried "
                        f"again every {self._interval_s:g} s.",
                        file=sys.stderr,
                        flush=True,
                    )

    def _finish(self, writer: MirrorWriter, stop: threading.Event, thread: threading.Thread) -> str | None:
        stop.set()
        thread.join()
        try:
            writer.push()
        except (InputError, JournalError) as error:
            return (
                f"{error} The journal in {self.folder} has everything; `rbt-ray resume {self.display_name}` brings the mirror "
                f"up to date when it can be written again."
            )
        return None

    @contextmanager
    def _locked_here(self) -> Iterator[None]:
        try:
            make_folder(self.folder)
            lock = StudyLock(self.folder)
        except OSError as error:
            raise SettingError(f"`storage_path`: no study can be kept in {self.folder}: {error}.") from error
        remove_abandoned_drafts(self.folder)
        try:
            yield
        finally:
            lock.release()

"""The location of a study: a folder, or a folder of this machine with a mirror at a URI."""

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
from rbt_ray.store.lease import Lease, StudyLock
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.reconcile import MirrorPosition, MirrorWriter, reconcile
from rbt_ray.store.storage import is_uri, local_folder

OWN_BUNDLE = "bundle.arrow"
SUPERSEDED = "superseded.sqlite"


class StudyLocation:
    """A study's folder, and for a URI its mirror; the folder of a URI is `storage.local_folder`.

    The journal of a mirrored study is on this machine's disk. If one of the two copies continues the other, `fetch` uses the
    longer one. If they differ, because two machines continued from the same event, they are never merged: the copy with more
    events is used, and the mirror if both have equally many. The other local copy is kept next to the journal as
    ``superseded.sqlite``, the other mirror is overwritten, and a message on stderr reports it.

    Args:
        path: a study's folder or URI.
        interval_s: how often to sync the mirror, in seconds.

    Raises:
        SettingError: the URI or the path cannot be used.
    """

    def __init__(self, path: str | Path, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._mirror = Mirror(str(path)) if is_uri(path) else None
        self._lease = None if self._mirror is None else Lease(self._mirror, interval_s)
        self._position: MirrorPosition | None = None
        self.folder = Path(path) if self._mirror is None else local_folder(str(path))
        self.display_name = str(path) if self._mirror is None else self._mirror.display_name
        """The path or URI without secrets, for messages."""
        try:
            self.folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # the code that needs the folder reports it
        except (OSError, ValueError) as error:  # too long, with a NUL in it, or not accessible
            reason = getattr(error, "strerror", None) or error
            raise SettingError(f"{self.display_name!r} cannot be the path of a study: {reason}.") from None

    def holder(self) -> str | None:
        """Returns the folder or URI of a study that exists already; None if there is none."""
        if (self.folder / FILE_NAME).exists():
            return str(self.folder)
        return self.display_name if self._mirror is not None and self._mirror.segment_starts() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the study against other drivers, on this machine and at the URI.

        Raises:
            StudyLockedError: another driver runs the study.
            SettingError: the folder cannot be created, or the mirror cannot be written.
            JournalError: the lease file of the mirror is damaged.
        """
        with self._lock_folder():
            if self._lease is not None:
                self._lease.acquire()
            if self._mirror is not None:
                self._mirror.remove_drafts()
            try:
                yield
            finally:
                if self._lease is not None:
                    with suppress(SettingError, JournalError):  # an error of the mirror was reported before
                        self._lease.release()

    def fetch(self) -> Path:
        """Returns the folder with the study's latest journal, downloaded if the mirror has more events.

        Raises:
            StudyNotFoundError: there is no study, on this machine or at the URI.
            StudyMismatchError: the local copy and the mirror are of different studies.
            SettingError: the mirror cannot be reached, or its copy does not fit on the disk.
            JournalError: the mirror or the local journal is damaged.
        """
        if self._mirror is not None:
            if self.holder() is None:
                raise StudyNotFoundError(f"there is no study in {self.display_name}.")
            # If a driver of this machine holds the lock, the local journal is the latest.
            with suppress(StudyLockedError), self._lock_folder():
                self.reconcile(owned=False)
        return self.folder

    def reconcile(self, *, owned: bool = True) -> None:
        """Makes the local journal and the mirror equal, within `locked`; without the lease, changes the local journal only."""
        if self._mirror is None:
            return
        try:
            self._position = reconcile(self._mirror, self.folder, backup=self.folder / SUPERSEDED, owned=owned)
            self._fetch_bundle(self._mirror)
        except SettingError as error:
            raise SettingError(f"{error} The copy of this machine is in {self.folder}.") from error

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Syncs the mirror before, while and after the block runs, within `locked`.

        If the mirror cannot be written during the block, a message on stderr reports it once and the block continues.

        Raises:
            SettingError: the mirror cannot be written at the start.
            JournalError: the mirror cannot be written at the end; the message says where the journal is.
        """
        if self._mirror is None or self._lease is None:
            yield
            return
        self._mirror_bundle(self._mirror)
        writer = MirrorWriter(self._mirror, self._lease, self.folder, self._position)
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

    def sync(self) -> None:
        """Syncs the mirror of a study that is done; does nothing for a folder.

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
        """Downloads the study's own bundle, if it has one and this machine does not."""
        own = self.folder / OWN_BUNDLE
        if own.exists() or self._position is None:
            return
        with closing(Journal(self.folder)) as journal:
            wanted = journal.definition.get("bundle")
        if isinstance(wanted, dict) and mirror.has(OWN_BUNDLE):
            mirror.download_bundle(own, wanted)

    def _mirror_bundle(self, mirror: Mirror) -> None:
        """Uploads the study's own bundle before any trial runs, or removes the bundle of another study."""
        own = self.folder / OWN_BUNDLE
        if not own.exists():
            mirror.remove(OWN_BUNDLE)
        elif self._position is None or not mirror.has(OWN_BUNDLE):
            mirror.upload(own)

    def _push_often(self, writer: MirrorWriter, stop: threading.Event) -> None:
        was_reported = False
        while not stop.wait(self._interval_s):
            try:
                writer.push()
            except (InputError, JournalError) as error:
                if not was_reported:
                    was_reported = True
                    print(
                        f"rbt-ray: {error} The study continues with its journal in {self.folder}, and retries the mirror every "
                        f"{self._interval_s:g} s.",
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
                f"{error} The journal in {self.folder} has all trials; when the mirror can be written again, "
                f"`rbt-ray resume {self.display_name}` syncs it."
            )
        return None

    @contextmanager
    def _lock_folder(self) -> Iterator[None]:
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

"""The possible states of a folder after a power cut, from a recording of its changes.

The model allows more than ext4 with delayed allocation:

- What was written to a file is on the disk after the next successful fsync of that file. Of what was written since, any part
  is on the disk: any subset of the writes and truncations, in any order, and of each write any of its 512-byte sectors, where
  a sector is written whole or not at all. A file may have grown without its data: it then ends in zeros.
- A failed fsync leaves what was written before it in any such state for good: a later fsync of the file proves nothing about
  it, because the pages are clean. Only what is written again is on the disk after that.
- Names (files made, renamed, removed) reach the disk in order. An fsync of a folder puts those in it on the disk. Without it
  any number of the first ones is there.
"""

import itertools
from dataclasses import dataclass, field

SECTOR = 512


def operations(trace):
    """The changes in the file that `shim.c` recorded, each as a tuple of its kind and its parts."""
    content, at, found = trace.read_bytes(), 0, []
    while at < len(content):
        end = content.index(b"\n", at)
        kind, _, rest = content[at:end].decode().partition(" ")
        at = end + 1
        if kind == "write":
            inode, offset, length = map(int, rest.split())
            found.append((kind, inode, offset, content[at : at + length]))
            at += length
        elif kind == "truncate":
            found.append((kind, *map(int, rest.split())))
        elif kind in ("create", "folder"):
            inode, name = rest.split(" ", 1)
            found.append((kind, int(inode), name))
        elif kind == "rename":
            end = content.index(b"\n", at)
            found.append((kind, rest, content[at:end].decode().removeprefix("to ")))
            at = end + 1
        elif kind in ("sync", "failedsync", "syncfolder"):
            found.append((kind, int(rest)))
        else:
            found.append((kind, rest))
    return found


def parent(name):
    """The folder of a name, as the trace has it."""
    return name.rpartition("/")[0] or "."


@dataclass
class File:
    """A file's contents that are on the disk, and those that may be.

    Args:
        changes: [write or truncation, whether it is on the disk for certain, whether an fsync may still put it there].
    """

    changes: list = field(default_factory=list)

    def change(self, operation):
        self.changes.append([operation, False, True])

    def sync(self):
        for change in self.changes:
            change[1] |= change[2]

    def fail(self):
        for change in self.changes:
            change[2] = False

    @property
    def is_proven(self):
        """Whether everything in it was on the disk for certain, or written again since, when it was last flushed."""
        lost = [at for at, (_, certain, pending) in enumerate(self.changes) if not certain and not pending]
        if not lost:
            return True
        end = max((one[2] + len(one[3]) for at in lost if (one := self.changes[at][0])[0] == "write"), default=0)
        later = (one[0] for one in self.changes[lost[-1] + 1 :] if one[1])
        return any(one[0] == "write" and one[2] == 0 and len(one[3]) >= end for one in later)

    def after_power_cut(self, rng):
        """One of the contents that the disk may have."""
        content = bytearray()
        maybe = []
        for operation, certain, pending in self.changes:
            if certain:
                apply(content, operation)
            elif pending:
                maybe.append(operation)
            elif rng.random() < 0.5:
                apply(content, torn(operation, rng))
        keep = rng.random()
        maybe = [torn(operation, rng) for operation in maybe if rng.random() < keep]
        if rng.random() < 0.5:
            rng.shuffle(maybe)
        for operation in maybe:
            apply(content, operation)
        ends = [operation[2] + len(operation[3]) for operation, certain, _ in self.changes if operation[0] == "write"]
        if ends and rng.random() < 0.2 and not self.changes[-1][1]:
            content.extend(bytes(max(0, max(ends) - len(content))))
        return bytes(content)


def apply(content, operation):
    """Changes a file's content as a write, a torn write or a truncation does."""
    if operation[0] == "truncate":
        del content[operation[2] :]
        content.extend(bytes(operation[2] - len(content)))
        return
    for offset, data in operation[3] if operation[0] == "torn" else [operation[2:]]:
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data


def torn(operation, rng):
    """The operation, or a write of only some of its sectors."""
    if operation[0] == "truncate" or rng.random() < 0.6:
        return operation
    _, inode, offset, data = operation
    cuts = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    keep = rng.random()
    pieces = [(offset + a, data[a:b]) for a, b in itertools.pairwise(cuts) if rng.random() < keep]
    return "torn", inode, offset, pieces


class Disk:
    """A disk to which the first operations of a trace were done."""

    def __init__(self, trace):
        self.files, self.names, self.pending, self.folders = {}, {".": None}, [], {}
        self.n_appended = self.n_flushed = 0
        self.log = None
        for operation in trace:
            self._do(*operation)

    def _do(self, kind, *parts):
        if kind == "write" or kind == "truncate":
            self.files.setdefault(parts[0], File()).change((kind, *parts))
        elif kind == "sync":
            file = self.files.setdefault(parts[0], File())
            file.sync()
            if parts[0] == self.log and file.is_proven:
                self.n_flushed = self.n_appended
        elif kind == "failedsync":
            self.files.setdefault(parts[0], File()).fail()
        elif kind == "folder":
            self.folders[parts[0]] = parts[1]
        elif kind == "syncfolder":
            folder = self.folders[parts[0]]
            for change in [one for one in self.pending if parent(one[-1]) == folder]:
                self._name(self.names, change)
                self.pending.remove(change)
        elif kind == "note":
            self.n_appended = int(parts[0].split()[1])
        else:
            if kind == "create":
                self.files[parts[0]] = File()  # the number may have been another file's
                if parts[1].endswith("journal.sqlite-wal"):
                    self.log = parts[0]
            change = (kind, *((self.files[parts[0]], parts[1]) if kind == "create" else parts))
            self.pending.append(change)

    @staticmethod
    def _name(names, change):
        kind, *parts = change
        if kind == "create":
            names[parts[1]] = parts[0]
        elif kind == "mkdir":
            names[parts[0]] = None
        elif kind == "unlink":
            names.pop(parts[0], None)
        else:
            names[parts[1]] = names.pop(parts[0])

    def after_power_cut(self, rng, target):
        """Writes one of the states that the disk may have to a folder."""
        names = dict(self.names)
        for change in self.pending[: rng.integers(len(self.pending) + 1)]:
            self._name(names, change)
        for name, file in names.items():
            path = target / name
            if file is None:
                path.mkdir(parents=True, exist_ok=True)
            elif path.parent.is_dir():
                path.write_bytes(file.after_power_cut(rng))

"""A list of optimizations as a page of TOML: a command, and what each adds to it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray.bench.measurement import Sample, fresh
from rbt_ray.errors import StudyFileError
from rbt_ray.nearest import nearest

_KEYS = {"command": "a list of words", "optimizations": "a table of lists of words"}


@dataclass(frozen=True)
class BenchFile:
    """A command, and what each optimization adds to it.

    Args:
        command: the words of the baseline.
        optimizations: by name, in order, the words that turn one on.
        folder: where it runs.
    """

    command: Sequence[str]
    optimizations: dict[str, Sequence[str]]
    folder: Path

    def measure(self, on: tuple[str, ...], judged: str) -> Sample:
        """One run with these on.

        Raises:
            BenchError: it failed.
        """
        del judged
        added = [word for name in on for word in self.optimizations[name]]
        return fresh([*self.command, *added], cwd=self.folder)


def read_bench_file(path: Path) -> BenchFile:
    """Parses such a file.

    It is written so::

        command = ["python", "sweep.py"]       # its last line may be {"digest": "...", "seconds": 1.2}
        [optimizations]
        "shared bundle" = ["--shared"]
        "warm workers" = ["--warm"]

    Raises:
        StudyFileError: it cannot be read, or says something else.
    """
    try:
        page = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyFileError(f"there is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyFileError(f"{path} cannot be read as TOML: {error}.") from None
    for key in page:
        if key not in _KEYS:
            raise StudyFileError(f"{path}: there is no key `{key}`; {nearest(key, _KEYS)}")
    command, optimizations = page.get("command"), page.get("optimizations")
    if not _is_words(command) or not command:
        raise StudyFileError(f"{path}: `command` is {_KEYS['command']}; got {command!r}.")
    if not isinstance(optimizations, dict) or not optimizations or not all(map(_is_words, optimizations.values())):
        raise StudyFileError(f"{path}: `optimizations` is {_KEYS['optimizations']}; got {optimizations!r}.")
    return BenchFile(command, optimizations, path.resolve().parent)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)

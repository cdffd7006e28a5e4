"""A TOML file that lists optimizations: a command, and the words that each adds to it."""

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
    """A command, and the words that each optimization adds to it.

    Args:
        command: words of the baseline.
        optimizations: by name, in order, the words that turn it on.
        folder: working directory.
    """

    command: Sequence[str]
    optimizations: dict[str, Sequence[str]]
    folder: Path

    def measure(self, on: tuple[str, ...], judged: str) -> Sample:
        """Runs the command with these optimizations on.

        Raises:
            BenchError: the run failed.
        """
        del judged
        added = [word for name in on for word in self.optimizations[name]]
        return fresh([*self.command, *added], cwd=self.folder)


def read_bench_file(path: Path) -> BenchFile:
    """Reads a bench file, such as this one.

    ::

        command = ["python", "sweep.py"]       # its last line may be {"digest": "...", "seconds": 1.2}
        [optimizations]
        "shared bundle" = ["--shared"]
        "warm workers" = ["--warm"]

    Raises:
        StudyFileError: it cannot be read, or has another format.
    """
    try:
        page = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyFileError(f"there is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyFileError(f"{path} cannot be read as TOML: {error}.") from None
    for key in page:
        if key not in _KEYS:
            raise StudyFileError(f"{path}: unknown key `{key}`; {nearest(key, _KEYS)}")
    command, optimizations = page.get("command"), page.get("optimizations")
    if not _is_words(command) or not command:
        raise StudyFileError(f"{path}: `command` is {_KEYS['command']}; got {command!r}.")
    if not isinstance(optimizations, dict) or not optimizations or not all(map(_is_words, optimizations.values())):
        raise StudyFileError(f"{path}: `optimizations` is {_KEYS['optimizations']}; got {optimizations!r}.")
    return BenchFile(command, optimizations, path.resolve().parent)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)

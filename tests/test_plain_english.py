"""Pages, help texts and docstrings of public names avoid phrases that readers have to read twice."""

import importlib
import inspect
import re
from pathlib import Path

import click
import pytest
import typer

from rbt_ray.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "cluster" / "README.md"]
MODULES = (
    "rbt_ray",
    "rbt_ray.tune",
    "rbt_ray.analysis",
    "rbt_ray.objectives",
    "rbt_ray.bench",
    "rbt_ray.compat.rustybt",
)
PHRASES = (
    "anew", "as it was before", "bury", "came back", "courier", "everybody", "go on with", "goes on", "gone on", "heed",
    "is missed", "is told", "latch", "likewise", "looks whether", "meanwhile", "nobody", "of which some", "one of those",
    "run again in detail", "second look", "settles?", "speaks of", "thereof", "told", "whichever", "whoever",
    "what came", "what is asked",
)  # fmt: skip
IN_DOCSTRINGS = (
    "bury", "came back", "courier", "everybody", "go on with", "gone on", "heed", "is missed", "is told", "latch",
    "of which some", "second look", "settles?", "speaks of", "thereof", "what came", "whichever",
)  # fmt: skip


def found(phrases, text):
    return re.findall(rf"\b(?:{'|'.join(phrases)})\b", text, re.IGNORECASE)


def commands(command, words="rbt-ray"):
    """Each command's help by its words, subcommands included."""
    yield words, command.get_help(click.Context(command, info_name=words))
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{words} {name}")


def docstrings(module):
    """The docstrings of a module's public names and of their public members, by name."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        value = getattr(loaded, name)
        members = vars(value).items() if inspect.isclass(value) and value.__module__.startswith("rbt_ray") else ()
        for path, one in [(name, value), *((f"{name}.{key}", one) for key, one in members if not key.startswith("_"))]:
            yield f"{module}.{path}", getattr(one, "__doc__", None) or ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page):
    assert not found(PHRASES, page.read_text())


def test_help_of_every_command():
    texts = dict(commands(typer.main.get_command(app)))
    assert len(texts) > 10
    assert {words: phrases for words, text in texts.items() if (phrases := found(PHRASES, text))} == {}


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_of_public_names(module):
    texts = dict(docstrings(module))
    assert len(texts) > 4
    assert {name: phrases for name, text in texts.items() if (phrases := found(IN_DOCSTRINGS, text))} == {}

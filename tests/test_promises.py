"""Every promise of SECURITY.md and docs/reliability.md names tests, and those exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {"SECURITY.md": "What is promised", "docs/reliability.md": "What is promised"}
DEFINED = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
}


def promises(page):
    """The bullets below the page's heading, up to the next heading."""
    section = re.search(rf"^## {PAGES[page]}\n(.*?)^## ", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)[1]
    return [" ".join(part.split()) for part in re.split(r"^- ", section, flags=re.MULTILINE)[1:]]


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_tests_that_exist(page):
    found = promises(page)
    assert len(found) > 5
    for promise in found:
        named = re.findall(r"`((?:tests/[\w./]+)|test_\w+)`", promise)
        assert named, promise
        for name in named:
            assert (ROOT / name).exists() if name.startswith("tests/") else name in DEFINED, f"{name}: {promise}"

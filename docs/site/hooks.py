"""Hooks of the site's build: adds the generated reference, pages of other folders, and unlisted pages to the navigation."""

import re
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File

from docs.site import reference

OUTSIDE = {
    "cluster/README.md": "cluster.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "README.md": "index.md",
}
"""Pages outside of docs/, by the name that they have on the site. The site's first page takes the place of README.md."""
_SOURCES = {page: source for source, page in OUTSIDE.items() if page != "index.md"}
_HIDDEN = re.compile(r"<!-- before\n.*?-->\n", re.DOTALL)
"""Code that only `tests/run_page.py` reads."""
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_config(config):
    """Appends the reference to the navigation, and the pages that it does not list."""
    listed = set(_paths(config.nav))
    reference_pages = [{page.title: page.path} for page in reference.pages()]
    existing = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    unlisted = [path for path in existing if path not in listed]
    config.nav = [*config.nav, {"Reference": reference_pages}, *([{"More": unlisted}] if unlisted else [])]
    return config


def on_files(files, config):
    """Adds the pages that are not in docs/."""
    for page in reference.pages():
        files.append(File.generated(config, page.path, content=page.text))
    for page, source in _SOURCES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Makes the links between docs/ and other folders lead to the pages of the site, and removes code that only tests read."""
    del config, files
    uri = page.file.src_uri
    source = PurePosixPath(_SOURCES.get(uri, f"docs/{uri}"))

    def replaced(link):
        target = normpath(source.parent / link[2])
        if (ROOT / target / "README.md").exists():
            target += "/README.md"
        place = OUTSIDE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if place is None:
            return link[0]
        return link[1] + relpath(place, PurePosixPath(uri).parent) + link[3]

    return _LINK.sub(replaced, _HIDDEN.sub("", markdown))


def _paths(nav):
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, list):
            yield from _paths(entry)
        elif isinstance(entry, dict):
            for value in entry.values():
                yield from _paths([value])

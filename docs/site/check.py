"""Checks a built site: `python -m docs.site.check build/site`.

Every public name has an entry, every link inside the site leads to a file and to an anchor in it, and pages load nothing from
other hosts.
"""

import importlib
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs.site import reference

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_NOT_LOADED = {"canonical", "next", "prev", "alternate"}
"""Relations of a <link> that a browser does not load."""


class _Page(HTMLParser):
    """Collects the anchors of a page, what it links to and what a browser loads with it."""

    def __init__(self, html):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        """See `HTMLParser`."""
        values = dict(attributes)
        self.anchors.update(value for name, value in attributes if name in ("id", "name"))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if (address := values.get(_LOADED.get(tag, ""))) and values.get("rel") not in _NOT_LOADED:
            self.loaded.append(address)


def problems(site):
    """Returns a sentence for everything that is wrong with a site.

    Args:
        site: the folder of the built site.
    """
    pages = {path: _Page(path.read_text()) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        found += [f"{where} loads {address}." for address in page.loaded if urlsplit(address).netloc]
        if path.name != "404.html":  # its links are absolute, since it is shown at any address
            found += [f"{where}: {why}" for link in page.links if (why := _broken(link, path, pages))]
    for style in site.rglob("*.css"):
        found += [f"{style.relative_to(site)} loads from another host."] * ("url(http" in style.read_text())
    for module in reference.MODULES:
        page = pages.get(site / "reference" / f"{module}.html", _Page(""))
        names = reference.names_of(importlib.import_module(module))
        found += [f"{module}.{name} has no entry." for name in names if f"{module}.{name}" not in page.anchors]
    return found


def _broken(link, path, pages):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return f"{link} leads nowhere."
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"{link} leads to no anchor."
    return None


if __name__ == "__main__":
    if wrong := problems(Path(sys.argv[1]).resolve()):
        sys.exit("\n".join(wrong))

"""Finds a headless browser. A CI without one fails; elsewhere the tests that need it are skipped."""

import os
import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def path_for(what):
    """The browser's path; `what` is looked at in it."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        sentence = f"{what} is looked at in a real browser, and none of {', '.join(_NAMES)} is installed."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found

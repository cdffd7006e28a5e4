"""Small packages that are installed for a test: a module and a `dist-info` folder with its entry points."""

import sys

import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Returns a function that installs a package: its name, its code, and its entry points as {group: {name: attribute}}."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))  # for processes that the test starts

    def write(package, code, entry_points):
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = []
        for group, names in entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {package}:{attribute}" for name, attribute in names.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        (site / f"{package}.py").write_text(code)
        monkeypatch.setitem(sys.modules, package, None)  # so that the module is forgotten after the test
        del sys.modules[package]
        return site

    return write

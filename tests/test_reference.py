"""The generated reference has an entry for everything that users import, type or set."""

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

import rbt_ray as rbt
from docs.site import check, reference, tables

ROOT = Path(__file__).parents[1]
PUBLIC = json.loads((ROOT / "tests" / "data" / "public_names.json").read_text())


def page_at(path):
    [text] = [page.text for page in reference.pages() if page.path == path]
    return text


@pytest.mark.parametrize("module", PUBLIC["modules"])
def test_every_public_name_has_an_entry_and_a_docstring(module):
    page = page_at(f"reference/{module}.md")
    loaded = importlib.import_module(module)
    for name in PUBLIC["modules"][module]:
        assert f'<a id="{module}.{name}"></a>' in page, name
        assert name == "__version__" or inspect.getdoc(getattr(loaded, name)), name


def test_every_command_has_its_arguments_and_options():
    sections = dict(re.findall(r"^## rbt-ray (.*?)\n(.*?)(?=^## |\Z)", page_at("reference/commands.md"), re.M | re.S))
    assert sections.keys() == PUBLIC["commands"].keys()
    for command, parameters in PUBLIC["commands"].items():
        for option in (option for one in parameters for option in one["options"] if option.startswith("-")):
            assert f"`{option}" in sections[command] or f", {option}" in sections[command], (command, option)


def test_every_metric_of_a_backtest_has_a_definition_and_a_unit():
    bundle = rbt.load_bundle("sample")
    run = rbt.backtest(bundle, (bundle.close > 0) / 5, missing="zero", benchmark="hold")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page_at("reference/metrics.md"), re.M))
    assert rows.keys() == run.metrics().keys()
    assert all(len(row.split(" | ")) == 3 for row in rows.values())


def test_every_setting_is_a_key_of_study_files():
    page = page_at("reference/study_file.md")
    for kind, without in ((rbt.TuneConfig, set()), (rbt.RunConfig, {"callbacks"})):
        for name in inspect.signature(kind).parameters.keys() - without:
            assert re.search(rf"^\| `{name}` \| .+ \|$", page, re.M), name
    assert "| `callbacks` |" not in page


def test_every_environment_variable_that_the_package_reads_is_named():
    sources = [path.read_text() for path in (ROOT / "rbt_ray").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', text)}
    tested = {name for text in sources for name in re.findall(r'"([A-Z_]{5,})" (?:not )?in os\.environ', text)}
    assert {"RBT_RAY_HOME", "PYTHONDONTWRITEBYTECODE"} <= read
    assert read | tested <= tables.ENVIRONMENT.keys()


def test_the_navigation_names_pages_that_exist():
    listed = re.findall(r"[\w/.]+\.md", (ROOT / "docs" / "site" / "mkdocs.yml").read_text())
    elsewhere = {"cluster.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
    assert len(listed) > 40
    assert [page for page in listed if page not in elsewhere and not (ROOT / "docs" / page).exists()] == []


def test_the_check_of_a_built_site_finds_what_is_wrong(tmp_path):
    (tmp_path / "reference").mkdir()
    names = "".join(f'<a id="rbt_ray.{name}"></a>' for name in rbt.__all__ if name != "Tuner")
    (tmp_path / "reference" / "rbt_ray.html").write_text(names)
    (tmp_path / "index.html").write_text(
        '<h1 id="top"><a href="reference/rbt_ray.html#rbt_ray.Bundle"></a><a href="#top"></a><a href="https://example.org"></a>'
        '<a href="absent.html"></a><a href="#absent"></a><script src="https://example.org/a.js"></script>'
    )
    found = check.problems(tmp_path)
    assert "index.html loads https://example.org/a.js." in found
    assert "index.html: absent.html leads nowhere." in found
    assert "index.html: #absent leads to no anchor." in found
    assert [one for one in found if re.match(r"rbt_ray\.\w+ ", one)] == ["rbt_ray.Tuner has no entry."]
    assert sum(one.startswith("index.html") for one in found) == 3

"""What the README says, runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rbt_ray.cli.main import run_command

README = (Path(__file__).parents[1] / "README.md").read_text()
ROOT = Path(__file__).parents[1]


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs_as_a_script_without_a_main_guard(tmp_path):
    [example] = blocks("python")
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert re.fullmatch(r"\{'fast': \d+, 'slow': \d+\} \d\.\d+\n", done.stdout), done.stdout
    assert (tmp_path / "sma.html").stat().st_size > 1e6


def test_the_study_file_runs(tmp_path, monkeypatch, capsys):
    [study] = blocks("toml")
    (tmp_path / "study.toml").write_text(study)
    printed = [
        subprocess.run(
            [sys.executable, "-m", "rbt_ray.cli", "run", "study.toml"],
            cwd=tmp_path, capture_output=True, text=True, timeout=170, check=True,
        ).stdout
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for command in ("show", "resume"):
        assert run_command([command, "studies/study"]) == 0
        printed.append(capsys.readouterr().out)
    for text in printed:
        assert "Best by sharpe on sample" in text
        assert "hold-out" in text


def test_every_command_it_names_exists():
    named = {tuple(words.split()) for words in re.findall(r"^rbt-ray ((?:bundle )?[a-z]+)", README, re.MULTILINE)}
    assert len(named) >= 5
    for words in named:
        assert run_command([*words, "--help"]) == 0, words


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", README))
def test_links_and_pictures_lead_somewhere(target):
    path = next(filter(None, target))
    assert path.startswith("http") or (ROOT / path).exists(), path

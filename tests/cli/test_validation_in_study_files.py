"""A study file can name a validation with its settings."""

import pytest

import rbt_ray as rbt
from rbt_ray.cli.study_file import read_study_file
from rbt_ray.errors import InputError

STUDY = """
objective = "sma_cross"
bundle = "sample"
[space]
fast = {{ randint = [5, 9] }}
slow = {{ randint = [20, 25] }}
[search]
validation = {}
"""


def read(tmp_path, validation):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(validation))
    return read_study_file(path, {}, {}).tune_config.validation


def test_a_study_file_has_windows(tmp_path):
    assert read(tmp_path, "{ walk_forward = { train = 8, test = 1, gap = 3 } }") == rbt.WalkForward(8, 1, gap=3)
    assert read(tmp_path, '{ walk_forward = { train = "4y", test = "6ME" } }') == rbt.WalkForward("4y", "6ME")
    assert read(tmp_path, "{ cpcv = {} }") == rbt.CPCV()
    assert read(tmp_path, "{ walk_forward = {} }") == rbt.WalkForward(8, 1)


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ("{ walk_forwards = { train = 8 } }", "walk_forward"),
        ("{ walk_forward = { train = 8, tests = 1 } }", "'tests'"),
        ("{ walk_forward = { train = 17, test = 1 } }", "blocks"),
        ("8", "validation"),
    ],
)
def test_a_mistake_is_explained(tmp_path, validation, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, validation)

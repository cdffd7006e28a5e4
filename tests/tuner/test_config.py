"""RunConfig documents each setting, and a study saves and restores the settings that are documented as saved."""

import re
from dataclasses import fields

import pytest

import rbt_ray as rbt
from rbt_ray.tuner.config import RunConfig, non_default_settings, with_saved_settings

OTHER = {
    "name": "mine",
    "storage_path": "elsewhere",
    "backend": "ray",
    "address": "host:6379",
    "num_workers": 3,
    "num_cpus_per_worker": 0.5,
    "resources_per_worker": {"GPU": 0.5},
    "trial_timeout_s": 7.5,
    "max_retries": 4,
    "max_failures": 5,
    "stop_on_identical_failures": False,
    "recycle_after": 6,
    "worker_memory_limit": 2**30,
    "callbacks": [object()],
    "verbose": 0,
    "recheck": 3,
    "mirror_interval_s": 2.0,
    "exist": "new",
    "max_workers": 8,
    "worker_wait_s": 60.0,
    "label_selector": {"market-type": "on-demand"},
    "runtime_env": {"env_vars": {"MODE": "fast"}},
    "metrics_port": 9464,
}
"""A value other than the default for every setting."""


def documented():
    """The settings of RunConfig's docstring in their order, and whether each is marked as saved."""
    listed = re.search(r"Args:\n(.*?)\n\n", RunConfig.__doc__, re.DOTALL)[1]
    entries = re.findall(r"^        (\w+): (.*?)(?=^        \w+: |\Z)", listed, re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()).endswith("Saved.") for name, text in entries}


def test_the_docstring_lists_every_setting_in_order():
    assert list(documented()) == [one.name for one in fields(RunConfig)] == list(OTHER)


@pytest.mark.parametrize("name", OTHER)
def test_exactly_the_settings_that_the_docstring_lists_are_saved(name):
    needs_ray = {"backend": "ray"} if name in ("address", "resources_per_worker") else {}
    saved = non_default_settings(RunConfig(**{**needs_ray, name: OTHER[name]}))
    assert saved == ({name: OTHER[name]} if documented()[name] else {})


@pytest.mark.parametrize("name", [name for name, is_saved in documented().items() if is_saved])
def test_a_restored_study_uses_a_saved_setting_unless_another_is_given(tmp_path, name):
    settings = {"name": "study", "storage_path": tmp_path, "verbose": 0, name: OTHER[name]}
    tuner = rbt.Tuner(
        lambda params, data: params["x"],
        param_space={"x": rbt.uniform(0, 1)},
        tune_config=rbt.TuneConfig(metric="m", seed=1, num_samples=2),
        run_config=RunConfig(**settings),
    )
    saved = tuner.study.run
    assert getattr(with_saved_settings(RunConfig(), saved), name) == OTHER[name]
    given = {"GPU": 2} if name == "resources_per_worker" else 2**31
    assert getattr(with_saved_settings(RunConfig(**{name: given}), saved), name) == given


def test_local_workers_take_no_saved_resources_of_ray():
    saved = {"resources_per_worker": {"GPU": 1}}
    assert with_saved_settings(RunConfig(backend="local"), saved).resources_per_worker is None

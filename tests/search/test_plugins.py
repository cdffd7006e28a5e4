"""Searchers, samplers and schedulers of other packages, found by their entry points."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError, JournalError, SettingError, StudyInterrupted
from rbt_ray.search.registry import make_searcher
from tests.installed_packages import install as install

CODE = '''
import random
from dataclasses import dataclass

import numpy as np

import rbt_ray as rbt


class HillClimb:
    """Tries steps around the best config so far."""

    done = False

    def __init__(self, space, *, seed):
        self.space, self.rng = space, random.Random(seed)
        self.best, self.loss = space.decode(space.from_unit(np.full((1, space.n_params), 0.5)))[0], float("inf")

    def ask(self, n):
        return [rbt.Proposal({k: min(max(v + self.rng.randint(-90, 90), 0), 999) for k, v in self.best.items()})
                for _ in range(n)]

    def tell(self, results):
        for result in results:
            if result.loss is not None and result.loss < self.loss:
                self.best, self.loss = dict(result.config), result.loss


class LowerHalf:
    """Draws from the lower half of each parameter; knows no point twice."""

    def __init__(self, space, *, seed):
        self.space, self.rng, self.learned = space, np.random.default_rng(seed), []

    def sample(self):
        return self.space.from_unit(self.rng.random((1, self.space.n_params)) / 2)[0]

    def learn(self, point, fidelity, loss):
        self.learned.append(loss)


@dataclass(frozen=True)
class Impatient:
    """ASHA under another name."""

    kind: str = "stopping"

    def race(self, ladder, eta):
        return rbt.ASHA(kind=self.kind).race(ladder, eta)


def needs_more(space, seed, more):
    pass


def makes_nothing(space, *, seed):
    return object()
'''
ENTRY_POINTS = {
    "rbt_ray.searchers": {"hill": "HillClimb", "needs_more": "needs_more", "makes_nothing": "makes_nothing"},
    "rbt_ray.samplers": {"lower_half": "LowerHalf"},
    "rbt_ray.schedulers": {"impatient": "Impatient"},
}
OBJECTIVE = "def objective(params, data):\n    return (params['x'] - 30) ** 2 + (params['y'] - 700) ** 2\n"
SPACE = {"x": rbt.randint(0, 1000), "y": rbt.randint(0, 1000)}


@pytest.fixture
def package(install):
    return install("another_package", CODE, ENTRY_POINTS)


def objective(params, data):
    return (params["x"] - 30) ** 2 + (params["y"] - 700) ** 2


def tuner(tmp_path, name="s", function=objective, callbacks=(), **settings):
    return rbt.Tuner(
        function,
        param_space=SPACE,
        tune_config=rbt.TuneConfig(**{"metric": "loss", "mode": "min", "num_samples": 120, "seed": 3, **settings}),
        run_config=rbt.RunConfig(
            name=name, storage_path=str(tmp_path), verbose=0, num_workers=2, backend="local", callbacks=callbacks
        ),
    )


class InterruptAfter:
    def __init__(self, n):
        self.n = n

    def on_trial_complete(self, result):
        self.n -= 1
        if self.n == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_searcher_by_name_runs_and_resumes_to_the_same_table(package, tmp_path):
    whole = tuner(tmp_path, "whole", search_alg="hill").fit()
    assert whole.study.search_alg == "hill"
    assert len({(result.config["x"], result.config["y"]) for result in whole}) == 120
    assert whole.get_best_result().metrics["loss"] < objective({"x": 500, "y": 500}, None) / 4
    with pytest.raises(StudyInterrupted):
        tuner(tmp_path, "cut", search_alg="hill", callbacks=[InterruptAfter(50)]).fit()
    resumed = rbt.Tuner.restore(tmp_path / "cut", objective, search_alg="hill", run_config=rbt.RunConfig(verbose=0))
    assert resumed.fit().table_hash() == whole.table_hash()


@pytest.mark.slow
def test_the_command_line_runs_and_resumes_it(package, tmp_path):
    (package / "objective_of_a_study.py").write_text(OBJECTIVE)
    (tmp_path / "study.toml").write_text(
        'objective = "objective_of_a_study:objective"\n[space]\nx = { randint = [0, 1000] }\ny = { randint = [0, 1000] }\n'
        '[search]\nsearch_alg = "hill"\nmetric = "loss"\nmode = "min"\nnum_samples = 120\nseed = 3\n'
        f'[run]\nstorage_path = "{tmp_path}"\nnum_workers = 2\nbackend = "local"\nverbose = 0\n'
    )

    def command(*words):
        done = subprocess.run(
            [sys.executable, "-c", "from rbt_ray.cli.main import main; main()", *words, "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["table_hash"]

    import objective_of_a_study

    with pytest.raises(StudyInterrupted):
        tuner(tmp_path, "cut", objective_of_a_study.objective, [InterruptAfter(50)], search_alg="hill").fit()
    assert command("run", "study.toml") == command("resume", "cut")


def test_resuming_without_the_searchers_package_is_an_error(package, tmp_path):
    tuner(tmp_path, search_alg="hill", num_samples=3).fit()
    shutil.rmtree(package / "another_package-1.0.dist-info")
    study = rbt.ResultGrid(tmp_path / "s").study
    with pytest.raises(
        JournalError, match=r"`search_alg` is 'hill', which neither .* nor an installed package defines"
    ):
        make_searcher(study)


def test_a_sampler_by_name_learns_from_prior_results_and_takes_a_scheduler(package, tmp_path):
    study = tuner(
        tmp_path, search_alg="lower_half", scheduler="impatient", fidelity="reports", max_reports=9,
        warm_start=[({"x": 1, "y": 2}, 1.0, 5.0)],
    ).study  # fmt: skip
    assert study.scheduler == {"name": "impatient", "kind": "stopping"}
    searcher = make_searcher(study)
    assert searcher._sampler.learned == [5.0]
    proposals = list(searcher.ask(40))
    assert proposals[0].config == {"x": 1, "y": 2}  # the best of the prior results
    assert all(proposal.config["x"] < 500 and proposal.config["y"] < 500 for proposal in proposals)
    assert {proposal.fidelity for proposal in proposals} == {study.lowest_fidelity}


def test_a_scheduler_object_of_a_package_is_recorded_by_its_name(package, tmp_path):
    from another_package import Impatient

    study = tuner(tmp_path, scheduler=Impatient("promotion"), fidelity="reports", max_reports=9).study
    assert study.scheduler == {"name": "impatient", **asdict(Impatient("promotion"))}


def test_a_study_file_sets_a_schedulers_settings(package, tmp_path):
    from rbt_ray.cli.study_file import read_study_file

    (package / "objective_of_a_study.py").write_text(OBJECTIVE)
    page = 'objective = "objective_of_a_study:objective"\n[space]\nx = { randint = [0, 9] }\n[search]\n'
    path = tmp_path / "study.toml"
    path.write_text(page + 'scheduler = { impatient = { kind = "promotion" } }\n')
    assert asdict(read_study_file(path, {}, {}).tune_config.scheduler) == {"kind": "promotion"}
    path.write_text(page + 'scheduler = { impatient = { knid = "promotion" } }\n')
    with pytest.raises(InputError, match=r"impatient has no setting 'knid'.*'kind'"):
        read_study_file(path, {}, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search_alg": "hlil"}, r"`search_alg` is one of .*hill.*lower_half; got 'hlil': did you mean 'hill'"),
        ({"search_alg": "hill", "scheduler": "asha"}, "`scheduler` is None with a searcher that proposes whole trials"),
        (
            {"search_alg": "hill", "points_to_evaluate": [{"x": 1, "y": 1}]},
            "`points_to_evaluate` is None with a searcher",
        ),
        (
            {"search_alg": "hill", "warm_start": [({"x": 1, "y": 2}, 1.0, 5.0)]},
            "`warm_start` needs a search that learns",
        ),
        ({"search_alg": "needs_more"}, r"'needs_more' of 'rbt_ray.searchers' is called with \(space, seed=...\)"),
        ({"search_alg": "makes_nothing"}, "'makes_nothing' .* makes a object, which lacks a member of .*Searcher"),
        ({"scheduler": "impatien"}, r"`scheduler` is one of .*impatient; got 'impatien': did you mean 'impatient'"),
    ],
)
def test_what_does_not_fit_is_refused(package, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        tuner(tmp_path, **settings)


@pytest.mark.parametrize(
    ("group", "name", "settings"),
    [
        ("rbt_ray.searchers", "random", {"search_alg": "random"}),
        ("rbt_ray.samplers", "bohb", {"search_alg": "bohb"}),
        ("rbt_ray.samplers", "hill", {"search_alg": "hill"}),
        ("rbt_ray.searchers", "hill", {"search_alg": "hill"}),
        ("rbt_ray.schedulers", "asha", {"scheduler": "asha"}),
        ("rbt_ray.schedulers", "impatient", {"scheduler": "impatient"}),
    ],
)
def test_a_name_with_two_definitions_is_refused(package, install, group, name, settings):
    install("third_package", CODE, {group: {name: "HillClimb"}})
    with pytest.raises(InputError, match=f"'{name}' is (built into rbt_ray|defined more than once)"):
        rbt.TuneConfig(**settings)


def test_a_package_that_cannot_be_imported_is_refused(install):
    install("broken_package", "import missing_package_of_nobody\n", {"rbt_ray.searchers": {"broken": "Searcher"}})
    with pytest.raises(InputError, match=r"'broken'.*cannot be imported: ModuleNotFoundError"):
        rbt.TuneConfig(search_alg="broken")
    assert rbt.TuneConfig(search_alg="random").search_alg == "random"
    with pytest.raises(SettingError, match=r"one of .*broken"):
        rbt.TuneConfig(search_alg="brokne")

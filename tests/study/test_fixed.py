"""A list as the value of a parameter of a new study is refused unless `fixed` says that it is meant."""

import pytest

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.study.space import Space


def total(params, data):
    return float(sum(params["lags"]) + params["x"])


def tuner(folder, lags, **more):
    return rbt.Tuner(
        total,
        param_space={"lags": lags, "x": rbt.randint(0, 3), **more},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
        run_config=rbt.RunConfig(name="s", storage_path=folder, num_workers=1, verbose=0),
    )


def test_a_list_is_refused_with_the_words_that_say_what_is_meant(tmp_path):
    with pytest.raises(SpaceError, match=r"`lags` is the list \[5, 10\].*grid_search\(\[5, 10\]\).*fixed\(\[5, 10\]\)"):
        tuner(tmp_path, [5, 10])
    with pytest.raises(SpaceError, match="`group/inner` is the list"):
        tuner(tmp_path, rbt.fixed([5, 10]), group={"inner": [1]})


def test_a_fixed_list_reaches_every_trial_and_the_study_can_be_restored(tmp_path):
    results = tuner(tmp_path, rbt.fixed([5, 10])).fit()
    assert [result.metrics["score"] for result in results] == [15.0, 16.0, 17.0]
    assert rbt.Tuner.restore(results.path, total).study.space.constants == {"lags": [5, 10]}


def test_fixed_gives_the_space_that_the_list_gave_before():
    given = Space.of({"lags": rbt.fixed([5, 10]), "x": rbt.randint(0, 3)})
    assert given.to_json() == Space.of({"lags": [5, 10], "x": rbt.randint(0, 3)}).to_json()


@pytest.mark.parametrize("value", [rbt.randint(0, 3), {"a": 1}, object(), [rbt.randint(0, 3)]])
def test_fixed_takes_plain_values_only(value):
    with pytest.raises(SpaceError, match="takes a number, a string or a list of them"):
        rbt.fixed(value)


@pytest.mark.parametrize("option", [{"n": rbt.randint(1, 3)}, {"a": {"n": rbt.randint(1, 3)}}, [rbt.randint(1, 3)]])
def test_a_domain_within_an_option_is_refused_without_its_repr(option):
    with pytest.raises(SpaceError, match="nothing is drawn in it") as error:
        Space.of({"kind": rbt.choice(["x", option])})
    assert "Stepped" not in str(error.value)


def test_a_domain_as_an_option_is_refused_by_its_position():
    with pytest.raises(SpaceError, match="option 3 is a domain") as error:
        rbt.choice(["x", "x", rbt.randint(1, 3)])
    assert "Stepped" not in str(error.value)

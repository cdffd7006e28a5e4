"""Studies of `rbt_ray.tune` in a temporary folder."""

import pytest

from rbt_ray import tune


@pytest.fixture
def fit(tmp_path):
    """Runs a study, quietly, on two workers that the tests share."""

    def run(
        trainable, space=None, *, name="study", stop=None, callbacks=None, checkpoint=None, failure=None, **options
    ):
        return tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(**options),
            run_config=tune.RunConfig(
                name=name,
                storage_path=tmp_path,
                stop=stop,
                callbacks=callbacks,
                checkpoint_config=checkpoint,
                failure_config=failure,
                num_workers=2,
                backend="local",
                verbose=0,
            ),
        ).fit()

    return run

"""Settings that need one metric are refused with several."""

import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError


@pytest.mark.parametrize(
    "setting",
    [{"validation": rbt.WalkForward(train=8, test=1)}, {"warm_start": "earlier"}, {"stop": {"no_improvement": 20}}],
    ids=lambda setting: next(iter(setting)),
)
def test_what_needs_one_metric_is_refused_with_several(setting):
    name = next(iter(setting))
    with pytest.raises(SettingError, match=f"`{name}` compares configs by one metric"):
        rbt.TuneConfig(metric=["sharpe", "max_drawdown"], mode=["max", "max"], **setting)

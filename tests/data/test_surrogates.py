"""Pages can show names with lone surrogates, which JSON and file names can contain and no encoding can write."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.tuner.config import RunConfig, TuneConfig

DAYS = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-03-01"))
LONE = [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDCFF, 0xDFFF)]


@pytest.mark.parametrize("lone", LONE)
def test_bundles(lone):
    closes = {"close": np.ones((len(DAYS), 1))}
    bundle = rbt.Bundle.from_arrays(closes, DAYS, [f"A{lone}"], name=f"n{lone}<", metadata={"source": lone})
    page = bundle._repr_html_()
    assert page.encode("utf-8").decode("utf-8") == page
    assert f"A\\u{ord(lone):x}" in page
    assert "n" + f"\\u{ord(lone):x}&lt;" in page


def test_results(tmp_path):
    def score(params, data):
        if params["a\ud800"] == "b":
            raise ValueError("\udc12")
        return {"score": 1.0, "\udc00": 2.0}

    space = {"a\ud800": rbt.choice(["\ud801", "b", "c"])}
    results = rbt.Tuner(
        score,
        param_space=space,
        tune_config=TuneConfig("score", num_samples=3, seed=1),
        run_config=RunConfig("s", tmp_path, num_workers=1, verbose=0),
    ).fit()
    page = results._repr_html_()
    assert page.encode("utf-8").decode("utf-8") == page
    frame = results.get_dataframe()
    assert sorted(frame["config/a\\ud800"]) == ["\\ud801", "b", "c"]
    assert [value is None for value in frame["error"]] == [status == "COMPLETED" for status in frame["status"]]

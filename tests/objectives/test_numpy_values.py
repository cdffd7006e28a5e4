"""Values of numpy that equal a Python number or text are converted to it; no other value is taken as a number."""

import json

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.study.space import Space
from rbt_ray.study.values import to_python
from rbt_ray.types import COMPLETED

SPACE = Space.of({"n": rbt.randint(0, 2)})
CODES = "?bBhHiIlLqQefdgFDGSUVOMm"


def value_of(code):
    """A value of a numpy type that is none of those that stand for zero or nothing."""
    if code == "M":
        return np.datetime64("2020-03-01T12:00", "ns")
    if code == "m":
        return np.timedelta64(90, "s")
    if code == "V":
        return np.void(b"ab")
    if code == "O":
        return np.array(["x"], dtype=object)[0]
    text = "3" if code in "SU" else 1 if code == "?" else 3
    return np.array([text]).astype(code)[0]


def meaning(value):
    """The Python value that numpy's own conversion gives, for the types that have one; else None."""
    kind = np.asarray(value).dtype.kind
    return {"b": bool, "i": int, "u": int, "f": float, "U": str}.get(kind, lambda _: None)(value)


FORMS = {
    "scalar": lambda value: value,
    "0-d": lambda value: np.array(value),
    "0-d object": lambda value: np.array(value, dtype=object),
    "0-d masked array": lambda value: np.ma.array(value, mask=False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("in_dict", [False, True], ids=["alone", "in a dict"])
def test_a_metric_of_any_dtype(code, form, in_dict):
    value, wanted = FORMS[form](value_of(code)), meaning(value_of(code))
    outcomes = as_evaluator(lambda params, data: {"m": value} if in_dict else value, SPACE, "m").score(
        None, np.zeros((1, 1)), [0]
    )
    if type(wanted) in (int, float) or (in_dict and type(wanted) is bool):
        assert outcomes.status[0] == COMPLETED, outcomes.errors
        (found,) = outcomes.metrics["m"].to_list()
        assert found == wanted
        assert type(found) is (type(wanted) if in_dict else float)
    else:
        assert outcomes.status[0] != COMPLETED
        assert "Traceback" not in outcomes.errors[0]


@pytest.mark.parametrize("code", CODES)
def test_a_text_or_time_beside_the_metric(code):
    """What is no number may stand beside the study's metric if it is text."""
    value, wanted = value_of(code), meaning(value_of(code))
    outcomes = as_evaluator(lambda params, data: {"m": 1.0, "beside": value}, SPACE, "m").score(
        None, np.zeros((1, 1)), [0]
    )
    assert (outcomes.status[0] == COMPLETED) == (wanted is not None or code == "O")


@pytest.mark.parametrize("answer", [np.ma.masked, {"m": np.ma.masked}, np.ma.array([1.0], mask=[True])[0]])
def test_a_masked_metric_is_no_zero(answer):
    outcomes = as_evaluator(lambda params, data: answer, SPACE, "m").score(None, np.zeros((1, 1)), [0])
    assert outcomes.status[0] != COMPLETED


@pytest.mark.parametrize("number", [10**400, -(10**400), np.longdouble("1e4000"), np.inf, -np.inf])
def test_a_number_above_all_floats_fails_with_a_sentence(number):
    for answer in (number, {"m": number}):
        outcomes = as_evaluator(lambda params, data, a=answer: a, SPACE, "m").score(None, np.zeros((1, 1)), [0])
        assert outcomes.status[0] != COMPLETED
        assert "Traceback" not in outcomes.errors[0]


@pytest.mark.parametrize("code", CODES)
def test_an_option_of_any_dtype_arrives_as_it_is(code):
    """The objective gets the Python value, or the very numpy value, whether it is an option, an array's or a constant."""
    value = value_of(code)
    wanted = value if meaning(value) is None else meaning(value)
    other = "other" if code == "U" else value
    for space in ({"v": rbt.choice([value, other])}, {"v": rbt.choice(np.array([value]))}):
        (first, *_) = Space.of(space).decode(np.zeros((1, 1)))
        assert type(first["v"]) is type(wanted)
        assert first["v"] == wanted


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "25s"])
@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_times_as_options_are_kept_by_a_study(kind, unit):
    times = np.array([-7, 0, 12_345], dtype=np.int64).view(f"{kind}[{unit}]")
    space = Space.of({"t": rbt.choice(times)})
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    again.require_options()
    assert again.fingerprint == space.fingerprint
    found = [config["t"] for config in again.decode(again.grid(0, 3))]
    assert [t.dtype for t in found] == [times.dtype] * 3
    np.testing.assert_array_equal(np.array(found), times)


def test_not_a_time_is_kept_as_well():
    space = Space.of({"t": rbt.choice([np.datetime64("NaT", "s"), np.datetime64("2020-01-01", "s")])})
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert np.isnat(again.decode(np.zeros((1, 1)))[0]["t"])


@pytest.mark.parametrize("code", CODES)
def test_plain_is_idempotent(code):
    value = value_of(code)
    once = to_python(value)
    again = to_python(once)
    assert type(once) is type(again)
    assert once == again

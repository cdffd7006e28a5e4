"""Dict checkpoints keep every type and bit; a damaged one raises a readable error."""

import contextlib
import copy
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rbt_ray.compat.ray_tune.checkpoint import NotSerializableError, read_dict, write_dict
from rbt_ray.errors import SettingError

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=4),
    hnp.array_dtypes(),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda parts: st.tuples(parts, parts) | st.frozensets(parts, max_size=3),
    max_leaves=4,
)
SCALARS = ARRAYS.filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0])
VALUES = st.recursive(
    HASHABLE | ARRAYS | SCALARS | st.binary().map(bytearray) | st.integers().map(lambda n: n**40),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts, parts)
        | st.dictionaries(HASHABLE, parts, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=8,
)


def canon(value):
    """A text that is equal for equal values of equal types only; NaN is equal to NaN, and sets have no order."""
    kind = type(value).__name__
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{kind}({value.dtype.descr}, {value.shape}, {value.tobytes()})"
    if isinstance(value, dict):
        return f"{kind}({[(canon(key), canon(part)) for key, part in value.items()]})"
    if isinstance(value, (list, tuple)):
        return f"{kind}({[canon(part) for part in value]})"
    if isinstance(value, (set, frozenset)):
        return f"{kind}({sorted(canon(part) for part in value)})"
    return f"{kind}({hex(value) if isinstance(value, int) else value!r})"


def same(a, b):
    return canon(a) == canon(b)


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(HASHABLE, VALUES, max_size=4))
def test_what_is_written_is_read_the_same(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("checkpoint")
    before = copy.deepcopy(values)
    try:
        write_dict(values, folder)
    except NotSerializableError:
        assert list(folder.iterdir()) == []
        assert any(isinstance(part, (np.generic, np.ndarray)) for part in leaves(values))
    else:
        assert same(read_dict(folder), before)
        assert not any(path.read_bytes().startswith(b"\x80") for path in folder.iterdir())


def leaves(value):
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def test_the_kinds_of_a_trainables_state(tmp_path):
    state = {
        "weights": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3, dtype=np.float32))],
        ("layer", 1): {"lr": np.float32(0.1), "step": np.int64(7), "seen": {1, 2}, "ok": np.True_},
        "random": np.random.default_rng(3).bit_generator.state,
        "big": 7**9000,
        "nan": [math.nan, -math.inf, -0.0],
        "model": b"\x00\xff" * 1000,
        1: None,
    }
    write_dict(state, tmp_path)
    again = read_dict(tmp_path)
    assert same(again, state)
    assert again["weights"][0].flags.writeable
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


class Kept:
    pass


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


NOT_PLAIN = {
    "an object": lambda: Kept(),
    "a function": lambda: print,
    "objects in an array": lambda: np.array([{}], dtype=object),
    "objects in a field": lambda: np.zeros(1, dtype=[("a", object)]),
    "another dict": lambda: OrderedDict(a=1),
    "a subclass of an array": lambda: np.ma.masked_array([1.0], [True]),
    "a lone surrogate": lambda: "\ud83d",
    "zeros that an array drops": lambda: np.str_("a\0"),
    "a cycle or great depth": deep,
}


@pytest.mark.parametrize("value", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_an_unsupported_checkpoint_value_is_refused_and_writes_nothing(tmp_path, value):
    with pytest.raises(NotSerializableError):
        write_dict({"x": [value()]}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["_dict_checkpoint.json", "_dict_checkpoint.npz"])
def test_a_damaged_file_is_a_sentence(tmp_path, name):
    write_dict({"x": np.arange(3), "y": 1.5}, tmp_path)
    file = tmp_path / name
    whole = file.read_bytes()
    generator = np.random.default_rng(5)
    hostile = [b"", pickle.dumps(Kept), b"[1]", b'{"array": 0}', b'{"eval": 0}', whole[:-3], np.lib.format.magic(1, 0)]
    for _ in range(100):
        changed = bytearray(whole)
        changed[generator.integers(len(whole))] = generator.integers(256)
        hostile.append(bytes(changed))
    for content in hostile:
        file.write_bytes(content)
        with contextlib.suppress(SettingError):
            assert isinstance(read_dict(tmp_path), dict)
    file.write_bytes(b"")
    with pytest.raises(SettingError, match=str(tmp_path)):
        read_dict(tmp_path)

"""Fingerprints keep the names of classes that later versions renamed."""

import pytest

from rbt_ray.compat.rustybt.objective import NamedBundle
from rbt_ray.objectives.fingerprint.recorded_names import recorded_qualname
from rbt_ray.objectives.fingerprint.values import Location, ValueText


class Own:
    class Nested:
        def __init__(self, first, second):
            self.first, self.second = first, second


@pytest.mark.parametrize(
    ("value", "name"), [(NamedBundle("b" * 190, 3, 1), "ByName"), (Own.Nested("n" * 190, "m" * 190), "Own.Nested")]
)
def test_the_hash_of_a_long_text_follows_the_recorded_name_of_the_class(value, name):
    text = ValueText(lambda *_: None, lambda *_: None, lambda *_: True).text(value, Location("", ""))
    found, _, digest = text.partition(" ")
    assert found == recorded_qualname(type(value)) == name
    assert len(digest) == 64

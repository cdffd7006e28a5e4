"""DigestSet against Python's own set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.search.digest_set import DigestSet

numbers = st.one_of(st.integers(0, 30), st.sampled_from([2**63, 2**64 - 1, 2**64 - 2]))


@given(st.lists(st.lists(numbers, max_size=40), max_size=12), st.lists(numbers, max_size=40))
def test_it_is_a_set(blocks, asked):
    ours, theirs = DigestSet(), set()
    for block in blocks:
        new = []
        for number in block:
            new.append(number not in theirs)
            theirs.add(number)
        assert ours.add(np.array(block, dtype=np.uint64)).tolist() == new
        assert len(ours) == len(theirs)
    assert ours.has(np.array(asked, dtype=np.uint64)).tolist() == [number in theirs for number in asked]


def test_a_million_take_8_bytes_each_and_few_arrays():
    digests = np.random.default_rng(0).integers(2**64, size=10**6, dtype=np.uint64)
    ours = DigestSet()
    for start in range(0, 10**6, 1000):
        ours.add(digests[start : start + 1000])
    assert len(ours) == 10**6
    assert ours.nbytes == 8 * 10**6
    assert ours.has(digests).all()
    assert not ours.add(digests).any()

"""The page on peers says where rbt_ray is behind, counts quiet runs, and tells the objective's results from others."""

import pytest

MACHINE = {
    "cores": 2,
    "processor": "a",
    "memory_gib": 1,
    "system": "Linux",
    "python": "3",
    "packages": {"ray": "2", "x": None},
}


@pytest.fixture
def peers(monkeypatch):
    from pathlib import Path

    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks" / "peers")
    import page
    import work

    return page, work


def runs(warm, cold=1.0, foreign=0.0):
    return [{"cold_s": cold, "warm_s": list(warm), "foreign": [foreign] * len(warm), "n": 10}]


def entry(seconds, theirs, ours=(1.0, 1.01, 1.02, 1.0, 1.01)):
    return {"seconds": seconds, "n": 10, "peers": {"rbt_local": runs(ours), "pool_kept": runs(theirs, cold=3.0)}}


def written(page, data, tmp_path):
    page.write({**data, "machine": MACHINE}, tmp_path / "peers.json")
    assert (tmp_path / "peers.png").stat().st_size > 0
    return (tmp_path / "peers.md").read_text()


def test_a_faster_peer_is_named_with_its_length(peers, tmp_path):
    faster, slower = (0.5, 0.51, 0.52, 0.5, 0.51), (2.0, 2.1, 2.0, 2.0, 2.1)
    text = written(peers[0], {"grid 1e-05": entry(1e-5, faster), "grid 0.1": entry(0.1, slower)}, tmp_path)
    assert "Faster than rbt_ray, warm" in text
    assert "- 10 µs: Pool, reused (0.50)." in text
    assert "- 100 ms" not in text
    assert "Faster than rbt_ray, cold" not in text  # it took three times as long
    [row] = [line for line in text.splitlines() if line.startswith("| Pool, reused, 10 µs, warm |")]
    assert row.endswith(", 0.06 | -1.00 | 5 |")  # Wilcoxon's exact p of five of one sign is 2 / 2^5


def test_below_ten_microseconds_nothing_is_promised(peers, tmp_path):
    text = written(peers[0], {"grid 1e-06": entry(1e-6, (0.5,) * 5)}, tmp_path)
    assert "Faster than rbt_ray, warm" not in text
    assert "(slower)" in text  # the table has it all the same


def test_quiet_runs_count_where_there_are_enough(peers):
    page, _ = peers
    answers = [*runs((9.0,) * 4, foreign=0.5), *runs((1.0,) * 5, foreign=0.01)]
    assert set(page.warm(answers)) == {1.0}
    others = [*runs((8.0,) * 2), *runs((2.0,) * 7, foreign=0.01)]  # run by run beside these, by their order
    ours, theirs = page.warm_pairs(answers, others)
    assert (set(ours), set(theirs)) == ({1.0}, {2.0})
    assert 9.0 in page.warm([*runs((9.0,) * 4, foreign=0.5), *runs((1.0,) * 4, foreign=0.01)])


def test_a_table_of_results_is_known_by_every_score(peers):
    _, work = peers
    table = {number: work.answer(number) for number in range(50)}
    assert work.digest(table) == work.digest(dict(reversed(table.items())))
    assert work.digest(table) != work.digest({**table, 7: table[7] + 1e-16})
    assert len(set(table.values())) == 50
    assert [one for part in work.pieces(work.grid(10), 4) for one in part] == work.grid(10)

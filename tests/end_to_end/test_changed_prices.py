"""Prices that change during a study: the writer is stopped, or the study reports the change and runs the trials again."""

import ctypes
import os
import signal
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError, NoResultError, PricesChangedError, StudyInterrupted
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.store.location import OWN_BUNDLE
from rbt_ray.store.storage import child
from rbt_ray.tuner.result_grid import ResultGrid
from tests import one_ray
from tests.pools import batch, points, task

N = 40
N_BARS = 2000


def prices(n_symbols, n_bars=N_BARS):
    index = np.datetime64("2000-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    close = np.random.default_rng(3).uniform(10, 20, (n_bars, n_symbols))
    return rbt.Bundle.from_arrays({"open": close + 1, "close": close}, index, [f"S{n}" for n in range(n_symbols)])


def score(params, data):
    return {"score": float(data.close[: 100 + params["n"]].sum() + data.open.sum() * params["n"])}


@numba.njit
def assign(values, position, value):
    values[position] = value


def plain(objective, folder, name, bundle, *, search="grid", backend="local", n_workers=2, **run):
    return rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(0, N)},
        bundle=bundle,
        tune_config=rbt.TuneConfig(
            metric="score", mode="min", search_alg=search, num_samples=None if search == "grid" else N, seed=5
        ),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, backend=backend, num_workers=n_workers, verbose=0, recheck=2, **run
        ),
    )


def flip(path, values, at=8 * 50 + 6):
    """Flips one bit in the file of an array, as any process with write access can."""
    at += path.read_bytes().index(values[30:60].tobytes()) - values[:30].nbytes
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 8]))


def saboteur(armed, then=lambda: None):
    """An objective that flips a bit in the file named in `armed`, once, in a trial whose `n` is from 15 to 19."""

    def objective(params, data):
        if 15 <= params["n"] < 20 and armed.exists():
            path = Path(armed.read_text())
            armed.unlink()
            flip(path, data.close)
            then()
        return score(params, data)

    return objective


class Interrupt:
    def on_trial_complete(self, result):
        if result.trial_id == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("search", ["grid", "bohb"])
def test_a_write_to_the_bundles_file_is_reported_and_its_trials_run_again(tmp_path, search):
    bundle, armed = prices(3), tmp_path / "armed"
    objective = saboteur(armed)
    calm = plain(objective, tmp_path, "calm", bundle, search=search).fit()
    file = tmp_path / "disturbed" / OWN_BUNDLE
    armed.write_text(str(file))
    with pytest.raises(PricesChangedError, match=r"changed while the study ran \(`close`, bars 0 to") as caught:
        plain(objective, tmp_path, "disturbed", bundle, search=search).fit()
    assert str(file) in str(caught.value)
    assert "rbt-ray resume" in str(caught.value)

    disturbed = ResultGrid(tmp_path / "disturbed")
    assert len(disturbed) > 1
    assert not disturbed.is_done
    assert {result.status for result in disturbed} == {"FAILED"}
    assert all("the prices may have changed while it ran" in error for error in disturbed.errors)
    assert all(result.metrics == {} for result in disturbed)
    assert f"The {len(disturbed):,} trials since the last check are marked" in disturbed.notes[-1]
    with pytest.raises(NoResultError, match="the prices may have changed"):
        disturbed.get_best_result()

    with pytest.raises(BundleError, match="have changed since it was made"):
        rbt.Tuner.restore(tmp_path / "disturbed", objective).fit()
    flip(file, bundle.close)  # back
    resumed = rbt.Tuner.restore(tmp_path / "disturbed", objective).fit()
    assert resumed.table_hash() == calm.table_hash()
    assert resumed.review.rows == calm.review.rows
    assert resumed.is_done


def test_another_host_learns_by_the_mirror_that_trials_count_no_more(tmp_path, monkeypatch):
    bundle, uri = prices(3), (tmp_path / "mirror").as_uri()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "here"))
    tuner = plain(score, uri, "study", bundle, callbacks=[Interrupt()])
    with pytest.raises(StudyInterrupted):
        tuner.fit()
    flip(tuner.path / OWN_BUNDLE, bundle.close)
    with pytest.raises(BundleError, match="are marked as failed"):
        rbt.Tuner.restore(child(uri, "study"), score).fit()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "there"))
    there = rbt.Tuner.restore(child(uri, "study"), score)
    assert {result.status for result in ResultGrid(there.path)} == {"FAILED"}


def test_a_worker_that_starts_after_the_write_ends_the_study(tmp_path):
    bundle, armed = prices(3), tmp_path / "armed"
    armed.write_text(str(tmp_path / "disturbed" / OWN_BUNDLE))
    objective = saboteur(armed, then=lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(PricesChangedError, match="`close`, bars"):
        plain(objective, tmp_path, "disturbed", bundle, n_workers=1).fit()
    disturbed = ResultGrid(tmp_path / "disturbed")
    assert {result.status for result in disturbed} <= {"FAILED"}
    assert len(disturbed) <= 15


def test_trials_of_an_interrupted_run_are_marked_when_the_file_has_changed_since(tmp_path):
    bundle = prices(3)
    calm = plain(score, tmp_path, "calm", bundle).fit()

    def interrupted(name):
        with pytest.raises(StudyInterrupted):
            plain(score, tmp_path, name, bundle, callbacks=[Interrupt()]).fit()
        found = ResultGrid(tmp_path / name)
        assert {result.status for result in found} == {"COMPLETED"}
        return tmp_path / name, len(found)

    folder, n = interrupted("one")
    flip(folder / OWN_BUNDLE, bundle.close)
    with pytest.raises(BundleError, match=f"The {n:,} trials since the last check are marked as failed"):
        rbt.Tuner.restore(folder, score).fit()
    assert {result.status for result in ResultGrid(folder)} == {"FAILED"}
    flip(folder / OWN_BUNDLE, bundle.close)
    assert rbt.Tuner.restore(folder, score).fit().table_hash() == calm.table_hash()

    folder, n = interrupted("other")  # a file that cannot even be opened
    content = (folder / OWN_BUNDLE).read_bytes()
    (folder / OWN_BUNDLE).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=f"The {n:,} trials since the last check are marked as failed"):
        rbt.Tuner.restore(folder, score)
    assert {result.status for result in ResultGrid(folder)} == {"FAILED"}


def test_a_checked_run_keeps_its_trials_when_the_file_changes_later(tmp_path):
    bundle = prices(3)
    done = plain(score, tmp_path, "done", bundle, max_failures=0).fit()
    before = done.table_hash()
    flip(tmp_path / "done" / OWN_BUNDLE, bundle.close)
    assert ResultGrid(tmp_path / "done").table_hash() == before
    assert rbt.Tuner.restore(tmp_path / "done", score).fit().table_hash() == before


@pytest.fixture(scope="module")
def large():
    """A bundle above 64 MiB, whose file is checked only by its checksums."""
    n_bars, n_symbols = 3_000, 3_000
    close = np.full((n_bars, n_symbols), 10.0)
    close[:: n_bars // 10] += np.random.default_rng(1).random(n_symbols)
    index = np.datetime64("2000-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": close}, index, [f"S{number}" for number in range(n_symbols)])


def flip_late(path):
    """Flips the lowest bit of a price near the end of the file."""
    with path.open("r+b") as file:
        at = path.stat().st_size // 64 * 62 // 8 * 8
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_one_bit_of_a_large_bundle_is_seen_before_a_study_and_by_a_worker_that_maps_it(tmp_path, large):
    path = tmp_path / "large.arrow"
    large.save(path)
    bundle = rbt.Bundle.open(path)
    assert bundle.nbytes > 64 * 2**20
    flip_late(path)
    with pytest.raises(BundleError, match=r"\(`close`, bars 2,"):
        plain(score, tmp_path, "never", rbt.Bundle.open(path)).fit()
    pool = LocalPool(1)
    try:
        pool.submit(batch(1, task(score, pool, bundle), points(1)))
        with pytest.raises(PricesChangedError, match="`close`, bars 2,"):
            pool.wait(60)
    finally:
        pool.close()


def test_one_bit_of_a_large_bundle_that_flips_under_a_study_is_seen_at_its_end(tmp_path, large):
    path, armed = tmp_path / "large.arrow", tmp_path / "armed"
    large.save(path)
    armed.touch()

    def objective(params, data):
        if params["n"] == N - 1 and armed.exists():
            armed.unlink()
            flip_late(path)
        return float(data.close[-1, -1])

    with pytest.raises(PricesChangedError, match=r"\(`close`, bars 2,"):
        plain(objective, tmp_path, "flipped", rbt.Bundle.open(path), n_workers=1).fit()
    assert ResultGrid(tmp_path / "flipped").num_terminated == 0


def test_a_part_of_the_symbols_is_on_read_only_pages_too(tmp_path):
    def objective(params, data):
        if data.n_symbols < 8:
            ctypes.memset(data.close.__array_interface__["data"][0] + 80, 1, 8)
        return score(params, data)

    results = rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(0, 3)},
        bundle=prices(8),
        tune_config=rbt.TuneConfig(
            metric="score", search_alg="random", scheduler="asha", fidelity="symbols", num_samples=2, min_fidelity=0.5,
            eta=2, seed=1,
        ),
        run_config=rbt.RunConfig(name="part", storage_path=tmp_path, backend="local", num_workers=2, verbose=0, max_retries=0),
    ).fit()  # fmt: skip
    low = [result.status for result in results if result.fidelity < 1]
    assert low
    assert set(low) == {"CRASHED"}


@pytest.fixture(scope="module")
def on_ray():
    """All studies on Ray in this module share a pool of two actors, until a study ends it."""
    one_ray.keep()
    yield {"backend": "ray"}
    rbt.shutdown()


def by_ctypes(address):
    ctypes.memmove(address, np.array([1e6]).ctypes.data, 8)


def by_numba(address):
    mine = np.zeros(8)
    assign(mine, (address - mine.__array_interface__["data"][0]) // 8, 1e6)


def stray(guilty):
    """An objective that writes to a price in the trials whose `n` is a key, with the mapped function."""

    def objective(params, data):
        if params["n"] in guilty:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # Ray's handler looks up functions' names for seconds
            guilty[params["n"]](data.close.__array_interface__["data"][0] + 8 * 50)
        return score(params, data)

    return objective


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can map Ray's memory a second time")
@pytest.mark.parametrize(
    ("n_symbols", "guilty"),
    [
        pytest.param(20, {17: by_ctypes}, id="in the object store", marks=pytest.mark.slow),
        pytest.param(20, {23: by_numba}, id="by compiled code", marks=pytest.mark.slow),
        pytest.param(2, {17: by_ctypes, 23: by_numba}, id="sent with the job", marks=pytest.mark.slow),
    ],
)
def test_on_ray_a_stray_write_ends_its_worker_and_changes_no_price(tmp_path, on_ray, n_symbols, guilty):
    bundle = prices(n_symbols)
    calm = plain(score, tmp_path, "calm", bundle).fit()
    results = plain(stray(guilty), tmp_path, "stray", bundle, **on_ray).fit()
    lost = {result.config["n"]: result.status for result in results if result.status != "COMPLETED"}
    assert lost == dict.fromkeys(guilty, "CRASHED")
    others = [number for number in range(N) if number not in lost]
    assert [results[number].metrics for number in others] == [calm[number].metrics for number in others]


def mapping_of(address):
    """The line of /proc/self/maps for an address, in parts, and where in the mapped file the address lies."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, offset, _, inode, *_ = line.split()
        start, stop = (int(end, 16) for end in span.split("-"))
        if start <= address < stop:
            return rights, inode, int(offset, 16) + address - start
    raise LookupError(address)


def through_rays_own_mapping(params, data):
    """Writes to a price where Ray itself has mapped its object store, which is writable."""
    if params["n"] == 17:
        rights, inode, at = mapping_of(data.close.__array_interface__["data"][0])
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.split()[4] == inode and line.split()[1] == "rw-s":
                ctypes.memmove(int(line.split("-")[0], 16) + at, np.array([1e6]).ctypes.data, 8)
                return {"score": data.close[0, 0]}
        raise LookupError(rights)
    return score(params, data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_on_ray_a_write_to_the_object_store_is_reported_and_its_trials_run_again(tmp_path, on_ray):
    bundle = prices(20)
    calm = plain(score, tmp_path, "calm", bundle).fit()
    with pytest.raises(PricesChangedError, match=r"\(`close`, bars 0 to"):
        plain(through_rays_own_mapping, tmp_path, "wild", bundle, **on_ray).fit()
    assert {result.status for result in ResultGrid(tmp_path / "wild")} == {"FAILED"}
    resumed = rbt.Tuner.restore(
        tmp_path / "wild",
        score,
        accept_changes=True,
        run_config=rbt.RunConfig(backend="local", num_workers=2, verbose=0),
    ).fit()
    assert resumed.table_hash() == calm.table_hash()

"""SharedBundleContext on one machine, where the original failed, and BundleConnectionPool; tests/cluster has several hosts."""

import multiprocessing
import pickle
import sys
import types

import cloudpickle
import numpy as np
import pytest

import rbt_ray as rbt
import rbt_ray.compat.rustybt
from rbt_ray.compat.rustybt import BundleConnectionPool, SharedBundleContext, get_bundle_from_pool
from rbt_ray.errors import BundleError, BundleNotFoundError, SettingError


def ingest(name, start=100.0):
    prices = start + np.arange(300.0)[:, None]
    days = np.datetime64("2020-01-01") + np.arange(300)
    return rbt.ingest(name, rbt.Bundle.from_arrays({"close": prices}, days, ["A"]))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def look(context):
    """In another process."""
    bundle = context.get_bundle()
    return bundle.version, float(np.nansum(bundle.close)), bool(bundle.close.flags.writeable), str(bundle.path)


def attach_and_look(metadata):
    context = SharedBundleContext(metadata.bundle_name)
    context.attach(metadata)
    return look(context)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_it_attaches_in_other_processes(method):
    with SharedBundleContext("sample") as context:
        here = look(context)
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(look, [context] * 4) == [here] * 4  # pickled, as an argument
            assert pool.apply(attach_and_look, (context.get_metadata(),)) == here
    assert here[2] is False


def test_it_pickles_before_and_after_it_is_shared():
    context = SharedBundleContext("sample")
    assert not pickle.loads(pickle.dumps(context)).is_initialized()
    context.initialize()
    for library in (pickle, cloudpickle):
        packed = library.dumps(context)
        assert len(packed) < 1_000  # where it is, not what is in it
        attached = pickle.loads(packed)
        assert attached.is_initialized()
        assert attached.get_bundle() == context.get_bundle()
        with pytest.raises(RuntimeError, match="another process shares"):
            attached.cleanup()
        attached.close()
        assert not attached.is_initialized()
    context.cleanup()
    context.cleanup()


def test_a_context_keeps_its_version_after_a_new_ingest():
    first = ingest("mine")
    context = SharedBundleContext("mine")
    context.initialize()
    ingest("mine", 200.0)
    assert pickle.loads(pickle.dumps(context)).get_bundle().version == first.version
    assert context.get_metadata().data_size == first.nbytes


def test_unsupported_uses_are_errors():
    with pytest.raises(SettingError, match="bundle_name"):
        SharedBundleContext("")
    with pytest.raises(BundleNotFoundError):
        SharedBundleContext("nowhere").initialize()
    context = SharedBundleContext("sample")
    with pytest.raises(RuntimeError, match="not shared"):
        context.get_bundle()
    context.initialize()
    with pytest.raises(RuntimeError, match="shared already"):
        context.initialize()
    with pytest.raises(RuntimeError, match="attached already"):
        context.attach(context.get_metadata())
    ingest("mine")
    lost = SharedBundleContext("mine")
    lost.initialize()
    attached = pickle.loads(pickle.dumps(lost))
    rbt.remove_bundle("mine")
    with pytest.raises(BundleError, match=r"ray\.init"):
        attached.get_bundle()


def test_who_shares_with_a_cluster_cleans_up_before_sharing_again(monkeypatch):
    """What it asks of a cluster is written down here; on a real one it runs in tests/cluster."""
    kept = []

    class Keeper:
        def __init__(self, bundle, *, outlives):
            self.name = f"kept-{bundle.version}"
            kept.append(self)

        def release(self):
            kept.remove(self)

    stand_in = types.SimpleNamespace(Keeper=Keeper, is_connected=lambda: True)
    monkeypatch.setitem(sys.modules, "ray", sys.modules.get("ray", types.ModuleType("ray")))
    monkeypatch.setitem(sys.modules, "rbt_ray.compat.rustybt.ray_bundle_keeper", stand_in)
    monkeypatch.setattr(rbt_ray.compat.rustybt, "ray_bundle_keeper", stand_in, raising=False)
    context = SharedBundleContext("sample", auto_cleanup=False)
    context.initialize()
    context.close()
    assert len(kept) == 1  # others may still attach
    with pytest.raises(RuntimeError, match="`cleanup` first"):
        context.initialize()
    context.cleanup()
    assert kept == []
    context.initialize()
    context.cleanup()
    assert kept == []


def test_a_pool_gives_the_open_bundle_until_another_is_ingested():
    first = ingest("mine")
    pool = BundleConnectionPool()
    bundle = pool.get_bundle("mine")
    assert bundle == first
    assert pool.get_bundle("mine") is bundle
    assert not pool.invalidate_if_version_changed("mine")
    second = ingest("mine", 200.0)
    fresh = pool.get_bundle("mine")
    assert fresh == second
    assert fresh is not bundle
    assert bundle.close[0, 0] == 100.0  # whoever holds the old one keeps it
    ingest("mine", 300.0)
    assert pool.invalidate_if_version_changed("mine")
    assert pool.get_pool_stats()["pool_size"] == 0
    assert pool.get_bundle("mine").close[0, 0] == 300.0
    assert pool.get_bundle("sample") is pool.get_bundle("sample")
    with pytest.raises(BundleNotFoundError):
        pool.get_bundle("nowhere")
    rbt.remove_bundle("mine")
    with pytest.raises(BundleNotFoundError):
        pool.get_bundle("mine")


def test_a_pool_keeps_its_size_and_drops_the_least_used():
    for name in ("a", "b", "c"):
        ingest(name)
    pool = BundleConnectionPool(max_pool_size=2)
    a = pool.get_bundle("a")
    pool.get_bundle("b")
    assert pool.get_bundle("a") is a
    pool.get_bundle("c")
    assert set(pool.get_pool_stats()["versions"]) == {"a", "c"}
    assert pool.get_pool_stats()["max_pool_size"] == 2
    pool.force_invalidate("a")
    assert pool.get_bundle("a") is not a
    pool.force_invalidate()
    assert pool.get_pool_stats()["pool_size"] == 0
    with pytest.raises(SettingError, match="max_pool_size"):
        BundleConnectionPool(0)


def test_a_process_has_one_pool():
    pool = BundleConnectionPool.get_instance(7)
    assert BundleConnectionPool.get_instance(5) is pool
    assert pool.max_pool_size == 5
    assert get_bundle_from_pool("sample") is pool.get_bundle("sample")
    pool.force_invalidate()

"""Tests of the Ray pool only: queued batches, one copy of a bundle per node, stdout, and which Ray is used."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import psutil
import pytest
import ray
from ray.exceptions import ObjectLostError

import rbt_ray as rbt
from rbt_ray.errors import SettingError, WorkerStartError
from rbt_ray.pool.ray.pool import RayPool
from rbt_ray.pool.worker import Worker
from rbt_ray.tuner.pools import backend_of
from tests import one_ray
from tests.pools import batch, collect, points, polynomial, task

pytestmark = pytest.mark.slow

# Ray takes a host for lost after 5 checks in vain, 3 s apart if nothing is said.
HEALTH_CHECKS_IN_A_HURRY = {"RAY_health_check_period_ms": "300", "RAY_health_check_initial_delay_ms": "300"}


@pytest.fixture(scope="module")
def pool():
    one_ray.keep()
    pool = RayPool(2)
    yield pool
    pool.close()


def deadly(params, data):
    if params["n"] == 66:
        os.kill(os.getpid(), signal.SIGKILL)
    while params["n"] == 99:
        pass
    return params["x"]


def run(script, timeout=600, env=None, cwd=None):
    """A script's output, in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True, env=env, cwd=cwd)


def warm_up(pool, job, number):
    """Makes both actors load the job, and the pool see that its batches are short."""
    while len(pool.pids()) < pool.n_workers:
        pool.wait(0.1)
    safe = points(2)
    safe[:, 1] = 1
    for offset in range(2):
        pool.submit(batch(number + offset, job, safe))
    collect(pool, 2)


def test_cancel_ends_an_endless_batch_and_queued_batches_run_on_other_workers(pool):
    job = task(deadly)
    warm_up(pool, job, 1)
    safe, endless = points(3), points(1)
    safe[:, 1], endless[:, 1] = 1, 99
    for number, rows in ((10, endless), (11, endless), (12, safe), (13, safe)):
        pool.submit(batch(number, job, rows))
    assert pool.wait(0.3) == []
    assert None not in (pool.taken_at(10), pool.taken_at(11))
    assert pool.taken_at(12) is pool.taken_at(13) is None
    pool.cancel(10, "late")
    answers = collect(pool, 3)
    assert answers[10].lost == "late"
    assert answers[12].lost is answers[13].lost is None
    pool.cancel(11, "late too")
    assert collect(pool, 1)[11].lost == "late too"


def test_a_batch_that_no_actor_has_can_be_cancelled(pool):
    job, endless = task(deadly), points(1)
    endless[:, 1] = 99
    for number in range(1, 5):
        pool.submit(batch(number, job, endless))
    for number in range(1, 5):
        pool.cancel(number, f"stopped {number}")
    assert {n: one.lost for n, one in collect(pool, 4).items()} == {n: f"stopped {n}" for n in range(1, 5)}


def test_the_time_of_a_batch_begins_when_the_one_before_it_is_back(pool):
    def dawdle(params, data):
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        return params["x"]

    job = task(dawdle)
    warm_up(pool, job, 1)
    for number in range(10, 14):
        pool.submit(batch(number, job, points(5)))
    since, back = {}, []
    while len(back) < 4:
        back += pool.wait(0.01)
        taken = {number: pool.taken_at(number) for number in range(10, 14)}
        since |= {number: at for number, at in taken.items() if at is not None}
    assert set(since) == {10, 11, 12, 13}
    first, second = sorted(since.values())[:2], sorted(since.values())[2:]
    assert min(second) > max(first) + 0.05
    assert set(taken.values()) == {None}


def test_a_bundle_is_one_copy_for_all_actors(pool):
    n_bars, n_symbols = 50_000, 250  # 100 MB
    days = np.datetime64("1900-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    close = 1.0 + np.arange(n_bars * n_symbols, dtype=float).reshape(n_bars, n_symbols)
    bundle = rbt.Bundle.from_arrays({"close": close}, days, [f"S{i}" for i in range(n_symbols)])
    del close

    def read(params, data):
        found = data.close
        total = float(found.sum())
        writeable = found.flags.writeable or data.index.flags.writeable
        owns = found.flags.owndata
        root = found
        while isinstance(root, np.ndarray) and root.base is not None:
            root = root.base
        private = psutil.Process().memory_full_info().uss
        return {"score": total, "writeable": writeable, "owns": owns or isinstance(root, np.ndarray), "uss": private}

    small = bundle_of_one_bar()
    uss = {}
    for name, one in (("small", small), ("large", bundle)):
        job = task(read, pool, one)
        for number in range(4):
            pool.submit(batch(number, job, points(1)))
        answers = collect(pool, 4)
        assert {a.outcomes.metrics["score"].values[0] for a in answers.values()} == {float(one.close.sum())}
        for answer in answers.values():
            assert not answer.outcomes.metrics["writeable"].values.any()
            assert name == "small" or not answer.outcomes.metrics["owns"].values.any()
        uss[name] = max(answer.outcomes.metrics["uss"].values[0] for answer in answers.values())
    assert uss["large"] - uss["small"] < 10e6  # a tenth of the bundle


def bundle_of_one_bar():
    return rbt.Bundle.from_arrays({"close": [[1.0]]}, [np.datetime64("2020-01-01")], ["A"], periods_per_year=252)


def test_a_bundle_is_put_once_and_an_objective_once_a_study(pool, monkeypatch):
    close = np.full((400, 3), 5.0)
    days = np.datetime64("2001-01-01", "ns") + np.arange(400) * np.timedelta64(1, "D")
    bundle = rbt.Bundle.from_arrays({"close": close}, days, ["A", "B", "C"])
    put, sizes = ray.put, []

    def count(value, **options):
        sizes.append(value)
        return put(value, **options)

    monkeypatch.setattr(ray, "put", count)
    for study in range(2):
        job = task(lambda params, data, study=study: float(data.close.sum()) + study, pool, bundle)
        for number in range(6):
            pool.submit(batch(number, job, points(2)))
            if number % 2:
                found = collect(pool, 2)
                assert {one.outcomes.metrics["score"].values[0] for one in found.values()} == {6000.0 + study}
    assert len(sizes) == 3


def test_the_bundle_of_an_earlier_study_is_freed(pool):
    other, first = RayPool(1), rbt.load_bundle("fx")

    def objects():
        return set(ray._private.worker.global_worker.core_worker.get_all_reference_counts())

    for number, bundle in enumerate([first, first, rbt.load_bundle("sample")]):
        before = objects()
        job = task(lambda params, data, number=number: float(np.nansum(data.close)) + number, other, bundle)
        if number == 0:
            (of_first,) = objects() - before
        other.submit(batch(number, job, points(1)))
        collect(other, 1)
        assert (of_first in objects()) == (bundle is first)
    other.close()


def test_a_ray_that_the_user_shut_down_is_started_again(tmp_path):
    done = run(
        f"""
        import ray, rbt_ray as rbt

        def fit(name):
            results = rbt.Tuner(
                lambda params, data: params["n"],
                param_space={{"n": rbt.randint(0, 40)}},
                tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
                run_config=rbt.RunConfig(name=name, storage_path={str(tmp_path)!r}, backend="ray", verbose=0),
            ).fit()
            print(results.table_hash())

        fit("first")
        ray.shutdown()
        fit("second")
        ray.shutdown()
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        fit("third")
        rbt.shutdown()
        print(ray.is_initialized())
        """
    )
    first, second, third, goes_on = done.stdout.split()
    assert first == second == third
    assert goes_on == "True"  # it is the user's own


def test_actors_stay_for_the_next_study_and_shutdown_frees_them(pool, tmp_path):
    def fit(name):
        return rbt.Tuner(
            lambda params, data: {"score": params["n"], "pid": os.getpid()},
            param_space={"n": rbt.randint(0, 40)},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
            run_config=rbt.RunConfig(name=name, storage_path=tmp_path, backend="ray", num_workers=1, verbose=0),
        ).fit()

    pids = [{result.metrics["pid"] for result in fit(name)} for name in ("first", "second")]
    assert pids[0] == pids[1]
    (actor,) = (psutil.Process(pid) for pid in pids[0])
    rbt.shutdown()
    assert psutil.wait_procs([actor], timeout=60)[1] == []
    assert ray.is_initialized()  # the other pool uses it


def test_actors_on_a_ray_of_our_own_leave_its_processors_to_others(pool):
    warm_up(pool, task(polynomial), 1)
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"] == 2


class Owner:
    """Owns objects, which are lost with it."""

    def put(self, value):
        return [ray.put(value)]


def lost(value):
    """A reference to an object of that value that is gone from the store."""
    owner = ray.remote(num_cpus=0)(Owner).remote()
    (reference,) = ray.get(owner.put.remote(value))
    ray.kill(owner)
    while True:
        try:
            ray.get(reference, timeout=120)
        except ObjectLostError:
            return reference


def last(params, data):
    return float(np.nansum(data.close[-1]))


@pytest.mark.parametrize("recycle_after", [None, 1])
def test_a_bundle_that_was_lost_from_the_object_store_is_put_there_again(pool, recycle_after):
    bundle = rbt.load_bundle("fx")
    other = RayPool(1, recycle_after=recycle_after)
    job = task(last, other, bundle)
    gone = lost((bundle.content, bundle.name, bundle.metadata))
    other._shared._bundles[bundle.version] = (bundle, gone)
    other.submit(batch(1, job, points(1)))
    assert collect(other, 1)[1].outcomes.metrics["score"].values.tolist() == [float(np.nansum(bundle.close[-1]))]
    assert other._shared._bundles[bundle.version][1] != gone
    other.close()


def test_a_job_that_was_lost_from_the_object_store_is_put_there_again(pool):
    other, job = RayPool(2), task(polynomial)
    gone = lost(job.payload + bytes(200_000))  # a small object would not be in the store
    other._shared._jobs[job.key] = (job, gone)
    for number in (1, 2):
        other.submit(batch(number, job, points(2)))
    assert [one.lost for one in collect(other, 2).values()] == [None, None]
    assert other._shared.payload(job.key) != gone
    other.close()


def test_a_job_that_gets_lost_every_time_is_an_error(pool, monkeypatch):
    other, job = RayPool(1), task(polynomial)
    gone = lost(job.payload + bytes(200_000))
    monkeypatch.setattr(ray, "put", lambda value: gone)
    other.submit(batch(1, job, points(1)))
    with pytest.raises(WorkerStartError, match="Ray's object store lost the objective 3 times"):
        collect(other, 1)
    other.close()


@pytest.mark.parametrize("n_workers", [None, 2])
def test_a_host_that_is_lost_costs_no_trial_even_without_retries(tmp_path, n_workers):
    run(
        f"""
        import json, os, threading, time
        from pathlib import Path
        import ray
        import rbt_ray as rbt
        from tests import ray_cluster

        cluster = ray_cluster.start()
        nodes = {{}}
        for _ in range(2):
            node = cluster.add_node(num_cpus=1)
            nodes[node.node_id] = node
        begun = Path({str(tmp_path)!r}) / "begun"
        begun.mkdir()

        def trial(params, data):
            (begun / ray.get_runtime_context().get_node_id()).touch()
            first = not (begun / f"x{{params['x']}}").exists()
            (begun / f"x{{params['x']}}").touch()
            while first and not (begun / "removed").exists():
                time.sleep(0.05)
            return params["x"]

        def remove_one():
            while not (at_work := [name for name in os.listdir(begun) if name in nodes]):
                time.sleep(0.05)
            cluster.remove_node(nodes[at_work[0]], allow_graceful=False)
            (begun / "removed").touch()

        remover = threading.Thread(target=remove_one)
        remover.start()
        results = rbt.Tuner(
            trial,
            param_space={{"x": rbt.grid_search([1.0, 2.0, 3.0])}},
            tune_config=rbt.TuneConfig(metric="score"),
            run_config=rbt.RunConfig(
                name="host", storage_path={str(tmp_path)!r}, backend="ray", address=cluster.address,
                num_workers={n_workers}, max_retries=0, verbose=0,
            ),
        ).fit()
        remover.join()
        found = json.dumps([[result.status, result.error] for result in results])
        Path({str(tmp_path / "found")!r}).write_text(found)
        rbt.shutdown()
        """,
        env={**os.environ, **HEALTH_CHECKS_IN_A_HURRY},
    )
    assert json.loads((tmp_path / "found").read_text()) == [["COMPLETED", None]] * 3


def test_results_larger_than_ray_sends_inline_come_back_whole(pool):
    job, rows = task(polynomial), points(20_000)
    pool.submit(batch(1, job, rows))
    here = Worker("here")
    here.load(job)
    expected = here.run(batch(1, job, rows)).outcomes.metrics["score"].values
    assert (collect(pool, 1)[1].outcomes.metrics["score"].values == expected).all()


def test_what_this_machine_does_not_have_is_refused(pool):
    with pytest.raises(SettingError, match=r"`resources_per_worker`: each worker needs 1 unobtainium"):
        RayPool(1, resources_per_worker={"unobtainium": 1})


def test_a_ray_of_our_own_is_no_cluster_to_backend_auto(pool):
    assert backend_of(rbt.RunConfig(backend="auto")) == "local"


def test_another_cluster_is_refused_while_this_process_is_on_one(pool):
    with pytest.raises(SettingError, match="connected to another Ray"):
        RayPool(1, address="127.0.0.1:1")


@pytest.fixture(scope="module")
def dying(pool, tmp_path_factory):
    """What a driver prints whose workers print and die, while this process has a Ray: its stdout, stderr, address and number of nodes."""
    folder = tmp_path_factory.mktemp("dying")
    done = run(
        """
        import os, signal, sys
        os.dup2(os.open("err", os.O_CREAT | os.O_WRONLY), 2)
        import numpy as np, psutil, ray
        import rbt_ray as rbt
        from rbt_ray.pool.pool import Batch
        from rbt_ray.pool.ray.pool import RayPool
        from rbt_ray.pool.job import Task
        from rbt_ray.study.space import Space

        def talk_and_die(params, data):
            print("from the objective", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)

        handler = signal.getsignal(signal.SIGTERM)
        pool = RayPool(1)
        open("where", "w").write(f"{ray.get_runtime_context().gcs_address} {len(ray.nodes())}")
        space = Space.of({"x": rbt.uniform(0, 1)})
        job = Task(talk_and_die, space, "score", 1, None, 0).pack()
        for number in range(2):
            pool.submit(Batch(number, job, np.array([number]), np.array([[0.5]])))
            while not (back := pool.wait(30)):
                pass
            assert back[0].lost, back
        while "worker died" not in open("err").read():
            pool.wait(0.1)
        children = psutil.Process().children(recursive=True)
        assert any("raylet" in child.name() for child in children)
        pool.close()
        assert not ray.is_initialized()
        assert signal.getsignal(signal.SIGTERM) == handler
        gone, alive = psutil.wait_procs(children, timeout=60)
        print("done", [child.name() for child in alive if "raylet" in child.name() or "ray::" in child.name()])
        """,
        cwd=folder,
    )
    return done.stdout, (folder / "err").read_text(), *(folder / "where").read_text().split()


def test_stdout_stays_the_drivers_own_and_ray_ends_with_the_pool(dying):
    stdout, stderr, *_ = dying
    assert stdout == "done []\n"
    assert "Token authentication" not in stderr


def test_a_pool_without_address_joins_no_ray_that_runs_already(dying):
    *_, address, n_nodes = dying
    assert address != ray.get_runtime_context().gcs_address
    assert n_nodes == "1"


def test_actors_take_the_resources_that_are_set_and_fill_the_cluster(pool):
    done = run(
        """
        import json
        import ray
        from rbt_ray.pool.ray.pool import RayPool

        def used():
            return {name: ray.cluster_resources()[name] - ray.available_resources().get(name, 0) for name in ("CPU", "slot")}

        ray.init(address="local", num_cpus=6, resources={"slot": 3}, include_dashboard=False, log_to_driver=False)
        found = []
        for n_workers, settings in (
            (None, {"num_cpus_per_worker": 3}),
            (None, {"resources_per_worker": {"slot": 1}}),
            (1, {"num_cpus_per_worker": 2, "resources_per_worker": {"slot": 2}}),
        ):
            pool = RayPool(n_workers, address=ray.get_runtime_context().gcs_address, **settings)
            while len(pool.pids()) < pool.n_workers:
                pool.wait(0.1)
            found.append([pool.n_workers, pool.capacity, used()])
            pool.close()
            while used()["CPU"]:
                pass

        others = ray.remote(num_cpus=6)(type("Others", (), {})).remote()
        while used()["CPU"] < 6:
            pass
        pool = RayPool(address=ray.get_runtime_context().gcs_address)
        pool.wait(11)
        ray.kill(others)
        while not pool.pids():
            pool.wait(0.1)
        print(json.dumps(found))
        """,
    )
    notes = [line for line in done.stderr.splitlines() if line.startswith("rbt-ray")]
    assert [note for note in notes if "process" not in note] == [  # a process may take long to start on a busy machine
        "rbt-ray: waiting for 1 CPU for a worker: other jobs use those resources (`ray status`)."
    ]
    assert json.loads(done.stdout) == [
        [2, 4, {"CPU": 6, "slot": 0}],
        [3, 6, {"CPU": 3, "slot": 3}],
        [1, 2, {"CPU": 2, "slot": 2}],
    ]


def test_a_pool_with_an_address_fills_a_cluster_and_leaves_it_running(users_ray):
    address, env = users_ray
    done = run(
        f"""
        import ray
        from rbt_ray.pool.ray.pool import RayPool

        for _ in range(2):  # the second finds it as it was
            pool = RayPool(address={address!r})
            slots = int(ray.cluster_resources()["CPU"])
            while len(pool.pids()) < slots:
                pool.wait(0.1)
            print(pool.n_workers == slots == 2)
            pool.close()
            print(ray.is_initialized())
        """,
        env=env,
    )
    assert done.stdout.split() == ["True", "False"] * 2


def test_a_ray_of_our_own_answers_nobody_without_its_token(pool):
    """Its ports are open to this machine's users: who asks for the keys of its store gets no answer without the token."""
    import grpc
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    ask = grpc.insecure_channel(ray.get_runtime_context().gcs_address).unary_unary(
        "/ray.rpc.InternalKVGcsService/InternalKVKeys"
    )
    key = [(name.lower(), value) for name, value in get_auth_headers_if_auth_enabled({}).items()]
    assert key
    ask(b"", metadata=key, timeout=60)
    for wrong in ([], [(key[0][0], "Bearer " + "0" * 64)]):
        with pytest.raises(grpc.RpcError) as refused:
            ask(b"", metadata=wrong, timeout=60)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_actors_that_are_killed_while_they_start_are_started_again(pool):
    """Both, then one more: three in a row, and none of them had said hello."""
    other, job = RayPool(2), task(polynomial)
    other.submit(batch(1, job, points(2)))
    killed = []
    while len(killed) < 3:
        for handle in [one for one in other._actors if one not in killed][: 3 - len(killed)]:
            assert handle.info is None
            ray.kill(handle._actor)
            killed.append(handle)
        other.wait(0.01)
    assert collect(other, 1)[1].lost is None
    other.close()

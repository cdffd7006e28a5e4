"""Runs a walk-forward on a cluster of Ray: `ray submit cluster.yaml walk_forward_on_a_cluster.py`.

On a host of a cluster it joins that cluster. Elsewhere it starts a Ray on this machine.
"""

import os

import rbt_ray as rbt

if __name__ == "__main__":
    results = rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", search_alg="grid", validation=rbt.WalkForward(train=8, test=1)),
        run_config=rbt.RunConfig(
            backend="ray", address=os.environ.get("RAY_ADDRESS"), exist="new", name="walk_forward"
        ),
    ).fit()
    print(results.walk_forward())
    print(f"{len(results):,} trials by {results.runs[-1].n_workers} workers")

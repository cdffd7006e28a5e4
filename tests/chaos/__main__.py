import argparse, os, sys, tempfile, time
from pathlib import Path
from tests.chaos.run import Chaos
p = argparse.ArgumentParser()
p.add_argument("--again", type=int)
p.add_argument("--backend", default="local")
p.add_argument("--seed", type=int, default=0)
p.add_argument("--studies", type=int, default=5)
a = p.parse_args()
with tempfile.TemporaryDirectory(prefix="rbt-chaos-", ignore_cleanup_errors=True) as f:
    chaos = Chaos(Path(f), root=os.geteuid() == 0)
    for s in [a.again] if a.again is not None else range(a.seed, a.seed + a.studies):
        t = time.time()
        try:
            chaos.study(s, a.backend)
            print(s, "ok", f"{time.time()-t:.1f}", sum(chaos.tally.faults.values()), flush=True)
        except AssertionError as e:
            print(s, "FAIL", f"{time.time()-t:.1f}", e, flush=True)
    print(chaos.tally)

"""The four one after another on the old workload, by the old evaluation's rule."""

from benchmarks.decisions.page import Case, Decision, case
from benchmarks.workload import N_BATCHES, N_CONFIGS, OPTIMIZATIONS, measure
from rbt_ray.bench import sequential

ABOUT = """\
Each is measured on top of those accepted before it, on the old evaluation's workload: a moving-average crossover in numpy on
8 symbols x 5,124 days (40,992 rows), {m} batches of {n} configs, two workers. The base is a `multiprocessing.Pool` of the
standard library new (by spawn) for each batch, whose workers load the prices from a Parquet file by pandas. The rule stops
where the cumulative gain, 1 - T_final / T_base, is above 90 %, or where less than 2 % of it came from the last two; all are
measured here all the same. The kernels of the built-in objectives play no part: the objective is a user's function."""
GOAL = 0.95


def decide(quick):
    n_batches, runs = (2, 2) if quick else (N_BATCHES, 10)
    found = sequential(
        OPTIMIZATIONS,
        lambda on, judged: measure(on, judged, n_batches=n_batches),
        runs=runs,
        to_the_end=True,
    )
    page = Decision("sequential", "The four, one after another", ABOUT.format(m=n_batches, n=N_CONFIGS), decides=False)
    rows = [["optimization", "on top of", "verdict", "cumulative gain"]]
    for step in found.steps:
        page.cases.append(Case(step.name, False, step.accepted, step.reason, step.comparison, step.pairs))
        verdict = "accepted" if step.accepted else "rejected"
        rows.append([step.name, ", ".join(step.on_top_of) or "nothing", verdict, f"{step.cumulative:.1%}"])
    page.tables["Cumulative gain"] = rows
    reached = "is reached" if found.cumulative > GOAL else "is not reached"
    page.notes = [
        f"{found.stopped} The cumulative gain is {found.cumulative:.1%}: the goal of {GOAL:.0%} {reached}, and the old "
        f"one of 90 %, which the old evaluation never reached, {'is' if found.cumulative > 0.9 else 'is not'}."
    ]
    if not quick:

        def run(on):
            return measure(on, "all", n_batches=n_batches, start_method="fork")

        name = "all that were accepted, beside pools made by fork"
        page.cases.append(case(name, lambda: run(()), lambda: run(found.accepted), meant=False))
    return page

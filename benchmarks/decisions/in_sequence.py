"""The four optimizations in sequence on the old workload, by the old evaluation's rule, in both orders of the first two."""

import functools
from dataclasses import replace

from benchmarks.decisions.page import Case, Decision, case
from benchmarks.workload import N_BATCHES, N_CONFIGS, Plain, Size, measure
from rbt_ray.bench import sequential
from rbt_ray.bench.sequence import stop_when_done

ABOUT = """\
Each optimization is measured on top of those accepted before it, on the old evaluation's workload: a moving-average crossover in
numpy on 8 symbols x 5,124 days (40,992 rows), {m} batches of {n} configs, two workers. The baseline is a new
`multiprocessing.Pool` of the standard library (by spawn) for each batch, whose workers load the prices from a Parquet file with
pandas. The shared bundle and the persistent pool are measured in both orders, and BOHB and Ray on top of the order with the
higher gain. The rule stops when the cumulative gain, 1 - T_final / T_base, is above 90 %, or when the last two optimizations added
less than 2 %. Here all are measured anyway. The objective is a user's function and uses no built-in kernels.

An evaluation takes about 0.4 ms here, and 1 to 3 s in the old evaluation. The last rows compare the accepted optimizations with
other ways to do the same, and with evaluations of 1 s ({long_n} of them in {long_m} batches)."""
ORDERS = (("shared_bundle", "persistent_pool"), ("persistent_pool", "shared_bundle"))
LATER = ("bohb", "ray")
GOAL = 0.95
LONG = Size(n_batches=3, of_each=2, longer_s=1.0)
QUICK, QUICK_LONG = Size(n_batches=2), Size(n_batches=2, of_each=2, longer_s=0.01)
OTHERS = [
    ("forked pools", Plain("fork")),
    ("one forked pool that is kept", Plain("kept")),
    ("spawned pools that map the prices by np.load", Plain("spawn", "array")),
    ("a loop in one process", Plain("serial", "array")),
]
OTHERS_LONG = OTHERS[2:]


def decide(quick):
    size, long = (QUICK, QUICK_LONG) if quick else (Size(), LONG)
    options = {"runs": 2 if quick else 10, "warmup": 0 if quick else 1, "to_the_end": True}
    page = Decision(
        "sequential",
        "The four optimizations in sequence",
        ABOUT.format(m=N_BATCHES, n=N_CONFIGS, long_n=long.n_batches * long.of_each**2, long_m=long.n_batches),
        decides=False,
    )
    orders = ORDERS[:1] if quick else ORDERS
    found = [sequential(order, lambda on, judged: measure(on, judged, size=size), **options) for order in orders]
    better = max(found, key=lambda one: one.cumulative)
    on = better.accepted
    later = sequential(LATER, lambda more, judged: measure((*on, *more), judged, size=size), **options)
    whole = [
        *better.steps,
        *(
            replace(
                step,
                on_top_of=(*on, *step.on_top_of),
                cumulative=1 - (1 - better.cumulative) * (1 - step.cumulative),
            )
            for step in later.steps
        ),
    ]
    result = stop_when_done([step.name for step in whole], whole, to_the_end=True)
    for one in found:
        steps = result.steps if one is better else one.steps
        page.cases += [_case(step) for step in steps]
        page.tables[f"Cumulative gain, {one.steps[0].name} first"] = _rows(steps)
    page.notes = [about_orders(found, better), about_goal(result)]
    accepted = result.accepted or ("persistent_pool",)
    others = [(one, size, "") for one in (OTHERS[1::2] if quick else OTHERS)]
    others += [(one, long, ", 1 s an evaluation") for one in (OTHERS_LONG[:1] if quick else OTHERS_LONG)]
    for (name, plain), how_long, words in others:

        def run(on, plain=plain, how_long=how_long):
            return measure(on, "all", size=how_long, plain=plain)

        sides = functools.partial(run, ()), functools.partial(run, accepted)
        page.cases.append(case(f"all accepted against {name}{words}", *sides, meant=False, quick=quick))
    return page


def _case(step):
    name = f"{step.name} on {', '.join(step.on_top_of) or 'nothing'}"
    return Case(name, False, step.verdict, step.reason, step.comparison, step.pairs)


def _rows(steps):
    head = ["optimization", "on top of", "verdict", "cumulative gain"]
    return [
        head,
        *(
            [step.name, ", ".join(step.on_top_of) or "nothing", step.verdict, f"{step.cumulative:.1%}"]
            for step in steps
        ),
    ]


def about_orders(found, better):
    """Where each order ends, and what follows for the defaults."""
    ends = " and ".join(f"{one.cumulative:.1%} with {one.steps[0].name} first" for one in found)
    accepted = ", ".join(better.accepted) or "none"
    return f"The two orders end at {ends}. The defaults of `OptimizationConfig` follow from the better end: {accepted}."


def about_goal(result):
    """Which goals are reached."""
    reached, old = ("is reached" if result.cumulative > goal else "is not reached" for goal in (GOAL, 0.9))
    return (
        f"{result.stopped} The cumulative gain is {result.cumulative:.1%}: the goal of {GOAL:.0%} {reached}. The goal of the old "
        f"evaluation, 90 %, which it did not reach, {old}."
    )

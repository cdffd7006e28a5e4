"""What the live page shows of a study's figures, as text and as numbers of its chart."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from rbt_ray.html_text import encodable
from rbt_ray.live.figures import Figures
from rbt_ray.reporting.text import duration, format_value, shortened
from rbt_ray.types import COMPLETED, STATUSES

_MOST_ROWS = 24
_MOST_CAUSES = 8
_LONGEST = 120
_MINUTE = 60.0


def shown(figures: Figures, *, is_running: bool) -> dict[str, Any]:
    """Returns the parts of the page that depend on the study's events, as JSON values.

    Args:
        figures: of the study.
        is_running: whether a driver runs it: only then there is a pace and a time left.
    """
    study, total, n_done = figures.study, figures.total, figures.n_done
    pace = figures.trials_per_s if is_running else None
    left = None
    if pace and total is not None and not figures.stage and n_done < total:
        seconds = (total - n_done) / pace
        left = duration(seconds) if seconds >= _MINUTE else f"{math.ceil(seconds)} s"
    failed = n_done - int(figures.n_by_status[COMPLETED])
    over = ", ".join(study.space.names)
    return {
        "name": _text(study.name),
        "lead": _text(
            f"{study.search_alg} over {over}"
            + (f" on {study.bundle.name}" if study.bundle and study.bundle.name else "")
        ),
        "trials": f"{n_done:,}",
        "of": "" if total is None else f"of {total:,}",
        "share": None if not total else min(n_done / total, 1.0),
        "pace": None if pace is None else f"{pace:,.0f}" if pace >= 10 else f"{pace:.2g}",
        "left": left,
        "stage": figures.stage if is_running else "",
        "failed": f"{failed:,}",
        "has_failed": failed > 0,
        "counts": [[name, f"{n:,}"] for name, n in zip(STATUSES, figures.n_by_status.tolist(), strict=True) if n],
        "infeasible": f"{figures.n_infeasible:,}" if figures.n_infeasible else "",
        "withdrawn": f"{figures.n_withdrawn:,}" if figures.n_withdrawn else "",
        "causes": _causes(figures),
        "metric": _text(study.metric),
        "mode": study.mode,
        "best": _best(figures),
        "chart": _chart(figures),
        "last": None if figures.finished is None else time.strftime("%H:%M:%S", time.localtime(figures.finished)),
    }


def _best(figures: Figures) -> dict[str, Any] | None:
    best = figures.best
    if best is None:
        return None
    return {
        "trial": f"{best.trial:,}",
        "value": format_value(figures.sign * best.loss),
        "config": _rows(best.config),
        "metrics": _rows(best.metrics),
    }


def _rows(values: Mapping[str, Any]) -> list[list[str]]:
    rows = [[_text(name), _text(format_value(value))] for name, value in values.items()]
    return rows if len(rows) <= _MOST_ROWS else [*rows[:_MOST_ROWS], ["and", f"{len(rows) - _MOST_ROWS} more"]]


def _causes(figures: Figures) -> list[list[str]]:
    most = figures.causes.most_common(_MOST_CAUSES)
    others = figures.causes.total() - sum(n for _, n in most)
    return [[_text(text), f"{n:,}"] for text, n in most] + ([["other causes", f"{others:,}"]] if others else [])


def _chart(figures: Figures) -> list[list[float]]:
    """Returns the steps of the best so far, up to the last trial: pairs of trials and metric, which are finite."""
    found = [[float(n), value] for n, value in figures.steps if math.isfinite(value)]
    return [*found, [float(figures.n_done), found[-1][1]]] if found else []


def _text(found: str) -> str:
    return encodable(shortened(str(found), _LONGEST))

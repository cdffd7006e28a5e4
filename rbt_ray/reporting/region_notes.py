"""How different the best trials are: their regions of the space, and equal results on the hold-out, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from rbt_ray.reporting.best_trials import TopTrial, format_option
from rbt_ray.reporting.text import align_decimals, escape, exact_json, pluralize, scrolling
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.study import regions

N_RANKED = 200
_MOST_REGIONS = 5


def notes(record: StudyRecord, top: Sequence[TopTrial]) -> str:
    """Returns notes on the best trials: the regions they lie in, and which have the same result on the hold-out."""
    table = record.table
    said = regions.sentence(record.study.space, table.points[table.ranking(len(top))])
    alike = alike_on_holdout(top)
    return "".join(f'<p class="note">{escape(text)}</p>' for text in (said, alike) if text)


def best_of_regions(record: StudyRecord) -> str:
    """Returns the best trial of each region among the best `N_RANKED` trials; empty if they are one region or all apart."""
    table, study = record.table, record.study
    rows = table.ranking(N_RANKED)
    found = regions.regions(study.space, table.points[rows])
    if len(found) in (1, len(rows)):
        return ""
    shown = found[:_MOST_REGIONS]
    first = rows[[members[0] for members in shown]]
    params = study.space.columns(table.points[first])
    values = (table.loss[first] * (-1.0 if study.mode == "max" else 1.0)).tolist()
    texts = align_decimals(values)
    head = "".join(
        f'<th scope="col">{escape(name)}</th>' for name in ("rank", "trial", *params, study.metric, "trials")
    )
    body = []
    for place, members in enumerate(shown):
        cells = [f'<td class="id">{int(table.trials[first[place]])}</td>']
        cells += [f"<td>{escape(format_option(column[place]))}</td>" for column in params.values()]
        cells.append(f'<td class="main" data-value="{escape(exact_json(values[place]))}">{escape(texts[place])}</td>')
        cells.append(f"<td>{len(members):,}</td>")
        body.append(f'<tr><th scope="row">{int(members[0]) + 1}</th>{"".join(cells)}</tr>')
    html = f'<table id="regions"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    more = len(found) - len(shown)
    note = f"The best {len(rows)} trials lie in {len(found)} regions of neighbouring configs; below is the best of each"
    note += f", without {pluralize(more, 'other region')}." if more else "."
    return f"<h3>The best of each region</h3><p>{note}</p>{scrolling(html, 'The best of each region')}"


def alike_on_holdout(top: Sequence[TopTrial]) -> str:
    """Returns which of the best trials have exactly the metrics of another on the hold-out; empty if none do."""
    groups: dict[str, list[int]] = {}
    for trial in top:
        if trial.holdout is not None:
            groups.setdefault(exact_json(trial.holdout), []).append(trial.trial)
    alike = [trials for trials in groups.values() if len(trials) > 1]
    if not alike:
        return ""
    each = "; ".join(", ".join(map(str, trials)) for trials in alike)
    return f"Some of these trials have exactly the same metrics on the hold-out, so they are one strategy there: trials {each}."

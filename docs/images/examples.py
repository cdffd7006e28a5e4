"""Draws the pictures of the gallery of examples with Chromium: `python docs/images/examples.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from plotly.offline import get_plotlyjs

from rbt_ray.reporting.charts import charts_of
from rbt_ray.reporting.verdict_charts import verdict_charts
from rbt_ray.store.study_record import read_study
from rbt_ray.tuner.result_grid import ResultGrid

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
PICTURES = {
    "first_sweep": "over-parameters",
    "own_csv_files": "over-parameters",
    "own_strategy": "equity",
    "compiled_rule": "history",
    "search_by_stages": "history",
    "two_metrics": "front",
    "walk_forward": "out-of-sample",
    "robustness": "over-parameters",
    "two_time_frames": "equity",
    "continue_a_study": "over-parameters",
}
SIZE = 640, 440
_PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>body {{ margin: 8px; background: #fff }}</style><div id="chart"></div>
<script>{plotly}</script><script>
const figure = {figure};
figure.layout.width = {width}; figure.layout.height = {height}; figure.layout.autosize = false;
Plotly.newPlot("chart", figure.data, figure.layout, {{staticPlot: true}});
</script>"""


def draw(name: str, key: str) -> None:
    """Runs an example in an empty folder, and writes the chart of its study as a picture."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HOME": folder}
        subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], cwd=folder, env=env, check=True, capture_output=True)
        (study,) = (path.parent for path in Path(folder).glob("studies/*/journal.sqlite"))
        record, verdict = read_study(study), ResultGrid(study).verdict()
        charts = [*charts_of(record), *verdict_charts(record, verdict)]
        figure = next(iter(next(chart for chart in charts if chart.key == key).figures.values()))
        page, picture = Path(folder) / "page.html", HERE / f"example_{name}.png"
        width, height = SIZE
        html = _PAGE.format(plotly=get_plotlyjs(), figure=json.dumps(figure), width=width - 16, height=height - 16)
        page.write_text(html, encoding="utf-8")
        words = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=5000"]
        words += [f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()]
        subprocess.run(words, check=True, capture_output=True)
        print(picture.name)


if __name__ == "__main__":
    for name, key in PICTURES.items():
        draw(name, key)

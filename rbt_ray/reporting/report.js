"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const config = {
  responsive: true,
  displaylogo: false,
  showSendToCloud: false, // by default a button sends the chart's data to plotly's servers
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

const MARGIN = { l: 52, r: 12, t: 30, b: 44 };

/** Returns a figure for the narrow charts of the verdict, which may be drawn in full elsewhere. */
function small({ data, layout }) {
  return {
    data: data.map((trace) => (trace.type === "heatmap" ? { ...trace, showscale: false } : trace)),
    layout: { ...layout, height: 260, margin: MARGIN },
  };
}

async function draw(target, key) {
  const { data, layout } = target.classList.contains("small") ? small(figures[key]) : figures[key];
  try {
    // The buttons would cover the legend of a narrow chart, and the last axis's name of parallel coordinates.
    const displayModeBar = target.classList.contains("small") || data[0].type === "parcoords" ? false : "hover";
    await Plotly.react(target, data, layout, { ...config, displayModeBar });
    target.dataset.drawn = key;
  } catch (error) {
    target.textContent = `This browser could not draw the chart: ${error.message}`;
    throw error;
  }
}

const charts = [...document.querySelectorAll("[data-figure]")];
for (const chart of charts) draw(chart, chart.dataset.figure);

for (const select of document.querySelectorAll("[data-chooses]")) {
  const chart = document.getElementById(select.dataset.chooses);
  const follow = () => draw(chart, select.value);
  select.addEventListener("change", follow);
  if (select.value !== chart.dataset.figure) follow(); // a reload keeps what was picked
}

// Paper is narrower than the window, and charts do not shrink by themselves.
const PAPER_PIXELS = 680;
const SMALL_PIXELS = 330; // two beside each other
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const chart of charts) Plotly.relayout(chart, { width: chart.classList.contains("small") ? SMALL_PIXELS : PAPER_PIXELS });
});
window.addEventListener("afterprint", () => {
  for (const chart of charts) Plotly.relayout(chart, { width: null, autosize: true });
});

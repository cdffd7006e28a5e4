"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const STATES = { waiting: "waiting", running: "running", done: "finished", stopped: "not running", lost: "connection lost" };
let shown = null;

function text(id, value) {
  if ($(id).textContent !== value) $(id).textContent = value;
}

function make(name, attributes, content) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  return made;
}

/** Returns about `n` round numbers from `low` to `high`. */
function ticks(low, high, n) {
  const raw = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

const number = (value) => Number(value.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 });

function chart(points) {
  const svg = $("chart");
  svg.replaceChildren();
  const width = svg.clientWidth, height = svg.clientHeight;
  if (!points || !points.length || !width) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const box = { left: 58, right: width - 14, top: 12, bottom: height - 26 };
  const values = points.map(([, value]) => value);
  let low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  low -= margin;
  high += margin;
  if (!Number.isFinite(high - low) || low === high) return;
  const most = Math.max(points[points.length - 1][0], 1);
  const x = (n) => box.left + (n / most) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
  for (const tick of ticks(low, high, 4)) {
    svg.append(make("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }));
    svg.append(make("text", { x: box.left - 8, y: y(tick) + 4, "text-anchor": "end" }, number(tick)));
  }
  for (const tick of ticks(0, most, width > 600 ? 6 : 3)) {
    if (x(tick) > box.right - 8 && tick !== 0) continue;
    svg.append(make("text", { x: x(tick), y: height - 6, "text-anchor": "middle" }, number(tick)));
  }
  let path = `M${x(points[0][0])} ${y(points[0][1])}`;
  for (const [n, value] of points.slice(1)) path += `H${x(n)}V${y(value)}`;
  svg.append(make("path", { class: "best", d: path }));
  const [n, value] = points[points.length - 1];
  svg.append(make("circle", { class: "now", cx: x(n), cy: y(value), r: 4 }));
}

function rows(id, pairs, build) {
  const key = JSON.stringify(pairs);
  if ($(id).dataset.key === key) return;
  $(id).dataset.key = key;
  $(id).replaceChildren(...pairs.map(build));
}

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

function state(name) {
  document.body.dataset.state = name;
  text("state", STATES[name]);
}

function show(news) {
  shown = news;
  state(news.state);
  $("trouble").hidden = !news.trouble;
  text("trouble", news.trouble);
  $("stop").hidden = !news.can_stop;
  if (!news.can_stop) sure(false);
  if (news.state !== "running") $("said").hidden = true;
  if (news.name === undefined) return;
  text("name", news.name);
  text("lead", news.host ? `${news.lead}. ${news.host}` : news.lead);
  const percent = news.share === null ? null : Math.floor(news.share * 100);
  document.title = percent === null || news.state !== "running" ? news.name : `${percent} % ${news.name}`;
  $("progress").hidden = percent === null;
  if (percent !== null) {
    $("progress").setAttribute("aria-valuenow", percent);
    $("progress").firstElementChild.style.width = `${news.share * 100}%`;
  }
  text("trials", news.trials);
  text("of", news.of);
  const outcome = [];
  if (news.has_failed) outcome.push(`${news.failed} without a result`);
  if (news.infeasible) outcome.push(`${news.infeasible} infeasible`);
  if (news.withdrawn) outcome.push(`${news.withdrawn} withdrawn: the prices changed`);
  text("outcome", outcome.join(", "));
  $("outcome").classList.toggle("bad", news.has_failed);
  text("metric", `best ${news.metric} (${news.mode})`);
  text("value", news.best ? news.best.value : "–");
  text("which", news.best ? `trial ${news.best.trial}` : "no trial at full fidelity yet");
  text("pace", news.pace ?? "–");
  text("last", news.last ? `last result at ${news.last}` : "");
  text("left", news.left ?? "–");
  text("stage", news.stage || (news.is_stopping ? "stopping" : ""));
  chart(news.chart);
  $("best").hidden = !news.best;
  if (news.best) {
    rows("config", news.best.config, ([name, value]) => element("li", element("span", `${name} `), value));
    rows("metrics", news.best.metrics, ([name, value]) => element("div", element("dt", name), element("dd", value)));
  }
  $("failures").hidden = !news.has_failed;
  rows("counts", news.counts, ([name, n]) => element("li", element("b", n), ` ${name}`));
  rows("causes", news.causes, ([cause, n]) => element("tr", element("td", `${n} ×`), element("td", cause)));
  $("end").hidden = news.state === "running" || news.state === "waiting";
  $("resume").hidden = !news.resume;
  if (news.resume) $("resume").lastElementChild.textContent = news.resume;
}

function sure(asks) {
  $("ask").hidden = asks;
  $("sure").hidden = !asks;
}

$("ask").addEventListener("click", () => sure(true));
$("no").addEventListener("click", () => sure(false));
$("yes").addEventListener("click", async () => {
  sure(false);
  $("ask").disabled = true;
  try {
    const answer = await fetch("stop", { method: "POST" });
    text("said", (await answer.json()).text);
  } catch {
    text("said", "The study could not be reached: stop it with Ctrl-C where it runs.");
  }
  $("said").hidden = false;
  $("ask").disabled = false;
});

const source = new EventSource("events"); // the browser connects again by itself
source.addEventListener("message", (event) => show(JSON.parse(event.data)));
source.addEventListener("error", () => state("lost"));
window.addEventListener("resize", () => shown && chart(shown.chart));

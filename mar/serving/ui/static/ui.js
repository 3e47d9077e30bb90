// What the pages need beyond htmx: polling that rests, plots, and small comforts. Nothing here writes HTML.
"use strict";

// An element with data-live polls; it rests while nobody sees it, while somebody has paused it, or reads or marks text in it.
function resting(element) {
  const marked = document.getSelection();
  const inside = element.contains(document.activeElement) && document.activeElement !== element;
  return document.hidden || document.body.dataset.paused === "yes" || inside ||
    (marked && !marked.isCollapsed && element.contains(marked.anchorNode));
}
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches("[data-live]") && resting(event.target)) event.preventDefault();
});
// Rows of a list that came after those that were there are marked for a moment.
let known = new Set();
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.matches("tbody[data-live]")) known = new Set([...event.detail.target.querySelectorAll("tr a[id]")].map((link) => link.id));
});
document.addEventListener("htmx:load", (event) => {
  if (!event.detail.elt.matches("tbody[data-live]") || !known.size) return;
  for (const link of event.detail.elt.querySelectorAll("tr a[id]")) if (!known.has(link.id)) link.closest("tr").classList.add("fresh");
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-pause]");
  if (button) {
    const paused = document.body.dataset.paused !== "yes";
    document.body.dataset.paused = paused ? "yes" : "no";
    button.setAttribute("aria-pressed", String(paused));
  }
  const copy = event.target.closest("button[data-copy]");
  if (copy) {
    navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent).then(() => { copy.textContent = "Copied"; });
  }
});

// A form with data-auto is sent when a choice in it changes; one with data-confirm asks first.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=radio]")) form.requestSubmit();
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
  else if (event.target.method === "get") for (const field of event.target.elements) if (field.value === "") field.disabled = true;
});
window.addEventListener("pageshow", () => { for (const field of document.querySelectorAll("form[method=get] :disabled")) field.disabled = false; });

// A link to a text that lies folded unfolds it.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const folded = target && (target.closest("details") || target.querySelector("details"));
  if (folded) { folded.open = true; target.scrollIntoView({ block: "nearest" }); }
}
window.addEventListener("hashchange", unfold);
window.addEventListener("DOMContentLoaded", unfold);

// <div class="plot" data-plot='{"x": [seconds since 1970, ...], "series": [{"name": "small", "values": [...]}], "unit": "USD", "height": 200}'>
// "time": false: x is a number and no time; a series with "dots": true was measured now and then, and is no line. "stack" is not there on purpose: lines are compared, areas are not.
const COLOURS = 6;
// Ticks of time, UTC: the hour where they lie less than a day apart, else the day.
function moments(_, ticks) {
  const daily = ticks.length > 1 && ticks[1] - ticks[0] >= 86400;
  return ticks.map((at) => {
    const text = new Date(at * 1000).toISOString();
    return daily || text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
  });
}
function plot(element) {
  const wanted = JSON.parse(element.dataset.plot);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 }, font: "12px system-ui, sans-serif" };
  const number = (value) => value == null ? "–" : Math.abs(value) >= 1000 ? value.toLocaleString("en") : String(+value.toPrecision(4));
  const series = wanted.series.map((one, i) => ({
    label: one.name, stroke: colour(`--line-${i % COLOURS + 1}`), width: 1.6, dash: i < COLOURS ? undefined : [6, 4],
    points: { show: one.dots || wanted.x.length < 3 }, paths: one.dots ? () => null : undefined, spanGaps: wanted.time === false, value: (_, value) => number(value),
  }));
  const options = {
    width: element.clientWidth, height: wanted.height || 200,
    scales: { x: { time: wanted.time !== false }, y: { range: wanted.range || ((_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1]) } },
    series: [wanted.time === false ? { label: wanted.label || "x" } : { label: "UTC", value: (_, at) => at == null ? "" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ") }, ...series],
    axes: [wanted.time === false ? axis : { ...axis, values: moments, space: 70 }, { ...axis, size: 56, values: (_, ticks) => ticks.map(number) }],
    cursor: { drag: { x: false, y: false } }, legend: { live: wanted.x.length > 1 },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
  };
  element.replaceChildren();
  element.drawn = new uPlot(options, [wanted.x, ...wanted.series.map((one) => one.values)], element);
}
function plots(root) {
  const found = [...root.querySelectorAll("[data-plot]")];
  if (root.matches && root.matches("[data-plot]")) found.push(root);
  for (const element of found) plot(element);
}
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.drawn && target.drawn.width !== target.clientWidth) target.drawn.setSize({ width: target.clientWidth, height: target.drawn.height });
  }
});
function begin(root) {
  plots(root);
  for (const element of root.querySelectorAll("[data-plot]")) sized.observe(element);
}
// After the first paint, for which nobody should wait for a plot.
document.addEventListener("htmx:load", (event) => requestAnimationFrame(() => setTimeout(() => begin(event.detail.elt))));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots(document));

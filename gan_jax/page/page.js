"use strict";
// Draws the curves and moves the slider. A page without JavaScript keeps the tables.

const ROOT = document.documentElement;
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const BORDERS = ["solid", "dashed", "dotted", "dashed"]; // the dashes in a legend
const HEIGHT = 260; // pixels of a chart, without its legend
const PAPER_WIDTH = 640; // pixels of a chart on paper

function color(name) {
  return getComputedStyle(ROOT).getPropertyValue(name).trim();
}

function short(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

// A run has a colour where there are several, and what is drawn has a dash.
function look(curve, severalRuns) {
  if (curve.run < 0) return { hue: "--faint", dash: [4, 4], border: "dashed", width: 1 };
  const hue = `--c${(severalRuns ? curve.run : curve.kind) % 8}`;
  const number = severalRuns ? curve.kind % 4 : 0;
  return { hue, dash: DASHES[number], border: BORDERS[number], width: 1.75 };
}

function asSeries(curve, { hue, dash, width }) {
  return {
    label: curve.label,
    stroke: () => color(hue),
    width,
    dash,
    spanGaps: true,
    points: { show: curve.values.filter((value) => value != null).length < 3 },
    value: (plot, value) => short(value),
  };
}

function axis(values) {
  return {
    stroke: () => color("--faint"),
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { stroke: () => color("--line"), width: 1 },
    values,
  };
}

function draw(place, chart, severalRuns) {
  const looks = chart.curves.map((curve) => look(curve, severalRuns));
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [
      axis((plot, steps) => steps.map((step) => step.toLocaleString("en"))),
      { ...axis((plot, values) => values.map(short)), size: 56 },
    ],
    series: [
      { label: "step", value: (plot, step) => step == null ? "–" : step.toLocaleString("en") },
      ...chart.curves.map((curve, index) => asSeries(curve, looks[index])),
    ],
    cursor: { sync: { key: "step" }, focus: { prox: 24 } },
    focus: { alpha: 0.35 },
    legend: {
      markers: {
        width: 1,
        stroke: (plot, index) => `var(${looks[index - 1].hue})`,
        dash: (plot, index) => looks[index - 1].border,
      },
    },
  };
  const data = [chart.steps, ...chart.curves.map((curve) => curve.values)];
  const plot = new uPlot(options, data, place);
  for (const name of place.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
    name.tabIndex = 0;
    name.setAttribute("role", "button");
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        name.click();
      }
    });
  }
  return plot;
}

function drawCharts() {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const places = [...document.querySelectorAll(".plot")];
  const severalRuns = document.querySelectorAll("h1 .run").length > 1;
  const plots = places.map(
    (place) => draw(place, charts[place.dataset.chart], severalRuns));
  const fit = () => {
    const onPaper = ROOT.classList.contains("paper");
    plots.forEach((plot, index) => {
      const width = onPaper ? PAPER_WIDTH : places[index].clientWidth;
      plot.setSize({ width, height: HEIGHT });
      plot.redraw(false, true);
    });
  };
  addEventListener("resize", fit);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);
  addEventListener("beforeprint", () => { ROOT.classList.add("paper"); fit(); });
  addEventListener("afterprint", () => { ROOT.classList.remove("paper"); fit(); });
}

function showStep(step) {
  for (const figure of document.querySelectorAll(".samples")) {
    const pictures = [...figure.querySelectorAll("img")];
    const before = pictures.filter((picture) => Number(picture.dataset.step) <= step);
    const shown = before.length ? before[before.length - 1] : pictures[0];
    for (const picture of pictures) picture.hidden = picture !== shown;
    figure.querySelector(".shown").textContent =
      `step ${Number(shown.dataset.step).toLocaleString("en")}`;
  }
}

function startSlider() {
  const slider = document.getElementById("step");
  if (!slider) return;
  const all = [...document.querySelectorAll(".samples img")];
  const steps = [...new Set(all.map((picture) => Number(picture.dataset.step)))];
  steps.sort((a, b) => a - b);
  const output = document.getElementById("step-shown");
  const show = () => {
    const step = steps[slider.value];
    output.textContent = step.toLocaleString("en");
    slider.setAttribute("aria-valuetext", `step ${step}`);
    showStep(step);
  };
  slider.max = steps.length - 1;
  slider.value = steps.length - 1;
  slider.addEventListener("input", show);
  show();
}

startSlider();
drawCharts();

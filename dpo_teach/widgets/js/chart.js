// A chart with two axes. All its nodes are made once; ranges, width and marks are set.

import { identity, put, say, svg } from "./nodes.js";
import { brief, ticksOf } from "./numbers.js";

const TICKS = 9;
const LEFT = 46;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 40;

export function chart({ label, xLabel, yLabel, height = 240, x, y, left = LEFT, tickText = brief }) {
  let width = 400;
  let ranges = { x, y };
  const clip = identity("clip");
  const window_ = svg("rect");
  const axes = svg("g", { class: "dt-axes" });
  const marks = svg("g", { "clip-path": `url(#${clip})` });
  const over = svg("g");
  const xTicks = pool(axes, "dt-x");
  const yTicks = pool(axes, "dt-y");
  const xName = svg("text", { class: "dt-name", "text-anchor": "end" }, xLabel);
  const yName = svg("text", { class: "dt-name", x: left, y: TOP - 1 }, yLabel);
  const node = svg("svg", { class: "dt-chart", role: "img", "aria-label": label, height: height + 8 },
                   svg("defs", {}, svg("clipPath", { id: clip }, window_)), axes, marks, over, xName, yName);
  const top = TOP + 10;
  const bottom = height - BOTTOM;

  const px = (value) => left + ((value - ranges.x[0]) / (ranges.x[1] - ranges.x[0])) * (width - left - RIGHT);
  const py = (value) => bottom - ((value - ranges.y[0]) / (ranges.y[1] - ranges.y[0])) * (bottom - top);

  function settle() {
    put(node, { width, viewBox: `0 0 ${width} ${height + 8}` });
    put(window_, { x: left, y: top - 4, width: Math.max(width - left - RIGHT, 1), height: bottom - top + 8 });
    put(xName, { x: width - RIGHT, y: height - 2 });
    const count = width < 360 ? 4 : 6;
    lay(xTicks, ticksOf(ranges.x, count), (tick, line, text) => {
      put(line, { x1: px(tick), x2: px(tick), y1: top, y2: bottom });
      put(text, { x: px(tick), y: bottom + 17, "text-anchor": "middle" });
    }, tickText);
    lay(yTicks, ticksOf(ranges.y, 4), (tick, line, text) => {
      put(line, { x1: left, x2: width - RIGHT, y1: py(tick), y2: py(tick) });
      put(text, { x: left - 7, y: py(tick) + 4, "text-anchor": "end" });
    }, tickText);
  }

  settle();
  return {
    node, marks, over, px, py,
    get x() {
      return ranges.x;
    },
    get y() {
      return ranges.y;
    },
    resize(to) {
      width = to;
      settle();
    },
    range(to) {
      ranges = { ...ranges, ...to };
      settle();
    },
    // The path through points of the data.
    path: (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(2)} ${bounded(py(b)).toFixed(2)}`).join(""),
    // A point that has left the chart waits at its edge.
    inside: ([a, b]) => [within(a, ranges.x), within(b, ranges.y)],
  };
}

// SVG gives up on coordinates with many digits; what is that far away is outside in any case.
function bounded(pixel) {
  return Math.min(Math.max(pixel, -5000), 5000);
}

function within(value, [low, high]) {
  return Math.min(Math.max(value, low), high);
}

function pool(parent, kind) {
  return Array.from({ length: TICKS }, () => {
    const line = svg("line", { class: "dt-grid" });
    const text = svg("text", { class: `dt-tick-text ${kind}` }, "");
    parent.append(line, text);
    return { line, text };
  });
}

function lay(ticks, values, position, tickText) {
  ticks.forEach(({ line, text }, i) => {
    const shown = i < values.length;
    put(line, { visibility: shown ? "visible" : "hidden" });
    put(text, { visibility: shown ? "visible" : "hidden" });
    if (!shown) return;
    position(values[i], line, text);
    say(text, tickText(values[i]));
  });
}

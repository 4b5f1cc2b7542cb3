// Drawing: charts with two axes, bars, legends. All nodes are created once; later, only ranges, widths and texts change.

import { brief, html, setAttributes, setText, svg, uniqueId, within } from "./dom.js";

const TICKS = 9;
const LEFT = 46;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 40;
const DOT = 8; // how far inside the axes a dot is that stands for a point outside

// A chart with two axes.
//   x, y          the ends of the axes, data
//   marks, over   parents of the marks that are clipped at the axes, and of those that are not
//   px, py        from data to pixels; `valueAt` is the inverse for a pointer event
export function chart({ label, xLabel, yLabel, height: atFirst = 240, x, y, left = LEFT, tickText = brief }) {
  let [width, height] = [400, atFirst];
  let ranges = { x, y };
  const clip = uniqueId("clip");
  const clipRect = svg("rect");
  const axes = svg("g", { class: "dt-axes" });
  const marks = svg("g", { "clip-path": `url(#${clip})` });
  const over = svg("g");
  const xTicks = makeTicks(axes, "dt-x");
  const yTicks = makeTicks(axes, "dt-y");
  const xName = svg("text", { class: "dt-name", "text-anchor": "end" }, xLabel);
  const yName = svg("text", { class: "dt-name", x: left, y: TOP - 1 }, yLabel);
  const note = svg("text", { class: "dt-name", "text-anchor": "end", y: TOP - 1 }, "○ off the chart");
  const outside = new Set();
  const node = svg("svg", { class: "dt-chart", role: "img", "aria-label": label },
                   svg("defs", {}, svg("clipPath", { id: clip }, clipRect)), axes, marks, over, xName, yName, note);
  const top = TOP + 10;
  let bottom = height - BOTTOM;

  const px = (value) => left + ((value - ranges.x[0]) / (ranges.x[1] - ranges.x[0])) * (width - left - RIGHT);
  const py = (value) => bottom - ((value - ranges.y[0]) / (ranges.y[1] - ranges.y[0])) * (bottom - top);

  function layout() {
    setAttributes(node, { width, height: height + 8, viewBox: `0 0 ${width} ${height + 8}` });
    setAttributes(clipRect, { x: left, y: top - 4, width: Math.max(width - left - RIGHT, 1), height: bottom - top + 8 });
    setAttributes(xName, { x: width - RIGHT, y: height - 2 });
    setAttributes(note, { x: width - RIGHT });
    const count = width < 360 ? 4 : 6;
    placeTicks(xTicks, ticksOf(ranges.x, count), (tick, line, text) => {
      setAttributes(line, { x1: px(tick), x2: px(tick), y1: top, y2: bottom });
      setAttributes(text, { x: px(tick), y: bottom + 17, "text-anchor": "middle" });
    }, tickText);
    placeTicks(yTicks, ticksOf(ranges.y, 4), (tick, line, text) => {
      setAttributes(line, { x1: left, x2: width - RIGHT, y1: py(tick), y2: py(tick) });
      setAttributes(text, { x: left - 7, y: py(tick) + 4, "text-anchor": "end" });
    }, tickText);
  }

  layout();
  return {
    node, marks, over, px, py,
    // The area inside the axes, pixels.
    area: () => ({ left, right: width - RIGHT, top, bottom }),
    resize(to) {
      width = to;
      layout();
    },
    // Both axes with the same scale, if they have the same range.
    resizeSquare(to) {
      [width, height] = [to, to - left - RIGHT + top + BOTTOM];
      bottom = height - BOTTOM;
      layout();
    },
    valueAt({ clientX, clientY }) {
      const box = node.getBoundingClientRect();
      const [a, b] = [(clientX - box.left) * (width / box.width), (clientY - box.top) * (width / box.width)];
      return [ranges.x[0] + ((a - left) / (width - left - RIGHT)) * (ranges.x[1] - ranges.x[0]),
              ranges.y[0] + ((bottom - b) / (bottom - top)) * (ranges.y[1] - ranges.y[0])];
    },
    setRange(to) {
      ranges = { ...ranges, ...to };
      layout();
    },
    // The path through points, as the attribute `d`.
    path: (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(2)} ${bounded(py(b)).toFixed(2)}`).join(""),
    // Put a dot at a point, and return where it is. Outside the axes it becomes an open circle at their edge.
    place(dot, [a, b]) {
      const off = within(a, ranges.x) !== a || within(b, ranges.y) !== b;
      const at = [px(a), py(b)];
      const [cx, cy] = off ? [within(at[0], [left + DOT, width - RIGHT - DOT]), within(at[1], [top + DOT, bottom - DOT])] : at;
      setAttributes(dot, { cx, cy });
      dot.classList.toggle("dt-off-chart", off);
      outside[off ? "add" : "delete"](dot);
      setAttributes(note, { visibility: outside.size ? "visible" : "hidden" });
      return [cx, cy];
    },
  };
}

// SVG cannot draw coordinates with many digits; a point this far away is outside the chart in any case.
function bounded(pixel) {
  return Math.min(Math.max(pixel, -5000), 5000);
}

// The largest number of ticks that can be shown, created once.
function makeTicks(parent, kind) {
  return Array.from({ length: TICKS }, () => {
    const line = svg("line", { class: "dt-grid" });
    const text = svg("text", { class: `dt-tick-text ${kind}` }, "");
    parent.append(line, text);
    return { line, text };
  });
}

function placeTicks(ticks, values, position, tickText) {
  ticks.forEach(({ line, text }, i) => {
    const shown = i < values.length;
    setAttributes(line, { visibility: shown ? "visible" : "hidden" });
    setAttributes(text, { visibility: shown ? "visible" : "hidden" });
    if (!shown) return;
    position(values[i], line, text);
    setText(text, tickText(values[i]));
  });
}

// Bounds at round numbers, between which `low` and `high` lie.
export function roundRange(low, high, count = 5) {
  const step = roundStep((high - low || 1) / count);
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

function ticksOf([low, high], count) {
  const [start, end] = roundRange(low, high, count);
  const step = roundStep((end - start) / count);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(i * step);
  return ticks;
}

// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `least`.
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= least * 0.999);
}

// A horizontal bar with its number, as HTML: text wraps and keeps its size on any screen. `set` takes a share, 0 to 1.
export function bar(colour, label) {
  const fill = html("i", { class: `dt-bar-fill dt-back-${colour}` });
  const number = html("span", { class: "dt-bar-number" }, "");
  const node = html("div", { class: "dt-bar", title: label }, html("div", { class: "dt-bar-track" }, fill), number);
  return {
    node,
    set(share, text) {
      setWidth(fill, Math.min(Math.max(share, 0), 1));
      setText(number, text);
    },
  };
}

// The width of an element as a share of its parent's.
export function setWidth(element, share) {
  const width = `${(100 * share).toFixed(3)}%`;
  if (element.style.width !== width) element.style.width = width;
}

// An entry of a legend: the stroke and its meaning.
export function legendEntry(kind, text) {
  return html("span", { class: "dt-entry" }, html("i", { class: `dt-key dt-key-${kind}` }), text);
}

// Call `resize(width)` at once, and whenever the element's width changes.
export function onResize(element, resize) {
  let last = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== last) resize((last = width));
  });
  observer.observe(element);
  const width = Math.round(element.clientWidth);
  if (width > 0) resize((last = width));
  return () => observer.disconnect();
}

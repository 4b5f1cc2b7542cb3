// The plane itself: lines of equal loss with their shading, the names of the quadrants, the point and the pull on it.

import { lossAt, marginsAtLoss } from "./dpo.js";
import { html, setAttributes, setText, svg, uniqueId } from "./dom.js";
import { chart, legendEntry } from "./chart.js";

// Losses that may get a line, in order of preference; "margin 0" always has one.
const LEVELS = [1, 0.5, 2, 0.2, 0.1, 5, 0.3, 3, 1.5, 0.8, 0.6, 10, 0.05, 0.4, 4, 20, 0.01, 0.9, 7, 30, 15, 0.7, 0.68, 0.02, 50, 100,
                0.72, 0.66, 200, 0.71, 0.67, 0.001];
const LINES = 16;
const APART = 26; // least distance of two lines, pixels
const FROM_EDGE = 24; // the least distance of a number from the end of its line, pixels
const STOPS = 40;
const DARKEST = 0.15; // opacity; more would take contrast from the text on it
const LONGEST = 0.34; // of the side of the plane: the arrow for a weight of β
const LINE_HEIGHT = 15;
const HALVES = 150; // width of a quadrant in which both halves get a name, pixels
const TWO_LINES = 96; // width of a quadrant whose name fits into two lines

export function makePlane([low, high]) {
  const picture = chart({ label: "plane of the two log-ratios with lines of equal loss", height: 400, x: [low, high], y: [low, high],
                          xLabel: "x: log-ratio of the chosen response", yLabel: "y: log-ratio of the rejected response" });
  const shade = makeShading(picture);
  const zero = ["x", "y"].map(() => svg("line", { class: "dt-zero" }));
  const diagonal = svg("line", { class: "dt-diagonal" });
  const best = svg("line", { class: "dt-dashed" });
  const lines = Array.from({ length: LINES }, () => ({ line: svg("line", { class: "dt-contour" }), text: label("") }));
  const names = makeNames();
  const diagonalText = label("margin 0: loss ln 2");
  const tip = uniqueId("tip");
  const arrow = svg("line", { class: "dt-pull", "marker-end": `url(#${tip})` });
  const dot = svg("circle", { r: 7, class: "dt-dot" });
  const cloud = svg("g");
  picture.marks.append(shade.rect, ...zero, ...lines.map(({ line }) => line), diagonal, best);
  picture.over.append(svg("defs", {}, svg("marker", { id: tip, viewBox: "0 0 8 8", refX: 5, refY: 4, markerWidth: 4.5, markerHeight: 4.5,
                                                      orient: "auto" }, svg("path", { d: "M0 0L8 4L0 8z", class: "dt-pull-tip" }))),
                      ...names.texts, ...lines.map(({ text }) => text), diagonalText, cloud, arrow, dot);
  const bestEntry = html("span", {}, "");
  const bestKey = legendEntry("dashed", bestEntry);
  const legend = html("p", { class: "dt-legend" }, legendEntry("ink dt-key-dot", "the pair (drag it)"),
                      legendEntry("contour", "equal loss, nats"), legendEntry("pull", "pull of one step"), bestKey);

  // The ends of the line with a difference d, or null outside the plane.
  const endsAt = (d) => (Math.abs(d) >= high - low ? null
    : d > 0 ? [[low + d, low], [high, high - d]] : [[low, low - d], [high + d, high]]);
  const join = (line, ends) => {
    setAttributes(line, { visibility: ends ? "visible" : "hidden" });
    if (ends) setAttributes(line, { x1: picture.px(ends[0][0]), y1: picture.py(ends[0][1]), x2: picture.px(ends[1][0]), y2: picture.py(ends[1][1]) });
  };
  const side = () => picture.area().right - picture.area().left;

  // Levels whose lines are far enough from each other, by preference.
  function choose(beta, smoothing) {
    const least = (APART * Math.SQRT2 * (high - low)) / side();
    const taken = [0];
    const found = [];
    for (const loss of LEVELS) {
      for (const margin of marginsAtLoss(loss, smoothing) ?? []) {
        const d = margin / beta;
        if (Math.abs(d) > high - low - 1.2 * least || found.length === LINES || taken.some((one) => Math.abs(one - d) < least)) continue;
        taken.push(d);
        found.push({ loss, d });
      }
    }
    return found;
  }

  function drawLines({ beta, smoothing }) {
    const found = choose(beta, smoothing);
    lines.forEach(({ line, text }, i) => {
      const level = found[i];
      const ends = level ? endsAt(level.d) : null;
      join(line, ends);
      const spot = ends && names.freeSpot(picture.px(ends[1][0]), picture.py(ends[1][1]), picture.px(ends[0][0]));
      setAttributes(text, { visibility: spot ? "visible" : "hidden" });
      if (!spot) return;
      setText(text, String(level.loss));
      setAttributes(text, { transform: `translate(${spot[0].toFixed(1)} ${spot[1].toFixed(1)}) rotate(-45)` });
    });
  }

  return {
    legend, cloud, picture, isFree: names.isFree,
    frame: html("div", { class: "dt-plane-frame" }, picture.node),
    valueAt: picture.valueAt,
    fit(width) {
      picture.resizeSquare(width);
      const { left, right, top, bottom } = picture.area();
      shade.fit(picture.area());
      setAttributes(zero[0], { x1: picture.px(0), x2: picture.px(0), y1: top, y2: bottom });
      setAttributes(zero[1], { x1: left, x2: right, y1: picture.py(0), y2: picture.py(0) });
      join(diagonal, endsAt(0));
      const middle = right - picture.px(0) > 120 ? high / 2 : low * 0.62; // where the text above the diagonal has enough space
      setAttributes(diagonalText, { transform: `translate(${picture.px(middle)} ${picture.py(middle)}) rotate(-45) translate(0 -9)` });
      names.fit(picture.area(), picture.px(0), picture.py(0));
    },
    // Returns where the point is, in pixels.
    draw(state, { gradientWeight, bestDifference, quadrant }) {
      const { chosen, rejected, beta, smoothing } = state;
      shade.draw((share) => lossAt(beta * (2 * share - 1) * (high - low), smoothing));
      drawLines(state);
      const ends = smoothing > 0 ? endsAt(bestDifference) : null;
      join(best, ends);
      setAttributes(bestKey, { hidden: smoothing > 0 ? null : "" });
      setText(bestEntry, ends ? "lowest loss" : "lowest loss: off the chart");
      names.mark(quadrant);
      const [x, y] = picture.place(dot, [chosen, rejected]);
      const reach = (LONGEST * side() * gradientWeight) / beta;
      setAttributes(arrow, { x1: x, y1: y, x2: x + reach, y2: y + reach, visibility: Math.abs(reach) > 3 ? "visible" : "hidden" });
      return [x, y];
    },
  };
}

function label(text, attributes = {}) {
  return svg("text", { class: "dt-halo", "text-anchor": "middle", dy: "0.32em", ...attributes }, text);
}

// Light shading from high loss to low, with nothing at ln 2: a gradient across the lines of equal loss.
function makeShading() {
  const id = uniqueId("shade");
  const stops = Array.from({ length: STOPS + 1 }, (_, i) => svg("stop", { offset: i / STOPS }));
  const rect = svg("rect", { fill: `url(#${id})` });
  const gradient = svg("linearGradient", { id, x1: 0, y1: 0, x2: 1, y2: 1 }, ...stops);
  return {
    rect: svg("g", {}, gradient, rect),
    fit: ({ left, right, top, bottom }) => setAttributes(rect, { x: left, y: top, width: right - left, height: bottom - top }),
    draw(lossOf) {
      stops.forEach((stop, i) => {
        const loss = lossOf(i / STOPS);
        const share = loss > Math.LN2 ? 1 - Math.exp(Math.LN2 - loss) : 1 - loss / Math.LN2;
        const colour = loss > Math.LN2 ? "rejected" : "chosen";
        setAttributes(stop, { style: `stop-color:var(--dt-${colour});stop-opacity:${(DARKEST * share).toFixed(3)}` });
      });
    },
  };
}

// The names of the quadrants: those that the diagonal cuts have one in each half, if there is space.
const NAMES = [
  { x: "left", y: "top", lines: ["chosen down,", "rejected up"], narrow: ["chosen", "down,", "rejected", "up"] },
  { x: "right", y: "bottom", lines: ["chosen up,", "rejected down"], narrow: ["chosen up,", "rejected", "down"] },
  { x: "after", y: "top", lines: ["both rose,", "rejected more"], narrow: ["both rose"] },
  { x: "right", y: "above", lines: ["both rose,", "chosen more"], narrow: [] },
  { x: "left", y: "below", lines: ["both fell,", "chosen more"], narrow: ["both fell"] },
  { x: "before", y: "bottom", lines: ["both fell,", "rejected more"], narrow: [] },
];
const MOST_LINES = 4;

export function makeNames() {
  const all = NAMES.map((name) => ({
    ...name, half: name.lines[0].startsWith("both"), box: null, wide: true,
    nodes: Array.from({ length: MOST_LINES }, () => svg("text", { class: "dt-halo dt-name" }, "")),
  }));
  const isFree = ([a, b]) => all.every(({ box }) =>
    !box || a < box.left - 16 || a > box.right + 16 || b < box.top - 14 || b > box.bottom + 14);
  return {
    isFree,
    texts: all.flatMap(({ nodes }) => nodes),
    fit({ left, right, top, bottom }, x0, y0) {
      const widths = { left: x0 - left, before: x0 - left, right: right - x0, after: right - x0 };
      for (const name of all) {
        name.wide = widths[name.x] >= (name.half ? HALVES : TWO_LINES);
        const lines = name.wide ? name.lines : name.narrow;
        const x = { left: left + 8, right: right - 8, after: x0 + 8, before: x0 - 8 }[name.x];
        const height = LINE_HEIGHT * lines.length;
        const start = { top: top + 4, bottom: bottom - 5 - height, above: y0 - 5 - height, below: y0 + 4 }[name.y];
        const end = name.x === "right" || name.x === "before";
        name.nodes.forEach((node, i) => {
          setText(node, lines[i] ?? "");
          setAttributes(node, { x, y: start + LINE_HEIGHT * (i + 0.8), "text-anchor": end ? "end" : "start" });
        });
        const width = 6.6 * Math.max(0, ...lines.map((line) => line.length));
        name.box = lines.length ? { left: end ? x - width : x, right: end ? x : x + width, top: start, bottom: start + height } : null;
      }
    },
    // Emphasise the name of a quadrant.
    mark(quadrant) {
      for (const { lines, narrow, wide, nodes, half } of all) {
        const here = wide || !half ? quadrant === lines.join(" ") : narrow.length > 0 && quadrant.startsWith(narrow[0]);
        nodes.forEach((node) => node.classList.toggle("dt-here", here));
      }
    },
    // A place on a line that ends at (x, y), coming from the lower left at `least`, that is on no name; undefined if there is none.
    freeSpot(x, y, least) {
      const count = Math.floor(((x - least) * Math.SQRT2 - 2 * FROM_EDGE) / 12);
      const spots = Array.from({ length: Math.max(count, 0) + 1 }, (_, i) => (FROM_EDGE + 12 * i) / Math.SQRT2);
      return spots.filter((far) => x - far > least + 12).map((far) => [x - far, y + far]).find(isFree);
    },
  };
}

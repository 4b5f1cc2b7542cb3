// One pair: four log-probabilities and beta, and everything that follows from them, drawn as a flow.

import { expectedLoss, logSigmoid, readPair } from "./dpo.js";
import { brief, html, plain, presetMenu, setAttributes, setText, signed, slider, svg, throttled, uniqueId,
         watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { chart, legendEntry, onResize } from "./chart.js";

const LOGPS = ["policy_chosen", "reference_chosen", "policy_rejected", "reference_rejected"];
const SPAN = 20;
const TALLEST = 3;

export function lossExplorer({ model: traits, el }) {
  const model = throttled(traits);
  const title = "One pair, from four log-probabilities to the gradient weight";
  const { root, body, setHeadline, announce, close } = frame(el, title, model);
  const controls = makeControls(model);
  const flow = makeFlow();
  const curve = makeCurve();
  const roles = makeRoles();
  const sources = html("div", { class: "dt-sources" }, ...LOGPS.map((name) => controls[name].node));
  body.append(
    html("div", { class: "dt-controls" }, controls.preset.node, controls.beta.node, controls.agreement.node),
    html("div", { class: "dt-flow" }, sources, flow.node),
    html("div", { class: "dt-two" }, curve.node, roles.node),
  );

  const draw = () => {
    const state = stateOf(model);
    const numbers = readPair(state);
    setHeadline(headline(numbers));
    flow.draw(state, numbers);
    curve.draw(state, numbers);
    roles.draw(state, numbers);
    announce(inWords(state, numbers));
  };
  const rescale = () => {
    const [low, high] = scaleOf(LOGPS.map((name) => model.get(name)));
    LOGPS.forEach((name) => controls[name].setEnds(low, high));
  };
  const drag = trackDrag(root, rescale);
  const stops = [
    watch(model, [...LOGPS, "beta", "agreement"], draw),
    watch(model, LOGPS, () => drag.active || rescale()),
    onResize(flow.node, (width) => { flow.fit(width, isLeftOf(sources, flow.node)); draw(); }),
    onResize(curve.node, (width) => { curve.fit(width); draw(); }),
  ];
  rescale();
  return () => {
    stops.forEach((stop) => stop());
    Object.values(controls).forEach((control) => control.stop());
    drag.stop();
    close();
  };
}

// On a wide page the sliders are left of the flow, and its arrows start at their thumbs; otherwise they are above it.
function isLeftOf(one, other) {
  return one.getBoundingClientRect().right <= other.getBoundingClientRect().left + 1;
}

function stateOf(model) {
  return {
    policyChosen: model.get("policy_chosen"),
    policyRejected: model.get("policy_rejected"),
    referenceChosen: model.get("reference_chosen"),
    referenceRejected: model.get("reference_rejected"),
    beta: model.get("beta"),
    agreement: model.get("agreement"),
  };
}

function makeControls(model) {
  const controls = {
    preset: presetMenu(model, { name: "preset", label: "preset pair", presets: model.get("presets") }),
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 1, least: 0.001, most: 10, log: true }),
    agreement: slider(model, { name: "agreement", label: "annotators who agree, p", low: 0.5, high: 0.99, step: 0.01,
                               show: (value) => plain(value, 2) }),
  };
  for (const name of LOGPS) {
    const [who, response] = name.split("_");
    controls[name] = slider(model, { name, label: `${who}, log P(${response})`, low: -60, high: -40, least: -2000, most: 0,
                                     unit: "nats", show: (value) => plain(value, 1) });
    controls[name].node.classList.add(who === "policy" ? `dt-${response}` : "dt-reference");
  }
  return controls;
}

// One scale for the four sliders, so that their thumbs can be compared; wider if a value needs it.
function scaleOf(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least >= -60 && most <= -40) return [-60, -40];
  const span = [20, 50, 100, 200, 500, 1000, 2000].find((one) => most - least <= 0.7 * one) ?? 2000;
  const middle = Math.round((least + most) / 20) * 10;
  const high = Math.min(middle + span / 2, 0);
  return [Math.max(high - span, -2000), Math.max(high, -2000 + span)];
}

function headline({ margin, chosenLogRatio, rejectedLogRatio }) {
  if (margin === 0 && chosenLogRatio !== 0) return "Both moved by the same amount, so the difference is 0: the loss is ln 2.";
  if (margin === 0) return "The policy has not moved: the loss is ln 2, and the gradient is not zero.";
  if (margin < 0) return "The policy has moved towards the rejected response: a steep loss.";
  if (chosenLogRatio < 0 && rejectedLogRatio < 0) {
    return "Both became less likely, the rejected one more so: the loss is below ln 2.";
  }
  return "The policy has moved towards the chosen response.";
}

function inWords({ beta, agreement }, r) {
  return (
    `Log-ratios: chosen ${signed(r.chosenLogRatio)}, rejected ${signed(r.rejectedLogRatio)}. Difference ` +
    `${signed(r.difference)}, times β ${brief(beta)} gives margin ${signed(r.margin, 3)}. Probability of the choice ` +
    `${plain(r.probability, 4)}, loss ${plain(r.loss, 4)}, gradient weight ${plain(r.gradientWeight, 4)}. With ` +
    `${brief(100 * agreement)} % agreement the best difference is ${plain(r.bestDifference)} nats.`
  );
}

// The flow

const BOXES = {
  chosen: { name: "log-ratio, chosen", colour: "chosen", value: (r) => signed(r.chosenLogRatio) },
  rejected: { name: "log-ratio, rejected", colour: "rejected", value: (r) => signed(r.rejectedLogRatio) },
  difference: { name: "difference", colour: "ink", value: (r) => signed(r.difference) },
  margin: { name: "margin", colour: "ink", value: (r) => signed(r.margin, 3) },
  probability: { name: "P(choice)", colour: "policy", value: (r) => plain(r.probability, 4) },
  loss: { name: "loss", colour: "policy", value: (r) => plain(r.loss, 4) },
  weight: { name: "gradient weight", colour: "policy", value: (r) => plain(r.gradientWeight, 4) },
};

// From, to, the operation, and the number that is passed on; the number of a source is shown next to its slider.
const ARROWS = [
  ["policyChosen", "chosen", "+", () => ""],
  ["referenceChosen", "chosen", "−", () => ""],
  ["policyRejected", "rejected", "+", () => ""],
  ["referenceRejected", "rejected", "−", () => ""],
  ["chosen", "difference", "+", (s, r) => signed(r.chosenLogRatio)],
  ["rejected", "difference", "−", (s, r) => signed(r.rejectedLogRatio)],
  ["difference", "margin", "× β", (s) => brief(s.beta)],
  ["margin", "probability", "σ", (s, r) => signed(r.margin, 2)],
  ["probability", "loss", "−log", (s, r) => plain(r.probability, 3)],
  ["probability", "weight", "β ×", (s, r) => plain(1 - r.probability, 3)],
];

const BOX_WIDTH = 92;
const BOX_HEIGHT = 32;
const ROW = 68; // as tall as a slider of the sources
const THUMB = 43; // how far below its top a slider's thumb is

function makeFlow() {
  const tip = uniqueId("tip");
  const head = svg("marker", { id: tip, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
                   svg("path", { d: "M0 0L8 4L0 8z", class: "dt-head" }));
  const node = svg("svg", { class: "dt-graph", role: "img", "aria-label": "the flow of the numbers" }, svg("defs", {}, head));
  const arrows = ARROWS.map(([from, to, operation, number]) => {
    const line = svg("path", { class: "dt-arrow", "marker-end": `url(#${tip})` });
    const sign = svg("text", { class: "dt-operation" }, operation);
    const value = svg("text", { class: "dt-small-value", "data-arrow": `${from}-${to}` }, "");
    node.append(line, sign, value);
    return { from, to, line, sign, value, number };
  });
  const boxes = Object.fromEntries(Object.entries(BOXES).map(([key, { name, colour, value }]) => {
    const edge = svg("rect", { width: BOX_WIDTH, height: BOX_HEIGHT, rx: 7, class: `dt-node dt-stroke-${colour}` });
    const text = svg("text", { "text-anchor": "middle", class: "dt-name" }, name);
    const number = svg("text", { "text-anchor": "middle", class: "dt-value", "data-value": key }, "");
    node.append(edge, text, number);
    return [key, { edge, text, number, value }];
  }));

  return {
    node: html("div", { class: "dt-graph-frame" }, node),
    fit(width, wide) {
      const { places, height } = wide ? wideLayout(width) : tallLayout(width);
      setAttributes(node, { width, height, viewBox: `0 0 ${width} ${height}` });
      Object.entries(boxes).forEach(([key, box]) => placeBox(box, places[key]));
      arrows.forEach((arrow) => (wide ? drawAcross : drawDown)(arrow, places[arrow.from], places[arrow.to]));
    },
    draw(state, numbers) {
      Object.values(boxes).forEach((box) => setText(box.number, box.value(numbers)));
      arrows.forEach((arrow) => setText(arrow.value, arrow.number(state, numbers)));
    },
  };
}

function placeBox({ edge, text, number }, [x, y]) {
  setAttributes(edge, { x: x - BOX_WIDTH / 2, y: y - BOX_HEIGHT / 2 });
  setAttributes(text, { x, y: y - BOX_HEIGHT / 2 - 6 });
  setAttributes(number, { x, y: y + 6 });
}

// Left to right: the four arrows of the sources start where their thumbs are.
function wideLayout(width) {
  const gap = (width - 5 * BOX_WIDTH - 4) / 5;
  const column = (i) => gap + BOX_WIDTH / 2 + i * (BOX_WIDTH + gap);
  const source = (i) => [-BOX_WIDTH / 2, i * ROW + THUMB];
  const places = {
    policyChosen: source(0), referenceChosen: source(1), policyRejected: source(2), referenceRejected: source(3),
    chosen: [column(0), 0.5 * ROW + THUMB], rejected: [column(0), 2.5 * ROW + THUMB],
    difference: [column(1), 1.5 * ROW + THUMB], margin: [column(2), 1.5 * ROW + THUMB],
    probability: [column(3), 1.5 * ROW + THUMB], loss: [column(4), 0.6 * ROW + THUMB], weight: [column(4), 2.4 * ROW + THUMB],
  };
  return { places, height: 4 * ROW };
}

// Top to bottom, for a narrow screen.
function tallLayout(width) {
  const [left, middle, right] = [0.25 * width, 0.5 * width, 0.75 * width];
  const places = {
    policyChosen: [left - 40, -4], referenceChosen: [left + 40, -4],
    policyRejected: [right - 40, -4], referenceRejected: [right + 40, -4],
    chosen: [left, 72], rejected: [right, 72], difference: [middle, 166], margin: [middle, 250],
    probability: [middle, 334], loss: [left, 428], weight: [right, 428],
  };
  return { places, height: 450 };
}

function drawAcross({ from, line, sign, value }, [x0, y0], [x1, y1]) {
  const [start, end] = [x0 + BOX_WIDTH / 2 + 2, x1 - BOX_WIDTH / 2 - 3];
  const middle = (start + end) / 2;
  const up = y1 < y0;
  if (y0 === y1) {
    setAttributes(line, { d: `M${start} ${y0}H${end}` });
    setAttributes(sign, { x: middle, y: y0 - 7, "text-anchor": "middle" });
    const below = end - start < 64 ? BOX_HEIGHT / 2 + 14 : 17; // a number as wide as the gap goes below the boxes
    setAttributes(value, { x: middle, y: y0 + below, "text-anchor": "middle" });
    return;
  }
  const forks = from === "probability";
  const y = forks ? y1 : y1 + (up ? 8 : -8); // two arrows into one box end at different points
  setAttributes(line, { d: `M${start} ${y0}C${middle} ${y0} ${middle} ${y} ${end} ${y}` });
  if (forks) {
    setAttributes(sign, { x: end - 42, y: up ? y - 8 : y + 17, "text-anchor": "end" });
    setAttributes(value, { x: end - 38, y: up ? y - 8 : y + 17, "text-anchor": "start" });
  } else {
    const early = x0 < 0; // the sign is at the start of a source's arrow: at its end is the name of the box
    setAttributes(sign, early ? { x: start + 2, y: up ? y0 + 16 : y0 - 6, "text-anchor": "start" }
                    : { x: end, y: up ? y + 18 : y - 9, "text-anchor": "end" });
    setAttributes(value, { x: start + 3, y: up ? y0 + 17 : y0 - 8, "text-anchor": "start" });
  }
}

function drawDown({ from, line, sign, value }, [x0, y0], [x1, y1]) {
  const [start, end] = [Math.max(y0 + BOX_HEIGHT / 2 + 2, 2), y1 - BOX_HEIGHT / 2 - 22];
  const middle = (start + end) / 2;
  if (x0 === x1) {
    setAttributes(line, { d: `M${x0} ${start}V${end}` });
    setAttributes(sign, { x: x0 + 10, y: middle + 4, "text-anchor": "start" });
    setAttributes(value, { x: x0 + 42, y: middle + 4, "text-anchor": "start" });
    return;
  }
  const forks = from === "probability";
  const x = forks ? x1 : x1 + (x0 < x1 ? -10 : 10); // two arrows into one box end at different points
  setAttributes(line, { d: `M${x0} ${start}C${x0} ${middle} ${x} ${middle} ${x} ${end}` });
  const onLeft = forks ? x1 < x0 : x0 < x1;
  const anchor = { y: forks ? middle - 2 : middle + 16, "text-anchor": onLeft ? "end" : "start" };
  const beside = forks ? x1 : (x0 + x) / 2 - (onLeft ? 10 : -10);
  setAttributes(sign, { x: beside + (onLeft && forks ? -40 : 0), ...anchor });
  setAttributes(value, { x: beside + (onLeft ? (forks ? 0 : -16) : forks ? 26 : 16), ...anchor });
}

// The loss as a curve

function makeCurve() {
  const picture = chart({ label: "the loss against the difference of the log-ratios", height: 230, x: [-SPAN, SPAN],
                          y: [0, TALLEST], xLabel: "difference of the log-ratios, nats", yLabel: "loss, nats" });
  const pair = svg("path", { class: "dt-line dt-stroke-policy" });
  const mean = svg("path", { class: "dt-line dt-dashed" });
  const best = svg("path", { class: "dt-least" });
  const dot = svg("circle", { r: 6, class: "dt-dot" });
  picture.marks.append(mean, pair);
  picture.over.append(best, dot);
  const average = html("span", {}, "");
  const legend = html("p", { class: "dt-legend" }, legendEntry("policy", "this pair"), legendEntry("dashed", average));
  const node = html("div", { class: "dt-plot" }, html("h4", {}, "Loss of this pair, and average over annotators"),
                    legend, picture.node);
  const differences = Array.from({ length: 161 }, (_, i) => -SPAN + (i * SPAN) / 80);
  return {
    node,
    fit: picture.resize,
    draw({ beta, agreement }, { difference, loss, bestDifference }) {
      setAttributes(pair, { d: picture.path(differences.map((d) => [d, -logSigmoid(beta * d)])) });
      setAttributes(mean, { d: picture.path(differences.map((d) => [d, expectedLoss(d, beta, agreement)])) });
      const [x, y] = picture.clamp([difference, loss]);
      const off = x !== difference || y !== loss;
      setAttributes(dot, { cx: picture.px(x), cy: picture.py(y), class: off ? "dt-dot dt-off-chart" : "dt-dot" });
      const shown = bestDifference <= SPAN;
      const [bx, by] = [picture.px(Math.min(bestDifference, SPAN)), picture.py(expectedLoss(bestDifference, beta, agreement))];
      setAttributes(best, { d: `M${bx - 6} ${by - 12}h12l-6 10z`, visibility: shown ? "visible" : "hidden" });
      setText(average, `average if ${percentOf(agreement)} agree; ▼ lowest point`);
    },
  };
}

function percentOf(agreement) {
  return `${Math.round(100 * agreement)} in 100`;
}

function makeRoles() {
  const here = html("p", {}, "");
  const far = html("p", {}, "");
  const node = html("div", { class: "dt-words" }, html("h4", {}, "β does two things"),
                    html("ol", {}, html("li", {}, html("b", {}, "It steepens this pair's loss."), here),
                         html("li", {}, html("b", {}, "It sets how far the optimum moves."), far)));
  return {
    node,
    draw({ beta, agreement }, { gradientWeight, bestDifference }) {
      setText(here, `The slope at the dot is −${plain(gradientWeight, 4)}, at most β\u00a0=\u00a0${brief(beta)} in size.`);
      setText(far, `If ${percentOf(agreement)} annotators agree, the average loss is lowest at log(p/(1−p))/β = ` +
        `${plain(bestDifference)} nats${bestDifference > SPAN ? ", beyond the chart" : ""}. Larger β: closer to the reference.`);
    },
  };
}

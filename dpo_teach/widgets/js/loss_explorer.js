// One pair: four log-probabilities and beta, and everything that follows from them, drawn as a flow.

import { expectedLoss, logSigmoid, moveApart, policyAt, readPair } from "./dpo.js";
import { assign, brief, html, plain, presetMenu, setAttributes, setText, signed, slider, svg, throttled, uniqueId,
         watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { chart, legendEntry, onResize } from "./chart.js";

const LOGPS = ["policy_chosen", "reference_chosen", "policy_rejected", "reference_rejected"];
const RESPONSES = ["chosen", "rejected"];
const SPANS = [20, 50, 100, 200, 500, 1000, 2000]; // widths of the sliders' scales, nats
const SPAN = 20;
const TALLEST = 3;

export function lossExplorer({ model: traits, el }) {
  const model = throttled(traits);
  const title = "One pair, from four log-probabilities (in nats) to the gradient weight";
  const { root, head, body, setHeadline, announce, close } = frame(el, title, model);
  const controls = makeControls(model);
  const readout = makeReadout();
  const flow = makeFlow();
  const curve = makeCurve(controls.difference.range);
  const roles = makeRoles();
  head.append(readout.node);
  body.append(
    html("div", { class: "dt-controls" }, controls.preset.node, controls.beta.node, controls.agreement.node),
    html("div", { class: "dt-two" },
         html("div", { class: "dt-pair" }, ...RESPONSES.map((response) => subtraction(response, controls)), flow.node),
         html("div", { class: "dt-body" }, curve.node, roles.node)),
  );

  const draw = () => {
    const state = stateOf(model);
    const numbers = readPair(state);
    setHeadline(headline(numbers));
    readout.draw(numbers);
    flow.draw(numbers);
    curve.draw(state, numbers);
    roles.draw(state, numbers);
    announce(inWords(state, numbers));
  };
  const rescale = () => {
    const [low, high] = scaleOf(LOGPS.map((name) => model.get(name)));
    LOGPS.forEach((name) => controls[name].setEnds(low, high));
    const { chosenLogRatio, rejectedLogRatio } = readPair(stateOf(model));
    const widest = SPANS.find((one) => Math.max(Math.abs(chosenLogRatio), Math.abs(rejectedLogRatio)) <= one);
    RESPONSES.forEach((response) => controls[`${response}_log_ratio`].setEnds(-widest, widest));
  };
  const drag = trackDrag(root, rescale);
  const stops = [
    watch(model, [...LOGPS, "beta", "agreement"], draw),
    watch(model, LOGPS, () => drag.active || rescale()),
    onResize(flow.node, (width) => flow.fit(width)),
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

// The controls

function makeControls(model) {
  const controls = {
    preset: presetMenu(model, { name: "preset", label: "preset pair", presets: model.get("presets") }),
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 1, least: 0.001, most: 10, log: true }),
    agreement: slider(model, { name: "agreement", label: "annotators who agree, p", low: 0.5, high: 1, step: 0.01,
                               show: (value) => plain(value, 2) }),
    difference: slider(model, { // the dot on the curve
      name: "difference", names: LOGPS, label: "difference of the log-ratios", low: -SPAN, high: SPAN, step: 0.2, unit: "nats",
      show: signed,
      get: () => readPair(stateOf(model)).difference,
      set: (value) => {
        const [chosen, rejected] = moveApart(value, stateOf(model)).map((logp) => Number(logp.toFixed(6)));
        assign(model, { policy_chosen: chosen, policy_rejected: rejected });
      },
    }),
  };
  for (const name of LOGPS) {
    const [who, response] = name.split("_");
    controls[name] = slider(model, { name, label: `${who}, log P(${response})`, text: who === "policy" ? who : `− ${who}`,
                                     low: -60, high: -40, least: -2000, most: 0, unit: "nats", show: (value) => plain(value, 1) });
    controls[name].node.classList.add(who === "policy" ? `dt-${response}` : "dt-reference");
  }
  for (const response of RESPONSES) {
    const [name, policy, reference] = ["log_ratio", "policy", "reference"].map((one) =>
      one === "log_ratio" ? `${response}_${one}` : `${one}_${response}`);
    controls[name] = slider(model, {
      name, names: [policy, reference], label: `log-ratio, ${response}`, text: "= log-ratio", low: -SPAN, high: SPAN,
      unit: "nats", show: signed,
      limits: () => [-2000 - model.get(reference), -model.get(reference)],
      get: () => model.get(policy) - model.get(reference),
      set: (value) => assign(model, { [policy]: policyAt(value, model.get(reference)) }), // the reference stays
    });
    controls[name].node.classList.add(`dt-${response}`, "dt-result");
    setAttributes(controls[name].box, { "data-value": response });
  }
  return controls;
}

// Policy minus reference, one above the other.
function subtraction(response, controls) {
  const names = [`policy_${response}`, `reference_${response}`, `${response}_log_ratio`];
  return html("div", { class: "dt-sources" }, html("h4", {}, `log P(${response})`),
              ...names.map((name) => controls[name].node));
}

// One scale for the four sliders, so that their thumbs can be compared; wider if a value needs it.
function scaleOf(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least >= -60 && most <= -40) return [-60, -40];
  const span = SPANS.find((one) => most - least <= 0.7 * one) ?? 2000;
  const middle = Math.round((least + most) / 20) * 10;
  const high = Math.min(middle + span / 2, 0);
  return [Math.max(high - span, -2000), Math.max(high, -2000 + span)];
}

// The sentences

function headline({ margin, chosenLogRatio, rejectedLogRatio }) {
  if (margin === 0 && chosenLogRatio !== 0) return "Both moved by the same amount: difference 0, loss ln 2.";
  if (margin === 0) return "The policy has not moved: loss ln 2, but the gradient is not zero.";
  if (margin < 0) return "Moved towards the rejected response: loss above ln 2.";
  if (chosenLogRatio < 0 && rejectedLogRatio < 0) {
    return "Both became less likely, the rejected one more so: loss below ln 2.";
  }
  return "Moved towards the chosen response: loss below ln 2.";
}

function inWords({ beta, agreement }, r) {
  return (
    `Log-ratios: chosen ${signed(r.chosenLogRatio)}, rejected ${signed(r.rejectedLogRatio)}. Difference ` +
    `${signed(r.difference)}, times β ${brief(beta)} gives margin ${signed(r.margin, 3)}. Probability of the choice ` +
    `${plain(r.probability, 4)}, loss ${plain(r.loss, 4)}, gradient weight ${plain(r.gradientWeight, 4)}. ` +
    (agreement < 1 ? `With ${brief(100 * agreement)} % agreement the best difference is ${plain(r.bestDifference)} nats.`
      : "If all annotators agree, no difference is the best one.")
  );
}

// The loss and the margin next to the headline, where they are visible while a slider is moved.
function makeReadout() {
  const cells = Object.fromEntries(["margin", "loss"].map((key) => [key, html("b", { "data-value": key }, "")]));
  return {
    node: html("p", { class: "dt-readout" }, ...Object.entries(cells).map(([key, cell]) => html("span", {}, `${key} `, cell))),
    draw(numbers) {
      for (const [key, cell] of Object.entries(cells)) setText(cell, BOXES[key].value(numbers));
    },
  };
}

// The flow

const BOXES = {
  difference: { name: "difference", colour: "ink", value: (r) => signed(r.difference) },
  margin: { name: "margin", colour: "ink", value: (r) => signed(r.margin, 3) },
  probability: { name: "P(choice)", colour: "policy", value: (r) => plain(r.probability, 4) },
  loss: { name: "loss", colour: "policy", value: (r) => plain(r.loss, 4) },
  weight: { name: "gradient weight", colour: "policy", value: (r) => plain(r.gradientWeight, 4) },
};

// From, to and the operation between them; `chosen` and `rejected` are the log-ratio controls above the flow.
const ARROWS = [
  ["chosen", "difference", "+"], ["rejected", "difference", "−"], ["difference", "margin", "× β"],
  ["margin", "probability", "σ"], ["probability", "loss", "−log"], ["probability", "weight", "β (1 − P)"],
];

const BOX_WIDTH = 106;
const BOX_HEIGHT = 42;
const FIRST = 20 + BOX_HEIGHT / 2; // the middle of the first box
const PITCH = 68;
const HEIGHT = FIRST + 3 * PITCH + BOX_HEIGHT / 2 + 2;
const BEND = 6;

function makeFlow() {
  const tip = uniqueId("tip");
  const tipShape = svg("marker", { id: tip, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
                       svg("path", { d: "M0 0L8 4L0 8z", class: "dt-tip" }));
  const node = svg("svg", { class: "dt-graph", role: "img", "aria-label": "the flow of the numbers", height: HEIGHT },
                   svg("defs", {}, tipShape));
  const arrows = ARROWS.map(([from, to, operation]) => {
    const line = svg("path", { class: "dt-arrow", "marker-end": `url(#${tip})` });
    const sign = svg("text", { class: "dt-operation" }, operation);
    node.append(line, sign);
    return { from, to, line, sign };
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
    fit(width) {
      const places = placesIn(width);
      setAttributes(node, { width, viewBox: `0 0 ${width} ${HEIGHT}` });
      Object.entries(boxes).forEach(([key, box]) => placeBox(box, places[key]));
      arrows.forEach((arrow) => drawArrow(arrow, places[arrow.from], places[arrow.to]));
    },
    draw(numbers) {
      Object.values(boxes).forEach((box) => setText(box.number, box.value(numbers)));
    },
  };
}

function placeBox({ edge, text, number }, [x, y]) {
  setAttributes(edge, { x: x - BOX_WIDTH / 2, y: y - BOX_HEIGHT / 2 });
  setAttributes(text, { x, y: y - 6 });
  setAttributes(number, { x, y: y + 13 });
}

// From top to bottom; the two arrows at the top start at the middles of the two columns.
function placesIn(width) {
  const [middle, aside] = [width / 2, Math.min(width / 4, 120)];
  return {
    chosen: [width / 4, 0], rejected: [0.75 * width, 0], difference: [middle, FIRST], margin: [middle, FIRST + PITCH],
    probability: [middle, FIRST + 2 * PITCH], loss: [middle - aside, FIRST + 3 * PITCH],
    weight: [middle + aside, FIRST + 3 * PITCH],
  };
}

// Straight down, or around one corner: down and into the side of a box, or out of its side and down.
function drawArrow({ to, line, sign }, [x0, y0], [x1, y1]) {
  const side = Math.sign(x1 - x0);
  const [start, end] = [y0 + BOX_HEIGHT / 2 + 1, y1 - BOX_HEIGHT / 2 - 2];
  if (side === 0) {
    setAttributes(line, { d: `M${x0} ${start}V${end}` });
    setAttributes(sign, { x: x0 + 10, y: (start + end) / 2 + 4, "text-anchor": "start" });
  } else if (to === "difference") {
    setAttributes(line, { d: `M${x0} 1V${y1 - BEND}q0 ${BEND} ${side * BEND} ${BEND}H${x1 - side * (BOX_WIDTH / 2 + 2)}` });
    setAttributes(sign, { x: x0 + side * 10, y: 18, "text-anchor": side > 0 ? "start" : "end" });
  } else {
    setAttributes(line, { d: `M${x0 + side * (BOX_WIDTH / 2 + 1)} ${y0}H${x1 - side * BEND}q${side * BEND} 0 ${side * BEND} ${BEND}V${end}` });
    setAttributes(sign, { x: x1 - side * 9, y: end - 6, "text-anchor": side > 0 ? "end" : "start" });
  }
}

// The loss as a curve, with a dot to drag: a transparent slider lies above the chart.

function makeCurve(range) {
  const picture = chart({ label: "the loss against the difference of the log-ratios", height: 230, x: [-SPAN, SPAN],
                          y: [0, TALLEST], xLabel: "difference of the log-ratios, nats", yLabel: "loss, nats" });
  const pair = svg("path", { class: "dt-line dt-stroke-policy" });
  const mean = svg("path", { class: "dt-line dt-dashed" });
  const best = svg("path", { class: "dt-least" });
  const dot = svg("circle", { r: 7, class: "dt-dot" });
  picture.marks.append(mean, pair);
  picture.over.append(best, dot);
  const average = html("span", {}, "");
  const legend = html("p", { class: "dt-legend" }, legendEntry("policy", "this pair (drag the dot)"), legendEntry("dashed", average));
  const node = html("div", { class: "dt-plot" }, html("h4", {}, "Loss of this pair, and average over annotators"),
                    legend, html("div", { class: "dt-draggable" }, range, picture.node));
  const differences = Array.from({ length: 161 }, (_, i) => -SPAN + (i * SPAN) / 80);
  return {
    node,
    fit: picture.resize,
    draw({ beta, agreement }, { difference, loss, bestDifference }) {
      setAttributes(pair, { d: picture.path(differences.map((d) => [d, -logSigmoid(beta * d)])) });
      setAttributes(mean, { d: picture.path(differences.map((d) => [d, expectedLoss(d, beta, agreement)])) });
      picture.place(dot, [difference, loss]);
      const at = Math.min(bestDifference, SPAN);
      const tip = `${picture.px(at)} ${picture.py(expectedLoss(at, beta, agreement))}`;
      setAttributes(best, { d: at < SPAN ? `M${tip}m-6 -12h12l-6 10z` : `M${tip}m-12 -16v12l10 -6z` });
      setText(average, `average if ${percentOf(agreement)} agree; ${
        at < SPAN ? "▼ lowest point" : agreement < 1 ? "▶ lowest point, further right" : "▶ no lowest point"}`);
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
      setText(here, `The slope at the dot is −${plain(gradientWeight, 4)}; it is never steeper than −β\u00a0=\u00a0−${brief(beta)}.`);
      setText(far, agreement < 1
        ? `If ${percentOf(agreement)} annotators agree, the average loss is lowest at a difference of log(p/(1−p))/β = ` +
          `${plain(bestDifference)} nats. Larger β: closer to the reference.`
        : "If all annotators agree, the average loss has no lowest point: it falls for ever, whatever β is.");
    },
  };
}

// The plane of the two log-ratios: one pair as a point to drag, and the pairs of a recorded run as a cloud.

import { readPoint } from "./dpo.js";
import { brief, html, plain, presetMenu, setText, signed, slider, throttled, watch } from "./dom.js";
import { frame } from "./frame.js";
import { onResize, roundRange } from "./chart.js";
import { makeHandle } from "./plane_handle.js";
import { makePlane } from "./plane_chart.js";
import { makeCloud, makePlayer, recordOf } from "./pair_cloud.js";

const SETTINGS = ["chosen_log_ratio", "rejected_log_ratio", "beta", "label_smoothing"];
const RESPONSES = ["chosen", "rejected"];
const SPAN = 20;
const WIDEST = 560; // pixels

export function logRatioPlane({ model: traits, el }) {
  const model = throttled(traits);
  const title = "Chosen against rejected: what the loss asks for, and what a run does";
  const { head, body, setHeadline, announce, close } = frame(el, title, model);
  const record = recordOf(model.get("recorded"));
  const ends = endsOf(record);
  const controls = makeControls(model, ends);
  const readout = makeReadout();
  const plane = makePlane(ends);
  const handle = makeHandle(model, plane, ends);
  const cloud = record && makeCloud(plane, record);
  const player = record && makePlayer(model, record, plane.frame);
  const words = makeWords(record);
  const drawing = html("div", { class: "dt-plot dt-plane" }, html("h4", {}, "log π − log π_ref, nats"), plane.legend,
                       plane.frame, ...(record ? [player.node, cloud.legend, cloud.sentence] : []));
  head.append(readout.node);
  body.append(
    html("div", { class: "dt-controls" }, controls.preset.node, controls.beta.node, controls.label_smoothing.node),
    html("div", { class: "dt-two" }, drawing,
         html("div", { class: "dt-body dt-beside" },
              html("div", { class: "dt-body" }, ...RESPONSES.map((one) => controls[`${one}_log_ratio`].node)), words.node)),
  );

  const tell = () => announce(inWords(stateOf(model), pointOf(model)) + (record ? ` ${cloud.inWords(model.get("shown_step"))}` : ""));
  const draw = () => {
    const [state, point] = [stateOf(model), pointOf(model)];
    setHeadline(headline(point));
    readout.draw(point);
    handle.place(plane.draw(state, point), state, point);
    words.draw(state, point);
    tell();
  };
  const drawCloud = () => {
    cloud?.draw(model.get("shown_step"));
    tell();
  };
  const stops = [
    watch(model, SETTINGS, draw),
    watch(model, ["shown_step"], drawCloud),
    onResize(drawing, (width) => { plane.fit(Math.min(width, WIDEST)); draw(); drawCloud(); }),
    ...Object.values(controls).map((control) => control.stop),
    ...(record ? [player.stop] : []),
  ];
  return () => {
    stops.forEach((stop) => stop());
    close();
  };
}

function stateOf(model) {
  const [chosen, rejected, beta, smoothing] = SETTINGS.map((name) => model.get(name));
  return { chosen, rejected, beta, smoothing };
}

function pointOf(model) {
  return readPoint(...SETTINGS.map((name) => model.get(name)));
}

// Both axes have the same ends: the whole cloud, and something of each quadrant.
function endsOf(record) {
  if (!record) return [-SPAN, SPAN];
  const all = record.log_ratios.flat(2);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const part = Math.max(-least, most, 6) * 0.4;
  return roundRange(Math.min(least * 1.03, -part), Math.max(most * 1.03, part), 10);
}

function makeControls(model, [low, high]) {
  const controls = {
    preset: presetMenu(model, { name: "preset", label: "preset point", presets: model.get("presets") }),
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 1, least: 0.001, most: 10, log: true }),
    label_smoothing: slider(model, { name: "label_smoothing", label: "label smoothing ε", low: 0, high: 0.4, step: 0.01,
                                     show: (value) => plain(value, 2) }),
  };
  for (const response of RESPONSES) {
    const name = `${response}_log_ratio`;
    controls[name] = slider(model, { name, label: `log-ratio, ${response}`, low, high, least: -2000, most: 2000, step: 0.1,
                                     unit: "nats", show: signed });
    controls[name].node.classList.add(`dt-${response}`);
  }
  return controls;
}

// Margin, loss and gradient weight next to the headline.
function makeReadout() {
  const shown = { margin: ({ margin }) => signed(margin, 3), loss: ({ loss }) => plain(loss, 4),
                  weight: ({ gradientWeight }) => signed(gradientWeight, 4).replace("+", "") };
  const names = { margin: "margin", loss: "loss", weight: "gradient weight" };
  const cells = Object.fromEntries(Object.keys(shown).map((key) => [key, html("b", { "data-value": key }, "")]));
  return {
    node: html("p", { class: "dt-readout dt-three" },
               ...Object.entries(cells).map(([key, cell]) => html("span", {}, `${names[key]} `, cell))),
    draw: (point) => Object.entries(cells).forEach(([key, cell]) => setText(cell, shown[key](point))),
  };
}

function headline({ margin, loss, gradientWeight, quadrant }) {
  const where = quadrant === "policy = reference" ? "The policy has not moved" : quadrant[0].toUpperCase() + quadrant.slice(1);
  if (gradientWeight < 0) return `${where}: past the lowest loss, so the step pulls back.`;
  if (margin === 0) return `${where}: loss ln 2, but the gradient is not zero.`;
  return `${where}: loss ${loss < Math.LN2 ? "below" : "above"} ln 2.`;
}

function makeWords(record) {
  const rule = html("p", {}, "");
  const lowest = html("p", {}, "");
  const arrow = html("p", {}, "");
  const shared = "Both responses share the weights, so what moves one tends to move the other the same way: real runs leave this " +
    "direction. ";
  return {
    node: html("div", { class: "dt-words dt-body" },
               html("div", {}, html("h4", {}, "Only the difference counts"), rule, lowest),
               html("div", {}, html("h4", {}, "The pull of one step"), arrow,
                    html("p", {}, shared, record ? "The arrow is what the loss asks for; the cloud shows what the weights do."
                      : "The arrow is what the loss asks for, not what the weights do."))),
    draw({ beta, smoothing }, { difference, margin, gradientWeight, bestDifference }) {
      setText(rule, `Margin m = β (x − y) = ${brief(beta)} × (${signed(difference)}) = ${signed(margin, 3)}. It is the ` +
        "same along a line, and so is the loss. Larger β: the lines move closer together.");
      setText(lowest, smoothing > 0
        ? `With ε = ${plain(smoothing, 2)} the loss is lowest at a margin of log((1−ε)/ε) = ${plain(beta * bestDifference)}, a ` +
          `difference of ${plain(bestDifference)} nats.`
        : "With ε = 0 the loss falls for ever towards the lower right.");
      const [up, down] = gradientWeight >= 0 ? ["up", "down"] : ["down", "up"];
      setText(arrow, `It pushes the chosen log-ratio ${up} and the rejected one ${down}, both by the gradient weight β (σ(−m) − ε) = ` +
        `${signed(gradientWeight, 4).replace("+", "")}. The arrow's length is the weight divided by β.`);
    },
  };
}

function inWords({ chosen, rejected, beta, smoothing }, { margin, loss, gradientWeight, bestDifference, quadrant }) {
  return `Log-ratios: chosen ${signed(chosen)}, rejected ${signed(rejected)} nats: ${quadrant}. With β ${brief(beta)} the margin is ` +
    `${signed(margin, 3)}, the loss ${plain(loss, 4)} and the gradient weight ${plain(gradientWeight, 4)}.` +
    (smoothing > 0 ? ` With label smoothing ${plain(smoothing, 2)} the lowest loss is at a difference of ${plain(bestDifference)} nats.` : "");
}

// Any two losses of the family on the same pair: the loss and the pull of one over the plane of the log-ratios, and both along a line.

import { quadrantOf } from "./dpo.js";
import { bestDifference, readFamily } from "./family.js";
import { assign, brief, html, menu, plain, setAttributes, setText, signed, slider, svg, throttled, uniqueId, watch } from "./dom.js";
import { frame } from "./frame.js";
import { chart, legendEntry, onResize } from "./chart.js";
import { makeHandle } from "./plane_handle.js";
import { makeNames } from "./plane_chart.js";

const POINT = ["chosen_log_ratio", "rejected_log_ratio"];
const OWN = ["beta", "label_smoothing", "gamma", "sft_weight", "kl", "chosen_length", "rejected_length"];
const SPAN = 20;
const WIDEST = 520; // pixels
const CELLS = 20; // of the shading, in each direction
const ARROWS = 8; // in each direction
const LINES = 11; // on which the lowest loss is searched
const DARKEST = 0.3; // opacity
const SHOWN = [-20, 20]; // of the scaled loss
const NONE = "none";

export function lossFamily({ model: traits, el }) {
  const model = throttled(traits);
  const { head, body, setHeadline, announce, close } = frame(el, "One pair, any loss of the family", model);
  const members = model.get("members");
  const controls = makeControls(model, members);
  const readout = makeReadout();
  const plane = makePlane();
  const handle = makeHandle(model, plane, [-SPAN, SPAN]);
  const curves = makeCurves();
  const words = makeWords(members);
  const drawing = html("div", { class: "dt-plot dt-plane" }, html("h4", {}, "Where it pulls: log π − log π_ref, nats"), plane.legend, plane.frame);
  head.append(readout.node);
  body.append(
    html("div", { class: "dt-controls" }, controls.loss.node, controls.compared.node, ...OWN.map((name) => controls[name].node)),
    html("div", { class: "dt-two" },
         html("div", { class: "dt-body dt-beside" }, drawing, html("div", { class: "dt-body" }, ...POINT.map((name) => controls[name].node))),
         html("div", { class: "dt-body dt-beside" }, curves.node, words.node)),
  );

  const draw = () => {
    const [state, other] = [stateOf(model), comparedOf(model)];
    const [x, y] = POINT.map((name) => model.get(name));
    const numbers = { ...readFamily(x, y, state), best: bestDifference(x + y, state, 2 * SPAN - Math.abs(x + y)), quadrant: quadrantOf(x, y) };
    OWN.forEach((name) => setAttributes(controls[name].node, { hidden: usesOf(members[state.loss]).has(name) ? null : "" }));
    setHeadline(headline(members[state.loss], numbers));
    readout.draw(numbers);
    handle.place(plane.draw(state, [x, y], numbers), { chosen: x, rejected: y }, numbers);
    curves.draw([[state, members[state.loss]], [other, other && members[other.loss]]], [x, y]);
    words.draw(state.loss, other);
    announce(inWords(members[state.loss], [x, y], numbers));
  };
  const stops = [
    watch(model, ["loss", "compared", ...POINT, ...OWN], draw),
    onResize(drawing, (width) => { plane.fit(Math.min(width, WIDEST)); draw(); }),
    onResize(curves.node, (width) => { curves.fit(width); draw(); }),
    ...Object.values(controls).map((control) => control.stop),
  ];
  return () => {
    stops.forEach((stop) => stop());
    close();
  };
}

function usesOf({ settings, lengths, kl }) {
  return new Set([...settings, ...(lengths ? ["chosen_length", "rejected_length"] : []), ...(kl ? ["kl"] : [])]);
}

function stateOf(model) {
  const settings = Object.fromEntries(["beta", "label_smoothing", "gamma", "sft_weight"].map((name) => [name, model.get(name)]));
  return { loss: model.get("loss"), settings, lengths: [model.get("chosen_length"), model.get("rejected_length")], kl: model.get("kl") };
}

// The loss to compare with: with the same β if β has the same unit for both, and otherwise with its typical settings.
function comparedOf(model) {
  const [members, loss, state] = [model.get("members"), model.get("compared"), stateOf(model)];
  if (loss === NONE || loss === state.loss) return null;
  const { typical, per_token: perToken } = members[loss];
  const shared = perToken === members[state.loss].per_token ? { beta: state.settings.beta } : {};
  return { ...state, loss, settings: { ...state.settings, ...typical, ...shared } };
}

function makeControls(model, members) {
  const names = Object.entries(members).map(([name, { label }]) => [name, label]);
  const controls = {
    loss: menu(model, { name: "loss", label: "loss", options: names,
                        set: (loss) => assign(model, { loss, ...members[loss].typical }) }),
    compared: menu(model, { name: "compared", label: "compare with", options: [[NONE, "nothing"], ...names] }),
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 10, least: 0.001, log: true }),
    label_smoothing: slider(model, { name: "label_smoothing", label: "label smoothing ε", low: 0, high: 0.4, step: 0.01,
                                     show: (value) => plain(value, 2) }),
    gamma: slider(model, { name: "gamma", label: "target margin γ", low: 0, high: 4, most: 20, step: 0.1 }),
    sft_weight: slider(model, { name: "sft_weight", label: "weight α of the SFT term", low: 0, high: 2, most: 20, step: 0.05 }),
    kl: slider(model, { name: "kl", label: "z₀, the KL of the batch", low: 0, high: 20, step: 0.1, unit: "nats" }),
  };
  for (const response of ["chosen", "rejected"]) {
    const [length, ratio] = [`${response}_length`, `${response}_log_ratio`];
    controls[length] = slider(model, { name: length, label: `tokens, ${response}`, low: 20, high: 80, most: 2000, step: 1 });
    controls[ratio] = slider(model, { name: ratio, label: `log-ratio, ${response}`, low: -SPAN, high: SPAN, step: 0.1, unit: "nats", show: signed });
    [length, ratio].forEach((name) => controls[name].node.classList.add(`dt-${response}`));
  }
  return controls;
}

function makeReadout() {
  const shown = { loss: ["loss", ({ loss }) => plain(loss, 4)], chosen: ["pull, chosen", ({ chosenPull }) => signed(chosenPull, 4)],
                  rejected: ["pull, rejected", ({ rejectedPull }) => signed(rejectedPull, 4)] };
  const cells = Object.fromEntries(Object.keys(shown).map((key) => [key, html("b", { "data-value": key }, "")]));
  return {
    node: html("p", { class: "dt-readout dt-three" }, ...Object.entries(cells).map(([key, cell]) => html("span", {}, `${shown[key][0]} `, cell))),
    draw: (numbers) => Object.entries(cells).forEach(([key, cell]) => setText(cell, shown[key][1](numbers))),
  };
}

// Losses have different units: the slope at the reference makes them comparable, so that every curve starts with slope -1 there.
function unitOf(state) {
  const { loss, chosenPull, rejectedPull } = readFamily(0, 0, state);
  return { zero: loss, unit: Math.abs(chosenPull - rejectedPull) / 2 };
}

function makePlane() {
  const picture = chart({ label: "the pull of the loss over the plane of the two log-ratios", height: 400, x: [-SPAN, SPAN], y: [-SPAN, SPAN],
                          xLabel: "x: log-ratio of the chosen response", yLabel: "y: log-ratio of the rejected response" });
  const cells = grid(CELLS).map((middle) => ({ middle, node: svg("rect", { "shape-rendering": "crispEdges" }) }));
  const tip = uniqueId("tip");
  const arrows = grid(ARROWS).map((middle) => ({ middle, node: svg("path", { class: "dt-field", "marker-end": `url(#${tip})` }) }));
  const axes = ["x", "y"].map(() => svg("line", { class: "dt-zero" }));
  const lowest = svg("path", { class: "dt-line dt-dashed" });
  const names = makeNames();
  const pull = svg("line", { class: "dt-pull", "marker-end": `url(#${tip}-pull)` });
  const dot = svg("circle", { r: 7, class: "dt-dot" });
  const marker = (id, kind) => svg("marker", { id, viewBox: "0 0 8 8", refX: 5, refY: 4, markerWidth: 4.5, markerHeight: 4.5, orient: "auto" },
                                   svg("path", { d: "M0 0L8 4L0 8z", class: kind }));
  picture.marks.append(...cells.map(({ node }) => node), ...axes, ...arrows.map(({ node }) => node), lowest);
  picture.over.append(svg("defs", {}, marker(tip, "dt-field-tip"), marker(`${tip}-pull`, "dt-pull-tip")), ...names.texts, pull, dot);
  const legend = html("p", { class: "dt-legend" }, legendEntry("ink dt-key-dot", "the pair (drag it)"), legendEntry("pull", "pull of one step"),
                      legendEntry("dashed", "stops falling here"));
  const reach = () => 0.9 * (picture.px((2 * SPAN) / ARROWS) - picture.px(0));

  // From the pull to an arrow in pixels: as long as a cell where the loss pulls very hard, half of it as hard as at the reference.
  const arrowOf = ({ chosenPull, rejectedPull }, unit, longest) => {
    const size = Math.hypot(chosenPull, rejectedPull);
    const length = size === 0 ? 0 : (longest * size) / (size + unit * Math.SQRT2);
    return size === 0 ? [0, 0] : [(length * chosenPull) / size, (-length * rejectedPull) / size];
  };

  return {
    legend, valueAt: picture.valueAt,
    frame: html("div", { class: "dt-plane-frame" }, picture.node),
    fit(width) {
      picture.resizeSquare(width);
      const { left, right, top, bottom } = picture.area();
      const side = (right - left) / CELLS;
      cells.forEach(({ middle: [x, y], node }) =>
        setAttributes(node, { x: picture.px(x) - side / 2, y: picture.py(y) - side / 2, width: side, height: side }));
      setAttributes(axes[0], { x1: picture.px(0), x2: picture.px(0), y1: top, y2: bottom });
      setAttributes(axes[1], { x1: left, x2: right, y1: picture.py(0), y2: picture.py(0) });
      names.fit(picture.area(), picture.px(0), picture.py(0));
    },
    // Returns where the point is, in pixels.
    draw(state, point, numbers) {
      const { zero, unit } = unitOf(state);
      for (const { middle, node } of cells) {
        const moved = (readFamily(...middle, state).loss - zero) / unit;
        const share = Math.abs(moved) / (Math.abs(moved) + SPAN / 2);
        setAttributes(node, { style: `fill:var(--dt-${moved > 0 ? "rejected" : "chosen"});opacity:${(DARKEST * share).toFixed(3)}` });
      }
      for (const { middle, node } of arrows) {
        const [x, y] = [picture.px(middle[0]), picture.py(middle[1])];
        const [right, down] = arrowOf(readFamily(...middle, state), unit, reach());
        setAttributes(node, { d: `M${(x - right / 2).toFixed(1)} ${(y - down / 2).toFixed(1)}l${right.toFixed(1)} ${down.toFixed(1)}`,
                              visibility: Math.hypot(right, down) > 2 && names.isFree([x, y]) ? "visible" : "hidden" });
      }
      const totals = Array.from({ length: LINES }, (_, i) => 2 * SPAN * (2 * (i + 0.5) / LINES - 1));
      const found = totals.map((total) => [total, bestDifference(total, state, 2 * SPAN - Math.abs(total))]).filter(([, best]) => best !== null);
      setAttributes(lowest, { d: picture.path(found.map(([total, best]) => [(total + best) / 2, (total - best) / 2])) });
      names.mark(numbers.quadrant);
      const [x, y] = picture.place(dot, point);
      const [right, down] = arrowOf(numbers, unit, 2.5 * reach());
      setAttributes(pull, { x1: x, y1: y, x2: x + right, y2: y + down, visibility: Math.hypot(right, down) > 3 ? "visible" : "hidden" });
      return [x, y];
    },
  };
}

// The middles of the cells of a grid over the plane.
function grid(count) {
  const places = Array.from({ length: count }, (_, i) => SPAN * ((2 * i + 1) / count - 1));
  return places.flatMap((y) => places.map((x) => [x, y]));
}

// The loss and the pull on the difference, with x + y held constant: the chosen loss and the one to compare with.
function makeCurves() {
  const options = { x: [-SPAN, SPAN], height: 180, xLabel: "difference x − y, nats (the sum as at the pair)" };
  const loss = chart({ ...options, label: "the losses along a line", y: SHOWN, yLabel: "loss, with slope −1 at the reference" });
  const pull = chart({ ...options, label: "the pulls along a line", y: [-1, 2.5], yLabel: "pull, 1 at the reference" });
  const lines = ["policy", "other"].map((colour) => ({
    loss: svg("path", { class: `dt-line dt-stroke-${colour}` }), pull: svg("path", { class: `dt-line dt-stroke-${colour}` }),
    name: html("span", {}, ""), colour,
  }));
  const keys = lines.map(({ colour, name }) => legendEntry(colour, name));
  const dots = { loss: svg("circle", { r: 6, class: "dt-dot" }), pull: svg("circle", { r: 6, class: "dt-dot" }) };
  loss.marks.append(...lines.map((line) => line.loss).reverse());
  pull.marks.append(...lines.map((line) => line.pull).reverse());
  loss.over.append(dots.loss);
  pull.over.append(dots.pull);
  const differences = Array.from({ length: 121 }, (_, i) => SPAN * (i / 60 - 1));
  return {
    node: html("div", { class: "dt-plot" }, html("h4", {}, "Where it stops, and how hard it pulls"), html("p", { class: "dt-legend" }, ...keys),
               loss.node, pull.node),
    fit(width) {
      loss.resize(width);
      pull.resize(width);
    },
    draw(shown, [x, y]) {
      shown.forEach(([state, member], i) => {
        const line = lines[i];
        setAttributes(keys[i], { hidden: state ? null : "" });
        [line.loss, line.pull].forEach((node) => setAttributes(node, { visibility: state ? "visible" : "hidden" }));
        if (!state) return;
        const { zero, unit } = unitOf(state);
        const at = (difference) => readFamily((x + y + difference) / 2, (x + y - difference) / 2, state);
        const scaled = ({ loss: value, chosenPull, rejectedPull }) => [(value - zero) / unit, (chosenPull - rejectedPull) / 2 / unit];
        const points = differences.map((difference) => [difference, ...scaled(at(difference))]);
        setAttributes(line.loss, { d: loss.path(points.map(([d, value]) => [d, value])) });
        setAttributes(line.pull, { d: pull.path(points.map(([d, , value]) => [d, value])) });
        setText(line.name, `${member.label}, β = ${brief(state.settings.beta)}`);
        if (i > 0) return;
        const [value, slope] = scaled(at(x - y));
        loss.place(dots.loss, [x - y, value]);
        pull.place(dots.pull, [x - y, slope]);
      });
    },
  };
}

function makeWords(members) {
  const own = { name: html("h4", {}, ""), text: html("p", {}, "") };
  const other = { name: html("h4", {}, ""), text: html("p", {}, "") };
  const second = html("div", {}, other.name, other.text);
  return {
    node: html("div", { class: "dt-words dt-body" }, html("div", {}, own.name, own.text), second),
    draw(loss, compared) {
      setText(own.name, members[loss].label);
      setText(own.text, members[loss].change);
      setAttributes(second, { hidden: compared ? null : "" });
      if (!compared) return;
      setText(other.name, members[compared.loss].label);
      setText(other.text, members[compared.loss].change);
    },
  };
}

function headline({ label }, { chosenPull, rejectedPull, best }) {
  const towards = (pull) => (Math.abs(pull) < 1e-12 ? "leaves" : pull > 0 ? "raises" : "lowers");
  const [chosen, rejected] = [towards(chosenPull), towards(rejectedPull)];
  const does = chosen === rejected ? `${chosen} both` : `${chosen} chosen, ${rejected} rejected`;
  return `${label} ${does}; ${best === null ? "it falls as far as the chart goes." : `it stops falling at a difference of ${plain(best)} nats.`}`;
}

function inWords(member, [x, y], numbers) {
  return `${headline(member, numbers)} Log-ratios: chosen ${signed(x)}, rejected ${signed(y)} nats: ${numbers.quadrant}. Loss ` +
    `${plain(numbers.loss, 4)}, pull on the chosen response ${signed(numbers.chosenPull, 4)}, on the rejected one ${signed(numbers.rejectedPull, 4)}.`;
}

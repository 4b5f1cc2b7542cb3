// Two reviews side by side and a choice between them; then what DPO learned from thirty such choices.

import { brief, button, html, percent, plain, setAttributes, setText, signed, svg, watch } from "./dom.js";
import { frame } from "./frame.js";
import { kernelNote } from "./kernel_note.js";
import { chart, legendEntry, onResize, roundRange, setWidth } from "./chart.js";

const KEYS = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", ArrowDown: "skip", s: "skip",
               u: "undo", Backspace: "undo" };
const STATE = ["turn", "phase", "prompt", "left", "right", "given", "wanted", "kept", "held", "can_undo", "file", "steps",
               "curve", "result"];

export function annotator({ model, el }) {
  const { root, body, setHeadline, announce, close } = frame(el, "Be the annotator", model);
  const send = makeSend(model);
  const progress = makeProgress();
  const question = makeQuestion(send);
  const actions = makeActions(send);
  const curves = makeCurves();
  const verdict = makeVerdict();
  body.append(progress.node, question.node, actions.node, curves.node, verdict.node);
  setAttributes(root, { tabindex: -1 }); // a click anywhere in the panel gives it the keyboard focus

  const draw = () => {
    const state = stateOf(model);
    const hadFocus = root.contains(root.getRootNode().activeElement);
    setHeadline(headline(state));
    [progress, question, actions, curves, verdict].forEach((part) => part.draw(state));
    // The focused element may now be hidden or disabled: keep the focus in the panel.
    if (hadFocus && !usable(root.getRootNode().activeElement)) root.focus({ preventScroll: true });
    announce(inWords(state));
  };
  const press = (event) => pressed(event, stateOf(model), send);
  root.addEventListener("keydown", press);
  const stops = [
    kernelNote(model, body),
    watch(model, STATE, draw),
    ...curves.charts.map(({ node, fit }) => onResize(node, (width) => { fit(width); curves.draw(stateOf(model)); })),
  ];
  draw();
  return () => {
    stops.forEach((stop) => stop());
    close();
  };
}

function stateOf(model) {
  return Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
}

// Send a command to Python with the turn that was shown: Python ignores an answer to an earlier turn.
function makeSend(model) {
  return (name, more = {}) => model.send({ command: name, turn: model.get("turn"), ...more });
}

function pressed(event, state, send) {
  const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!name || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (name === "undo" ? !state.can_undo || state.phase === "training" : state.phase !== "labelling") return;
  event.preventDefault();
  if (name === "left" || name === "right") send("choose", { side: name });
  else send(name);
}

// Whether an element can keep the focus: browsers remove it from hidden and disabled elements, some sooner than others.
function usable(element) {
  return element && !element.disabled && !element.closest("[hidden]");
}

function headline({ phase, result }) {
  if (phase === "labelling") return "Which review do you prefer? There is no right answer, only your taste.";
  if (phase === "ready") return "All labels are given. What can a model learn from so few?";
  if (phase === "training") return "Training on your labels.";
  return `The policy agrees with you on ${brief(result.agreed)} of ${result.pairs} held-back pairs.`;
}

function inWords(state) {
  const { phase, prompt, left, right, given, wanted } = state;
  if (phase === "labelling") return `${given} of ${wanted} labels. ${prompt} Left: ${left} Right: ${right}`;
  if (phase === "trained") return `${headline(state)} ${doubt(state.result)}`;
  return headline(state);
}

function doubt({ share, error, pairs, agreed, luck }) {
  return `${plain(share)} ± ${plain(error)}: ${pairs} pairs are few. A coin gets ${brief(pairs / 2)} of them on average, and ` +
    `${brief(agreed)} or more in ${plain(100 * luck, luck < 0.1 ? 1 : 0)} of 100 tries.`;
}

function makeProgress() {
  const fill = html("i", { class: "dt-progress-fill" });
  const track = html("div", { class: "dt-progress-track", role: "progressbar", "aria-label": "labels given",
                              "aria-valuemin": 0 }, fill);
  const count = html("b", { "data-value": "given" }, "");
  const parts = html("span", { class: "dt-muted", "data-value": "parts" }, "");
  return {
    node: html("div", { class: "dt-progress" }, html("p", { class: "dt-between" }, count, parts), track),
    draw({ given, wanted, kept, held }) {
      setAttributes(track, { "aria-valuenow": Math.min(given, wanted), "aria-valuemax": wanted });
      setWidth(fill, Math.min(given / wanted, 1));
      setText(count, `${given} of ${wanted}`);
      setText(parts, `${kept} to train on, ${held} held back (every fifth, for testing)`);
    },
  };
}

function makeQuestion(send) {
  const opening = html("p", { class: "dt-opening", "data-value": "prompt" }, "");
  const sides = { left: answer(send, "left", "←", "ArrowLeft 1"), right: answer(send, "right", "→", "ArrowRight 2") };
  const node = html("div", { class: "dt-question", role: "group", "aria-label": "which review do you prefer" }, opening,
                    html("div", { class: "dt-answers" }, sides.left.node, sides.right.node));
  return {
    node,
    draw({ phase, prompt, left, right }) {
      setAttributes(node, { hidden: phase === "labelling" ? null : "" });
      setText(opening, prompt);
      setText(sides.left.text, left);
      setText(sides.right.text, right);
    },
  };
}

function answer(send, side, arrow, keys) {
  const text = html("span", { class: "dt-answer-text", "data-value": side }, "");
  const name = html("span", { class: "dt-answer-name" }, side, html("kbd", { "aria-hidden": "true" }, arrow));
  const node = button("", () => send("choose", { side }), {
    class: "dt-button dt-answer", "data-name": side, "aria-keyshortcuts": keys,
  });
  node.append(name, text);
  return { node, text };
}

const EXPECTATION = "This takes some seconds. Two dozen labels are few: what they can and cannot teach is measured " +
  "further down.";

function makeActions(send) {
  const skip = button("skip ↓", () => send("skip"), { "data-name": "skip", "aria-keyshortcuts": "S ArrowDown" });
  const undo = button("undo", () => send("undo"), { "data-name": "undo", "aria-keyshortcuts": "U Backspace" });
  const train = button("", () => send("train"), { class: "dt-button dt-go", "data-name": "train" });
  const expect = html("p", { class: "dt-muted", "data-value": "expect" }, EXPECTATION);
  const hint = html("p", { class: "dt-muted dt-hint", "data-value": "hint" }, "");
  return {
    node: html("div", { class: "dt-actions" }, html("div", { class: "dt-between" },
               html("span", { class: "dt-row" }, skip, undo), train), hint, expect),
    draw({ phase, can_undo, given, wanted, kept, file }) {
      setAttributes(skip, { disabled: phase === "labelling" ? null : "" });
      setAttributes(undo, { disabled: can_undo && phase !== "training" ? null : "" });
      setAttributes(train, { disabled: phase === "ready" ? null : "" });
      setAttributes(hint, { hidden: phase === "labelling" ? null : "" });
      setText(hint, "Keys, while the panel has the focus: ← and → or 1 and 2 choose, ↓ or S skips, U or Backspace undoes the " +
        `last answer. Each label is saved to the file ${file} at once.`);
      setAttributes(expect, { hidden: phase === "ready" ? null : "" });
      setText(train, trainWords(phase, kept, wanted - given));
    },
  };
}

function trainWords(phase, kept, missing) {
  if (phase === "labelling") return `train after ${missing} more`;
  if (phase === "training") return "training …";
  return phase === "trained" ? "trained" : `train on ${kept} labels`;
}

// The columns of a row of the curve: the step, and each number on the training pairs and on the held-back pairs.
const CURVES = [
  { name: "loss, nats", own: 1, held: 3, atLeast: [0.4, 0.8], baseline: Math.LN2 },
  { name: "margin, nats", own: 2, held: 4, atLeast: [-0.5, 0.5], baseline: 0 },
  { name: "agreement, held back", own: null, held: 5, atLeast: [0, 1], baseline: 0.5 },
];

function makeCurves() {
  const charts = CURVES.map(makeCurve);
  const now = html("p", { class: "dt-muted", "data-value": "step" }, "");
  const legend = html("p", { class: "dt-legend" }, legendEntry("policy", "training labels, one batch at a time"),
                      legendEntry("held", "held-back labels"), legendEntry("baseline", "coin toss"));
  const node = html("div", { class: "dt-curves", role: "group", "aria-label": "the training run" }, now, legend,
                    html("div", { class: "dt-three" }, ...charts.map((one) => one.node)));
  return {
    node,
    charts,
    draw({ phase, curve, steps }) {
      setAttributes(node, { hidden: phase === "training" || phase === "trained" ? null : "" });
      setText(now, curve.length ? `step ${curve.length} of ${steps}` : "getting ready");
      charts.forEach((one) => one.draw(curve, steps));
    },
  };
}

function makeCurve({ name, own, held, atLeast, baseline }) {
  const picture = chart({ label: `${name}, by step`, height: 160, x: [0, 1], y: atLeast, xLabel: "step", yLabel: name });
  const level = svg("path", { class: "dt-line dt-baseline" });
  const trained = svg("path", { class: "dt-line dt-stroke-policy" });
  const kept = svg("path", { class: "dt-line dt-held" });
  picture.marks.append(level, trained, kept);
  return {
    node: html("div", { class: "dt-plot" }, picture.node),
    fit: picture.resize,
    draw(curve, steps) {
      const columns = [own, held].filter((column) => column !== null);
      const values = curve.flatMap((row) => columns.map((column) => row[column]));
      const y = roundRange(Math.min(atLeast[0], ...values), Math.max(atLeast[1], ...values), 4);
      picture.setRange({ x: [0, steps || 1], y });
      setAttributes(level, { d: picture.path([[0, baseline], [steps || 1, baseline]]) });
      setAttributes(trained, { d: own === null ? "" : picture.path(curve.map((row) => [row[0], row[own]])) });
      setAttributes(kept, { d: picture.path(curve.map((row) => [row[0], row[held]])) });
    },
  };
}

// For each trait: its label, its number format, and the words for a difference.
const TRAITS = {
  words: { label: "words per review", show: (value) => plain(value, 1), up: "longer", down: "shorter" },
  reward: { label: "kindness (true reward)", show: (value) => signed(value, 2), up: "kinder", down: "harsher" },
  cast: { label: "mention the cast", show: percent, up: "more often", down: "less often" },
  fluency: { label: "are proper reviews", show: percent, up: "more often", down: "less often" },
};

function makeVerdict() {
  const few = html("p", { "data-value": "doubt" }, "");
  const trained = html("p", { class: "dt-muted", "data-value": "trained" }, "");
  const traits = makeTraits();
  const samples = [0, 1, 2].map(makeSample);
  const node = html("div", { class: "dt-verdict" },
                    html("div", { class: "dt-words" }, few, trained), traits.node,
                    html("h4", {}, "The same openings and the same random seed, before and after training"),
                    ...samples.map((one) => one.node));
  return {
    node,
    draw({ phase, result }) {
      setAttributes(node, { hidden: phase === "trained" ? null : "" });
      if (phase !== "trained") return;
      setText(few, `On the held-back pairs: ${doubt(result)}`);
      setText(trained, `On the pairs it was trained on, it agrees on ${brief(result.trained_agreed)} of ${result.trained_pairs}. ` +
        "That is memory and says nothing about your taste.");
      traits.draw(result);
      samples.forEach((one, i) => one.draw(result.samples[i]));
    },
  };
}

function makeTraits() {
  const cell = (name, column) => html("td", { "data-value": `${name}-${column}` }, "");
  const rows = Object.entries(TRAITS).map(([name, trait]) => {
    const cells = { before: cell(name, "before"), after: cell(name, "after"), moved: cell(name, "moved") };
    return { name, trait, cells, node: html("tr", {}, html("th", { scope: "row" }, trait.label), ...Object.values(cells)) };
  });
  const title = html("caption", {}, "");
  const heads = ["", "before", "after", "difference"].map((text) => html("th", { scope: "col" }, text));
  return {
    node: html("table", { class: "dt-traits" }, title, html("thead", {}, html("tr", {}, ...heads)),
               html("tbody", {}, ...rows.map((row) => row.node))),
    draw({ traits, openings }) {
      setText(title, `Did the texts change? ${openings} fresh openings`);
      for (const { name, trait, cells } of rows) {
        const found = traits.find((one) => one.name === name);
        setText(cells.before, trait.show(found.before));
        setText(cells.after, trait.show(found.after));
        setText(cells.moved, movedWords(found, trait));
      }
    },
  };
}

function movedWords({ before, after, error, moved }, { up, down }) {
  if (!moved) return "no more than chance";
  const times = Math.abs(after - before) / (error || 1e-9);
  return `${after > before ? up : down}, ${times > 99 ? "far more than" : `${plain(times, 0)} times`} its standard error`;
}

function makeSample(_, i) {
  const opening = html("p", { class: "dt-opening" }, "");
  const before = html("p", { "data-value": `before-${i}` }, "");
  const after = html("p", { "data-value": `after-${i}` }, "");
  const card = (name, colour, text) =>
    html("div", { class: `dt-text-card dt-edge-${colour}` }, html("span", { class: "dt-answer-name" }, name), text);
  return {
    node: html("div", { class: "dt-question" }, opening, html("div", { class: "dt-answers" },
               card("before", "reference", before), card("after", "policy", after))),
    draw(sample) {
      setText(opening, sample.prompt);
      setText(before, sample.before);
      setText(after, sample.after);
    },
  };
}

// What reference and policy write after the same prompt, with the same dice.

import { html, identity, put, say } from "./nodes.js";
import { plain, signed } from "./numbers.js";
import { watch } from "./model.js";
import { button, slider } from "./controls.js";
import { drags, frame } from "./frame.js";
import { colourScale, logRatios, scaled, scaleEnd, tokenGroup, tokenName, total } from "./tokens.js";

const WRITERS = ["reference", "policy"];
const MOST = 6;
const DICE = 9999;
const PATIENCE = 8000; // milliseconds before it is said that nothing has come yet

export function beforeAfter({ model, el }) {
  const { root, body, finding, read, close } = frame(el, "What both write, before and after", model);
  let [state, end] = [stateOf(model), 1];
  const group = tokenGroup((text, token) => sentence(state, end, WRITERS[Math.floor(text / MOST)], text % MOST, token));
  const columns = WRITERS.map((name) => makeColumn(name, group));
  const form = makeForm(model);
  const prompt = html("p", { class: "dt-prompt", "data-value": "prompt", dir: "auto" }, "");
  const scale = colourScale("log π − log π_ref, nats");
  const written = html("div", { class: "dt-body" }, html("div", {}, html("h4", {}, "prompt"), prompt),
                       html("div", { class: "dt-writers" }, ...columns.flatMap((column) => column.nodes)),
                       scale.node, group.detail);
  body.append(form.node, written);

  const draw = () => {
    state = stateOf(model);
    put(written, { hidden: state.texts ? null : "" });
    finding(headline(state));
    if (!state.texts) return;
    say(prompt, state.prompt);
    columns.forEach((column, i) => column.draw(state.texts[WRITERS[i]], end, model.get("judge_name")));
    scale.draw(end);
    group.refresh();
    read(inWords(state));
  };
  const settle = () => {
    const { texts } = stateOf(model);
    end = scaleEnd(WRITERS.flatMap((name) => texts?.[name] ?? []).flatMap((text) => text.values));
    draw();
  };
  const hand = drags(root, settle);
  const stop = watch(model, ["shown"], () => (hand.held ? draw() : settle()));
  settle();
  return () => {
    [stop, form.stop, hand.stop].forEach((undo) => undo());
    close();
  };
}

// What was written, with the numbers of its tokens; nothing before the first time.
function stateOf(model) {
  const { prompt, texts } = model.get("shown");
  if (!texts) return { texts: null };
  const read = (text) => {
    const values = logRatios(text);
    return { ...text, values, sum: total(values) };
  };
  return { prompt, texts: Object.fromEntries(WRITERS.map((name) => [name, texts[name].map(read)])) };
}

// The form: a prompt of one's own, dice, and how many. What is set here is a draft until Python has written with it.

function makeForm(model) {
  const field = makeField(() => asking.ask());
  const draft = { seed: model.get("seed"), count: model.get("count") };
  const asking = makeAsking(model, () => ({ prompt: field.area.value, ...draft }), () => telling.refresh());
  const stopFollowing = followPython(model, field.area, draft, asking);
  const dice = makeDice(model, draft, asking.ask);
  const write = button("write", asking.ask, { "data-name": "write" });
  const telling = makeTelling(model, asking, field.area, write);
  const stops = [asking.stop, stopFollowing, dice.stop, telling.stop];
  return {
    node: html("div", { class: "dt-body dt-form" },
               html("div", { class: "dt-asking" }, field.node, makeSuggestions(model, field.area), telling.note),
               html("div", { class: "dt-controls" }, dice.seed, dice.count,
                    html("div", { class: "dt-write" }, write, telling.progress))),
    stop: () => stops.forEach((undo) => undo()),
  };
}

// Several lines, for prompts have them; what is typed here must not run a cell.
function makeField(enter) {
  const area = html("textarea", { class: "dt-text dt-field", id: identity("prompt"), rows: 2, spellcheck: "false", dir: "auto",
                                  "data-name": "prompt", "data-lm-suppress-shortcuts": "true" });
  const label = html("label", { for: area.id, class: "dt-label" },
                     "the beginning of a text (Enter writes, Shift+Enter is a new line)");
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.stopPropagation();
    if (event.shiftKey) return;
    event.preventDefault();
    enter();
  });
  return { area, node: html("div", { class: "dt-choice" }, label, area) };
}

// What Python has set is taken over, unless a hand has moved on meanwhile.
function followPython(model, area, draft, asking) {
  let known = model.get("prompt");
  area.value = known;
  return watch(model, ["prompt", "seed", "count"], () => {
    if (area.value === known) area.value = model.get("prompt");
    known = model.get("prompt");
    if (!asking.again) Object.assign(draft, { seed: model.get("seed"), count: model.get("count") });
  });
}

function makeDice(model, draft, ask) {
  const sliders = {};
  const propose = (name, value) => {
    draft[name] = Math.round(value);
    sliders[name].refresh();
    ask();
  };
  const drafted = (spec) => slider(model, { step: 1, show: String, get: () => draft[spec.name],
                                            set: (value) => propose(spec.name, value), ...spec });
  sliders.seed = drafted({ name: "seed", label: "dice", low: 0, high: 99, least: 0, most: DICE });
  sliders.count = drafted({ name: "count", label: "texts by each", low: 2, high: MOST });
  const other = button("other dice", () => propose("seed", (draft.seed + 1) % (DICE + 1)), { "data-name": "other-dice" });
  return {
    seed: html("div", { class: "dt-stepper" }, sliders.seed.node, other),
    count: sliders.count.node,
    stop: () => [sliders.seed.stop, sliders.count.stop].forEach((undo) => undo()),
  };
}

// What is told of the asking: that both write, or why they cannot.
function makeTelling(model, asking, area, write) {
  const note = html("p", { class: "dt-note", role: "alert", id: identity("note"), "data-value": "note" }, "");
  const progress = html("p", { class: "dt-progress", role: "status", "data-value": "progress" }, "");
  put(area, { "aria-describedby": note.id });
  let clock = 0;
  const refresh = () => {
    const text = asking.busy ? "" : model.get("note");
    say(note, text);
    put(note, { hidden: text ? null : "" });
    put(area, { "aria-invalid": text ? "true" : null });
    put(write, { "aria-disabled": String(asking.busy) });
    say(progress, asking.busy ? "Both are writing …" : "");
    clearTimeout(clock);
    if (asking.busy) clock = setTimeout(() => say(progress, LATE), PATIENCE);
  };
  const stopWatching = watch(model, ["note"], refresh);
  refresh();
  const stop = () => {
    clearTimeout(clock);
    stopWatching();
  };
  return { note, progress, refresh, stop };
}

function makeSuggestions(model, field) {
  const select = html("select", { id: identity("suggestions"), class: "dt-menu", "data-name": "suggestions" },
                      html("option", { value: "" }, "pick one …"));
  for (const text of model.get("suggestions")) select.append(html("option", { value: text }, text));
  select.addEventListener("change", () => {
    if (select.value) field.value = select.value;
  });
  field.addEventListener("input", () => { select.value = ""; });
  const label = html("label", { for: select.id, class: "dt-label" }, "or a suggestion");
  const node = html("div", { class: "dt-choice" }, label, select);
  put(node, { hidden: model.get("suggestions").length ? null : "" });
  return node;
}

// Ask Python to write; asked while it writes, it is asked once more at the end, for what is wanted then.
function makeAsking(model, wanted, changed) {
  let [busy, again] = [model.get("writing"), false];
  const ask = () => {
    again = busy;
    if (busy) return;
    busy = true;
    changed();
    model.send({ ask: "write", ...wanted() });
  };
  const stop = watch(model, ["writing"], () => {
    busy = model.get("writing");
    if (!busy && again) ask();
    else changed();
  });
  return {
    ask,
    stop,
    get busy() {
      return busy;
    },
    get again() {
      return again;
    },
  };
}

const LATE = "Still writing: a large model takes its time, and Python answers only when no other cell is running.";

// One writer: a heading with the means, and as many cards as may be wanted.

function makeColumn(name, group) {
  const mean = html("span", { class: "dt-muted", "data-value": `${name}-mean` }, "");
  const heading = html("p", { class: "dt-writer", "data-name": name }, html("b", {}, name), " ", mean);
  const cards = Array.from({ length: MOST }, (_, i) => makeCard(name, i, group));
  return {
    nodes: [heading, ...cards.map((card) => card.node)],
    draw(texts, end, judge) {
      const judged = judge ? `, ${judge} ${signed(total(texts.map((text) => text.judged)) / texts.length, 1)}` : "";
      say(mean, `on average: log-ratio ${signed(meanOf(texts), 2)} nats${judged}`);
      cards.forEach((card, i) => {
        put(card.node, { hidden: texts[i] ? null : "" });
        if (texts[i]) card.draw(texts[i], end, judge);
      });
    },
  };
}

function makeCard(name, i, group) {
  const text = group.text(`${name}, text ${i + 1}, token by token`);
  const sum = html("b", { "data-value": `${name}-${i}` }, "");
  const judged = html("b", { "data-value": `${name}-${i}-judged` }, "");
  const [judge, rest] = [html("span", {}, ""), html("span", {}, "")];
  return {
    node: html("div", { class: `dt-text-card dt-${name}`, style: `--row: ${i + 2}`, "data-name": `${name}-${i}` },
               html("p", { class: "dt-muted dt-turn" }, `${name}, text ${i + 1}`), text.node,
               html("p", { class: "dt-muted" }, "log-ratio ", sum, " nats", judge, judged, rest)),
    draw(given, end, judgeName) {
      text.draw(given, given.values, end);
      say(sum, signed(given.sum, 2));
      say(judge, judgeName ? ` · ${judgeName} ` : "");
      say(judged, judgeName ? signed(given.judged, 1) : "");
      say(rest, given.ended ? "" : ` · cut after ${given.texts.length} tokens`);
    },
  };
}

function meanOf(texts) {
  return total(texts.map((text) => text.sum)) / texts.length;
}

function headline({ texts }) {
  if (!texts) return "Type the beginning of a text, and let both models go on with it.";
  const all = WRITERS.flatMap((name) => texts[name].flatMap((text) => text.values));
  if (all.every((value) => value === 0)) return "Policy and reference are the same: the same dice, the same texts, no log-ratio.";
  const [reference, policy] = WRITERS.map((name) => meanOf(texts[name]));
  return `Mean log-ratio: ${signed(policy, 1)} nats on what the policy wrote, ` +
    `${signed(reference, 1)} on what the reference wrote.`;
}

function sentence({ texts }, end, name, i, token) {
  const { texts: tokens, policy, reference, values } = texts[name][i];
  return `${tokenName(tokens, token)}, token ${token + 1} of ${tokens.length} of ${name}'s text ${i + 1}: ` +
    `log-ratio ${scaled(values[token], end)} (log π ${plain(policy[token])}, log π_ref ${plain(reference[token])}). ` +
    `Up to here ${scaled(total(values.slice(0, token + 1)), end)}.`;
}

function inWords({ prompt, texts }) {
  const each = WRITERS.map((name) => `${name}: ${texts[name].map((text) => signed(text.sum, 2)).join(", ")}`).join("; ");
  return `After “${prompt}”: log-ratios of the texts, nats, ${each}.`;
}

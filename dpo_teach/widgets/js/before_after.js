// The texts that the reference and the policy write after the same prompt, with the same random seed.

import { button, html, menu, plain, setAttributes, setText, signed, slider, uniqueId, watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { kernelNote } from "./kernel_note.js";
import { colourScale, logRatios, scaled, scaleEnd, tokenGroup, tokenName, total } from "./tokens.js";

const WRITERS = ["reference", "policy"];
const MOST = 6;
const LARGEST_SEED = 9999;
const SLOW_AFTER = 8000; // milliseconds until the panel says that Python is still writing

export function beforeAfter({ model, el }) {
  const { root, body, setHeadline, announce, close } = frame(el, "What both models write", model);
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
    setAttributes(written, { hidden: state.texts ? null : "" });
    setHeadline(headline(state));
    if (!state.texts) return;
    setText(prompt, state.prompt);
    columns.forEach((column, i) => column.draw(state.texts[WRITERS[i]], end, model.get("judge_name")));
    scale.draw(end);
    group.refresh();
    announce(inWords(state));
  };
  const rescale = () => {
    const { texts } = stateOf(model);
    end = scaleEnd(WRITERS.flatMap((name) => texts?.[name] ?? []).flatMap((text) => text.values));
    draw();
  };
  const drag = trackDrag(root, rescale);
  const stopNote = kernelNote(model, body);
  const stop = watch(model, ["shown"], () => (drag.active ? draw() : rescale()));
  rescale();
  return () => {
    [stop, stopNote, form.stop, drag.stop].forEach((undo) => undo());
    close();
  };
}

// The texts and the numbers of their tokens; null before anything has been written.
function stateOf(model) {
  const { prompt, texts } = model.get("shown");
  if (!texts) return { texts: null };
  const read = (text) => {
    const values = logRatios(text);
    return { ...text, values, sum: total(values) };
  };
  return { prompt, texts: Object.fromEntries(WRITERS.map((name) => [name, texts[name].map(read)])) };
}

// The form: prompt, seed and number of texts. Its values are a draft until Python writes with them.

function makeForm(model) {
  const field = makeField(() => request.send());
  const draft = { seed: model.get("seed"), count: model.get("count") };
  const request = makeRequest(model, () => ({ prompt: field.area.value, ...draft }), () => status.refresh());
  const stopFollowing = followPython(model, field.area, draft, request);
  const sampling = makeSampling(model, draft, request.send);
  const write = button("write", request.send, { "data-name": "write" });
  const status = makeStatus(model, request, field.area, write);
  const stops = [request.stop, stopFollowing, sampling.stop, status.stop];
  return {
    node: html("div", { class: "dt-body dt-form" },
               html("div", { class: "dt-prompt-form" }, field.node, makeSuggestions(model, field.area), status.note),
               html("div", { class: "dt-controls" }, sampling.seed, sampling.count,
                    html("div", { class: "dt-write" }, write, status.progress))),
    stop: () => stops.forEach((undo) => undo()),
  };
}

// A field of several lines, since prompts may have them; typing in it must not run a cell.
function makeField(enter) {
  const area = html("textarea", { class: "dt-text dt-field", id: uniqueId("prompt"), rows: 2, spellcheck: "false", dir: "auto",
                                  "data-name": "prompt", "data-lm-suppress-shortcuts": "true" });
  const label = html("label", { for: area.id, class: "dt-label" },
                     "the beginning of a text (Enter: write, Shift+Enter: new line)");
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.stopPropagation();
    if (event.shiftKey) return;
    event.preventDefault();
    enter();
  });
  return { area, node: html("div", { class: "dt-choice" }, label, area) };
}

// Show what Python sets, unless the reader has changed the prompt in the meantime.
function followPython(model, area, draft, request) {
  let known = model.get("prompt");
  area.value = known;
  return watch(model, ["prompt", "seed", "count"], () => {
    if (area.value === known) area.value = model.get("prompt");
    known = model.get("prompt");
    if (!request.again) Object.assign(draft, { seed: model.get("seed"), count: model.get("count") });
  });
}

function makeSampling(model, draft, send) {
  const sliders = {};
  const propose = (name, value) => {
    draft[name] = Math.round(value);
    sliders[name].refresh();
    send();
  };
  const drafted = (spec) => slider(model, { step: 1, show: String, get: () => draft[spec.name],
                                            set: (value) => propose(spec.name, value), ...spec });
  sliders.seed = drafted({ name: "seed", label: "seed", low: 0, high: 99, least: 0, most: LARGEST_SEED });
  sliders.count = drafted({ name: "count", label: "texts each", low: 2, high: MOST });
  const other = button("next seed", () => propose("seed", (draft.seed + 1) % (LARGEST_SEED + 1)), { "data-name": "next-seed" });
  return {
    seed: html("div", { class: "dt-stepper" }, sliders.seed.node, other),
    count: sliders.count.node,
    stop: () => [sliders.seed.stop, sliders.count.stop].forEach((undo) => undo()),
  };
}

// The status of the request: both models are writing, or the reason why they cannot.
function makeStatus(model, request, area, write) {
  const note = html("p", { class: "dt-note", role: "alert", id: uniqueId("note"), "data-value": "note" }, "");
  const progress = html("p", { class: "dt-progress", role: "status", "data-value": "progress" }, "");
  setAttributes(area, { "aria-describedby": note.id });
  let clock = 0;
  const refresh = () => {
    const text = request.busy ? "" : model.get("note");
    setText(note, text);
    setAttributes(note, { hidden: text ? null : "" });
    setAttributes(area, { "aria-invalid": text ? "true" : null });
    setAttributes(write, { "aria-disabled": String(request.busy) });
    setText(progress, request.busy ? "Both are writing …" : "");
    clearTimeout(clock);
    if (request.busy) clock = setTimeout(() => setText(progress, STILL_WRITING), SLOW_AFTER);
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
  const select = html("select", { id: uniqueId("suggestions"), class: "dt-menu", "data-name": "suggestions" },
                      html("option", { value: "" }, "pick one …"));
  for (const text of model.get("suggestions")) select.append(html("option", { value: text }, text));
  select.addEventListener("change", () => {
    if (select.value) field.value = select.value;
  });
  field.addEventListener("input", () => { select.value = ""; });
  const label = html("label", { for: select.id, class: "dt-label" }, "or a suggestion");
  const node = html("div", { class: "dt-choice" }, label, select);
  setAttributes(node, { hidden: model.get("suggestions").length ? null : "" });
  return node;
}

// Ask Python to write. A request made while it is writing is sent afterwards, with the settings of that moment.
function makeRequest(model, settings, changed) {
  let [busy, again] = [model.get("writing"), false];
  const send = () => {
    again = busy;
    if (busy) return;
    busy = true;
    changed();
    model.send({ command: "write", ...settings() });
  };
  const stop = watch(model, ["writing"], () => {
    busy = model.get("writing");
    if (!busy && again) send();
    else changed();
  });
  return {
    send,
    stop,
    get busy() {
      return busy;
    },
    get again() {
      return again;
    },
  };
}

const STILL_WRITING = "Still writing: a large model is slow, and Python answers only when no other cell is running.";

// The column of one model: a heading with the means, and as many cards as there can be texts.

function makeColumn(name, group) {
  const mean = html("span", { class: "dt-muted", "data-value": `${name}-mean` }, "");
  const heading = html("p", { class: "dt-writer", "data-name": name }, html("b", {}, name), " ", mean);
  const cards = Array.from({ length: MOST }, (_, i) => makeCard(name, i, group));
  return {
    nodes: [heading, ...cards.map((card) => card.node)],
    draw(texts, end, judge) {
      const judged = judge ? `, ${judge} ${signed(total(texts.map((text) => text.judged)) / texts.length, 1)}` : "";
      setText(mean, `mean: log-ratio ${signed(meanOf(texts), 2)} nats${judged}`);
      cards.forEach((card, i) => {
        setAttributes(card.node, { hidden: texts[i] ? null : "" });
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
      setText(sum, signed(given.sum, 2));
      setText(judge, judgeName ? ` · ${judgeName} ` : "");
      setText(judged, judgeName ? signed(given.judged, 1) : "");
      setText(rest, given.ended ? "" : ` · cut after ${given.texts.length} tokens`);
    },
  };
}

function meanOf(texts) {
  return total(texts.map((text) => text.sum)) / texts.length;
}

function headline({ texts }) {
  if (!texts) return "Type the beginning of a text, and let both models continue it.";
  const all = WRITERS.flatMap((name) => texts[name].flatMap((text) => text.values));
  if (all.every((value) => value === 0)) {
    return "Policy and reference are the same: same seed, same texts, log-ratios of 0.";
  }
  const [reference, policy] = WRITERS.map((name) => meanOf(texts[name]));
  return `Mean log-ratio: ${signed(policy, 1)} nats on the policy's texts, ` +
    `${signed(reference, 1)} on the reference's texts.`;
}

function sentence({ texts }, end, name, i, token) {
  const { texts: tokens, policy, reference, values } = texts[name][i];
  return `${tokenName(tokens, token)}, token ${token + 1} of ${tokens.length} of ${name}'s text ${i + 1}: ` +
    `log-ratio ${scaled(values[token], end)} (log π ${plain(policy[token])}, log π_ref ${plain(reference[token])}). ` +
    `Sum so far ${scaled(total(values.slice(0, token + 1)), end)}.`;
}

function inWords({ prompt, texts }) {
  const each = WRITERS.map((name) => `${name}: ${texts[name].map((text) => signed(text.sum, 2)).join(", ")}`).join("; ");
  return `After “${prompt}”: log-ratios of the texts, nats, ${each}.`;
}

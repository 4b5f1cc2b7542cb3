// What reference and policy write after the same prompt, with the same dice.

import { html, identity, put, say } from "./nodes.js";
import { plain, signed } from "./numbers.js";
import { assign, watch } from "./model.js";
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

// The form: a prompt of one's own, dice, and how many.

function makeForm(model) {
  const field = html("textarea", { class: "dt-text dt-field", id: identity("prompt"), rows: 2, spellcheck: "false",
                                   "data-name": "prompt", "data-lm-suppress-shortcuts": "true" });
  const label = html("label", { for: field.id, class: "dt-label" }, "the beginning of a text (Enter writes, Shift+Enter is a new line)");
  const note = html("p", { class: "dt-note", role: "alert", id: identity("note"), "data-value": "note" }, "");
  const progress = html("p", { class: "dt-progress", role: "status", "data-value": "progress" }, "");
  put(field, { "aria-describedby": note.id });
  const asking = makeAsking(model, field);
  const write = button("write", asking.ask, { "data-name": "write" });
  const dice = slider(model, { name: "seed", label: "dice", low: 0, high: 99, least: 0, most: DICE, step: 1, show: String,
                               set: (value) => { assign(model, { seed: Math.round(value) }); dice.refresh(); asking.ask(); } });
  const other = button("other dice", () => {
    assign(model, { seed: (model.get("seed") + 1) % (DICE + 1) });
    asking.ask();
  }, { "data-name": "other-dice" });
  const count = slider(model, { name: "count", label: "texts by each", low: 2, high: MOST, step: 1, show: String,
                                set: (value) => { assign(model, { count: Math.round(value) }); count.refresh(); asking.ask(); } });
  const suggestions = makeSuggestions(model, field);

  const refresh = () => {
    const [text, busy] = [model.get("note"), model.get("writing")];
    say(note, busy ? "" : text);
    put(note, { hidden: text && !busy ? null : "" });
    put(field, { "aria-invalid": text && !busy ? "true" : null });
    put(write, { "aria-disabled": String(busy) });
  };
  // A prompt that Python has set is shown, unless somebody has typed another one.
  let known = model.get("prompt");
  field.value = known;
  const follow = () => {
    if (field.value === known) field.value = model.get("prompt");
    known = model.get("prompt");
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.stopPropagation();
    if (event.shiftKey) return;
    event.preventDefault();
    asking.ask();
  });
  refresh();
  const stops = [watch(model, ["note", "writing", "fault"], refresh), watch(model, ["prompt"], follow),
                 asking.follow(progress), dice.stop, count.stop];
  return {
    node: html("div", { class: "dt-body dt-form" },
               html("div", { class: "dt-asking" }, html("div", { class: "dt-choice" }, label, field), suggestions, note),
               html("div", { class: "dt-controls" }, html("div", { class: "dt-stepper" }, dice.node, other), count.node,
                    html("div", { class: "dt-write" }, write, progress))),
    stop: () => stops.forEach((undo) => undo()),
  };
}

function makeSuggestions(model, field) {
  const select = html("select", { id: identity("suggestions"), class: "dt-menu", "data-name": "suggestions" },
                      html("option", { value: "" }, "pick one …"));
  for (const text of model.get("suggestions")) select.append(html("option", { value: text }, text));
  select.addEventListener("change", () => {
    if (select.value) field.value = select.value;
  });
  field.addEventListener("input", () => { select.value = ""; });
  const node = html("div", { class: "dt-choice" }, html("label", { for: select.id, class: "dt-label" }, "or a suggestion"), select);
  put(node, { hidden: model.get("suggestions").length ? null : "" });
  return node;
}

// Ask Python to write what is in the field; asked while it writes, it is asked once more at the end, with what holds then.
function makeAsking(model, field) {
  let [again, clock] = [false, 0];
  const ask = () => {
    if (model.get("writing")) {
      again = true;
      return;
    }
    assign(model, { writing: true });
    model.send({ ask: "write", prompt: field.value, seed: model.get("seed"), count: model.get("count") });
  };
  return {
    ask,
    follow(progress) {
      const refresh = () => {
        clearTimeout(clock);
        const busy = model.get("writing");
        say(progress, busy ? "Both are writing …" : "");
        if (busy) clock = setTimeout(() => say(progress, LATE), PATIENCE);
        if (busy || !again) return;
        again = false;
        ask();
      };
      const stop = watch(model, ["writing"], refresh);
      refresh();
      return () => {
        clearTimeout(clock);
        stop();
      };
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
      say(mean, `on average: log-ratio ${signed(mean_(texts), 2)} nats${judged}`);
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

function mean_(texts) {
  return total(texts.map((text) => text.sum)) / texts.length;
}

function headline({ texts }) {
  if (!texts) return "Type the beginning of a text, and let both models go on with it.";
  const all = WRITERS.flatMap((name) => texts[name].flatMap((text) => text.values));
  if (all.every((value) => value === 0)) return "Policy and reference are the same: the same dice, the same texts, no log-ratio.";
  const [reference, policy] = WRITERS.map((name) => mean_(texts[name]));
  return `Mean log-ratio: ${signed(policy, 1)} nats on what the policy wrote, ${signed(reference, 1)} on what the reference wrote.`;
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

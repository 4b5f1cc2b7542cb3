// A pair as text, each token coloured by its share of the implicit reward.

import { assign, brief, button, html, menu, plain, setAttributes, setText, signed, slider, watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { kernelNote } from "./kernel_note.js";
import { sigmoid } from "./dpo.js";
import { colourScale, logRatios, scaled, scaleEnd, strongest, tokenGroup, tokenName, total } from "./tokens.js";

const RESPONSES = ["chosen", "rejected"];
const SLOW_AFTER = 400; // milliseconds until the headline says that Python is computing

export function tokenRewards({ model, el }) {
  const { root, body, setHeadline, announce, close } = frame(el, "Which tokens earned the reward", model);
  let [state, end, waiting] = [stateOf(model), 1, 0];
  const group = tokenGroup((text, token) => sentence(state, end, RESPONSES[text], token));
  const controls = makeControls(model);
  const prompt = html("p", { class: "dt-prompt", "data-value": "prompt", dir: "auto" }, "");
  const note = html("p", { class: "dt-note", role: "alert" }, "");
  const cards = Object.fromEntries(RESPONSES.map((name) => [name, makeCard(name, group)]));
  const scale = colourScale("");
  const numbers = makeNumbers();
  const pair = html("div", { class: "dt-body" }, html("div", { class: "dt-two" }, cards.chosen.node, cards.rejected.node),
                    scale.node, group.detail, numbers.node);
  body.append(html("div", { class: "dt-controls" }, controls.pair.node, controls.beta.node, controls.view.node),
              note, html("div", {}, html("h4", {}, "prompt"), prompt), pair);

  const draw = () => {
    state = stateOf(model);
    setText(note, model.get("note"));
    setAttributes(note, { hidden: model.get("note") ? null : "" });
    setAttributes(pair, { hidden: state.responses.chosen ? null : "" });
    setText(prompt, state.prompt);
    follow();
    if (!state.responses.chosen) return;
    RESPONSES.forEach((name) => cards[name].draw(state.responses[name], end));
    scale.draw(end, model.get("view") === VIEWS[0] ? "share of the reward, nats" : "reward up to the token, nats");
    numbers.draw(state);
    group.refresh();
    announce(inWords(state));
  };
  // The headline: what is shown or, if Python is slow, that it is computing.
  const follow = () => {
    clearTimeout(waiting);
    const outdated = state.number !== model.get("pair");
    setAttributes(root, { "aria-busy": String(outdated) });
    if (outdated) waiting = setTimeout(() => setHeadline(`Computing pair ${model.get("pair")} …`), SLOW_AFTER);
    else setHeadline(headline(state));
  };
  const rescale = () => {
    const { responses } = stateOf(model);
    end = scaleEnd(RESPONSES.flatMap((name) => responses[name]?.values ?? []));
    draw();
  };
  const drag = trackDrag(root, rescale);
  const stopNote = kernelNote(model, body);
  const stop = watch(model, ["shown", "note", "pair", "beta", "view"], () => (drag.active ? draw() : rescale()));
  rescale();
  return () => {
    clearTimeout(waiting);
    [stop, stopNote, controls.pair.stop, controls.beta.stop, controls.view.stop, drag.stop].forEach((undo) => undo());
    close();
  };
}

const VIEWS = ["each token", "summed so far"];

// What is shown, from Python's log-probabilities and β; a pair that does not fit into the context has no responses.
function stateOf(model) {
  const { number, prompt, ...given } = model.get("shown");
  const [beta, summed] = [model.get("beta"), model.get("view") !== VIEWS[0]];
  const responses = {};
  for (const name of RESPONSES.filter((one) => given[one])) {
    const rewards = logRatios(given[name]).map((ratio) => beta * ratio);
    responses[name] = { ...given[name], rewards, values: summed ? sums(rewards) : rewards, reward: total(rewards) };
  }
  const margin = responses.chosen ? responses.chosen.reward - responses.rejected.reward : 0;
  return { number, prompt, beta, summed, responses, margin };
}

function sums(values) {
  let sum = 0;
  return values.map((value) => (sum += value));
}

function makeControls(model) {
  const count = model.get("count");
  const go = (number) => {
    assign(model, { pair: Math.min(Math.max(Math.round(number), 1), count) });
    pair.refresh();
  };
  const pair = slider(model, { name: "pair", label: `pair, of ${count}`, low: 1, high: count, step: 1, show: String, set: go });
  const [before, after] = [["‹", -1, "the previous pair"], ["›", 1, "the next pair"]].map(([sign, step, label]) =>
    button(sign, () => go(model.get("pair") + step), { class: "dt-button dt-step", "aria-label": label, title: label,
                                                      "data-name": step < 0 ? "previous" : "next" }));
  const mark = () => {
    setAttributes(before, { "aria-disabled": String(model.get("pair") === 1) });
    setAttributes(after, { "aria-disabled": String(model.get("pair") === count) });
  };
  const stopMarking = watch(model, ["pair"], mark);
  mark();
  return {
    pair: {
      node: html("div", { class: "dt-stepper" }, pair.node, before, after),
      stop: () => [pair.stop, stopMarking].forEach((undo) => undo()),
    },
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 1, least: 0.001, most: 10, log: true }),
    view: menu(model, { name: "view", label: "each token shows",
                        options: [[VIEWS[0], "its own share of the reward"], [VIEWS[1], "the reward up to it"]] }),
  };
}

function makeCard(name, group) {
  const sum = html("span", { "data-value": `${name}-heading` }, "");
  const text = group.text(`${name} response, token by token`);
  const most = html("p", { class: "dt-muted", "data-value": `${name}-strongest` }, "");
  return {
    node: html("div", { class: `dt-text-card dt-${name}`, "data-name": name },
               html("h4", {}, `${name}: `, sum), text.node, most),
    draw(response, end) {
      setText(sum, `${signed(response.reward)} nats`);
      text.draw(response, response.values, end);
      const places = strongest(response.rewards);
      const named = places.map((i) => `${tokenName(response.texts, i)} ${signed(response.rewards[i])}`);
      setText(most, named.length ? `Largest: ${named.join(", ")}.` : "No token has a share.");
    },
  };
}

function makeNumbers() {
  const names = { chosen: "implicit reward of chosen", rejected: "implicit reward of rejected", margin: "margin",
                  probability: "σ(margin), P(choice)" };
  const cells = Object.keys(names).map((name) => [name, html("dd", { "data-value": name }, "")]);
  const by = Object.fromEntries(cells);
  return {
    node: html("dl", { class: "dt-sums" }, ...cells.map(([name, cell]) => html("div", {}, html("dt", {}, names[name]), cell))),
    draw({ responses, margin }) {
      setText(by.chosen, signed(responses.chosen.reward, 3));
      setText(by.rejected, signed(responses.rejected.reward, 3));
      setText(by.margin, signed(margin, 3));
      setText(by.probability, plain(sigmoid(margin), 4));
    },
  };
}

function headline({ responses, margin }) {
  if (!responses.chosen) return "This pair cannot be shown.";
  const all = RESPONSES.flatMap((name) => responses[name].rewards);
  if (all.every((reward) => reward === 0)) return "Policy and reference agree on every token: no reward and no margin.";
  const preferred = margin === 0 ? "neither" : `the ${margin > 0 ? "chosen" : "rejected"} response`;
  return `The policy prefers ${preferred}; ${strongestToken(responses)} contributes most.`;
}

function strongestToken(responses) {
  const [first] = RESPONSES.map((name) => ({ texts: responses[name].texts, i: strongest(responses[name].rewards, 1)[0], name }))
    .filter(({ i }) => i !== undefined)
    .sort((a, b) => Math.abs(responses[b.name].rewards[b.i]) - Math.abs(responses[a.name].rewards[a.i]));
  return tokenName(first.texts, first.i);
}

function sentence({ responses, beta }, end, name, i) {
  const { texts, policy, reference, rewards } = responses[name];
  const sum = total(rewards.slice(0, i + 1));
  return `${tokenName(texts, i)}, token ${i + 1} of ${texts.length} of ${name}: reward ${scaled(rewards[i], end)} = ` +
    `β ${brief(beta)} × log-ratio ${signed(policy[i] - reference[i])} (log π ${plain(policy[i])}, log π_ref ` +
    `${plain(reference[i])}). Sum so far ${scaled(sum, end)}.`;
}

function inWords({ number, responses, beta, margin }) {
  const each = RESPONSES.map((name) => `${name} ${signed(responses[name].reward, 3)}`).join(", ");
  return `Pair ${number}, β ${brief(beta)}. Implicit rewards: ${each}. Margin ${signed(margin, 3)}, probability ` +
    `${plain(sigmoid(margin), 4)}.`;
}

// The probabilities of readable responses as bars: the reference, and the optimum, tilted by exp(reward / beta).

import { sum, tilt } from "./dpo.js";
import { assign, brief, button, exponential, html, menu, plain, setAttributes, setText, signed, slider, svg, throttled,
         watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { bar, chart, legendEntry, onResize, roundRange } from "./chart.js";

const SETTINGS = ["beta", "shown_prompt", "rewards", "shift"];

export function betaTilt({ model: traits, el }) {
  const model = throttled(traits);
  const { root, body, setHeadline, announce, close } = frame(el, "How far the reward tilts the reference", model);
  const responses = model.get("responses");
  const controls = makeControls(model);
  const rows = responses.map((text, i) => makeRow(model, text, i));
  const numbers = makeNumbers();
  const frontier = makeFrontier();
  const table = html("div", { class: "dt-tilt" }, heading(controls.reset), ...rows.map((row) => row.node));
  body.append(
    html("div", { class: "dt-controls" }, controls.beta.node, controls.prompt.node, controls.shift.node),
    table,
    html("div", { class: "dt-two" }, frontier.node, numbers.node),
  );

  const draw = () => {
    const state = stateOf(model);
    const found = tilt(state.reference, state.rewards, state.beta);
    setHeadline(headline(found.kl));
    rows.forEach((row, i) => row.draw(state.reference[i], found.policy[i]));
    numbers.draw(state, found);
    frontier.draw(state, found);
    announce(inWords(state, found));
  };
  const rescale = () => {
    frontier.rescale(stateOf(model));
    draw();
  };
  const drag = trackDrag(root, rescale);
  const stops = [
    watch(model, SETTINGS, () => (drag.active ? draw() : rescale())),
    onResize(frontier.node, (width) => { frontier.fit(width); draw(); }),
  ];
  rescale();
  return () => {
    [...stops, controls.beta.stop, controls.prompt.stop, controls.shift.stop, ...rows.map((row) => row.stop), drag.stop]
      .forEach((stop) => stop());
    close();
  };
}

function stateOf(model) {
  const [prompt, shift] = [model.get("shown_prompt"), model.get("shift")];
  return {
    beta: model.get("beta"),
    prompt,
    shift,
    reference: model.get("references")[prompt],
    rewards: model.get("rewards").map((reward) => reward + shift),
  };
}

function makeControls(model) {
  const given = model.get("given_rewards");
  return {
    beta: slider(model, { name: "beta", label: "β", low: 0.05, high: 20, least: 0.001, most: 100, log: true }),
    prompt: menu(model, {
      name: "prompt", label: "prompt", names: ["shown_prompt"], options: Object.keys(given).map((prompt) => [prompt, prompt]),
      get: () => model.get("shown_prompt"),
      set: (prompt) => assign(model, { shown_prompt: prompt, rewards: given[prompt] }), // a prompt also sets its rewards
    }),
    shift: slider(model, { name: "shift", label: "add to every reward", low: -5, high: 5, least: -50, most: 50,
                           step: 0.25, show: (value) => signed(value, 2) }),
    reset: button("reset", () => assign(model, { rewards: given[model.get("shown_prompt")], shift: 0 }),
      { class: "dt-button dt-small", title: "the rewards of this prompt, nothing added" }),
  };
}

function heading(reset) {
  return html("div", { class: "dt-tilt-row dt-tilt-head" }, html("span", {}, "response"),
              html("span", { class: "dt-legend" }, legendEntry("reference", "reference"), legendEntry("policy", "optimum")),
              html("span", { class: "dt-between" }, "reward (drag it)", reset));
}

function makeRow(model, text, i) {
  const reward = slider(model, {
    name: `reward-${i}`, names: ["rewards"], label: `reward of “${text}”`, low: -5, high: 5, least: -50, most: 50,
    step: 0.1, show: (value) => signed(value, 1),
    get: () => model.get("rewards")[i],
    set: (value) => assign(model, { rewards: model.get("rewards").map((old, j) => (j === i ? value : old)) }),
  });
  const before = bar("reference", "reference");
  const after = bar("policy", "optimum");
  const node = html("div", { class: "dt-tilt-row" }, html("span", { class: "dt-tilt-text" }, text),
                    html("div", { class: "dt-bars" }, before.node, after.node), reward.node);
  return {
    node,
    stop: reward.stop,
    draw(p, q) {
      before.set(p, plain(p, 3));
      after.set(q, plain(q, 3));
    },
  };
}

function makeNumbers() {
  const cells = ["reward", "kl", "logZ", "z", "objective", "same"].map((name) =>
    [name, html("dd", { "data-value": name }, "")]);
  const names = { reward: "expected reward, E[r]", kl: "KL to the reference, nats", logZ: "log Z", z: "Z",
                  objective: "E[r] − β KL", same: "β log Z (equal)" };
  const list = html("dl", { class: "dt-numbers" }, ...cells.flatMap(([name, cell]) => [html("dt", {}, names[name]), cell]));
  const note = html("p", { class: "dt-muted" }, "");
  const by = Object.fromEntries(cells);
  return {
    node: html("div", { class: "dt-words" }, html("h4", {}, "In numbers"), list, note),
    draw({ beta, shift }, { reward, kl, logZ }) {
      setText(by.reward, signed(reward, 3));
      setText(by.kl, plain(kl, 3));
      setText(by.logZ, plain(logZ, 3));
      setText(by.z, exponential(logZ));
      setText(by.objective, signed(reward - beta * kl, 3));
      setText(by.same, signed(beta * logZ, 3));
      setText(note, shift === 0 ? "Add a constant to every reward, and see which of these change."
        : `${signed(shift)} on every reward: E[r] and β log Z changed by exactly that. Bars and KL did not change.`);
    },
  };
}

function makeFrontier() {
  const picture = chart({ label: "expected reward against KL", height: 210, x: [0, 4], y: [-1, 2],
                          xLabel: "KL to the reference, nats", yLabel: "expected reward" });
  const line = svg("path", { class: "dt-line dt-stroke-policy" });
  const start = svg("circle", { r: 6, class: "dt-fill-reference" });
  const dot = svg("circle", { r: 6.5, class: "dt-dot" });
  picture.marks.append(line);
  picture.over.append(start, dot);
  return {
    node: html("div", { class: "dt-plot" }, html("h4", {}, "More reward costs more KL"),
               html("p", { class: "dt-legend" }, legendEntry("policy", "every β"),
                    legendEntry("reference dt-key-dot", "the reference"), legendEntry("ink dt-key-dot", "this β")),
               picture.node),
    fit: picture.resize,
    // The axes are fixed during a drag, and rescaled when it ends.
    rescale({ reference, rewards }) {
      const y = roundRange(Math.min(...rewards), Math.max(...rewards));
      picture.setRange({ x: [0, Math.ceil(-Math.log(Math.min(...reference)))], y: y[0] === y[1] ? [y[0] - 1, y[1] + 1] : y });
    },
    draw({ reference, rewards }, { reward, kl }) {
      const points = BETAS.map((beta) => tilt(reference, rewards, beta)).map((at) => [at.kl, at.reward]);
      const referenceReward = sum(reference.map((p, i) => p * rewards[i]));
      setAttributes(line, { d: picture.path([[0, referenceReward], ...points]) });
      picture.place(start, [0, referenceReward]);
      picture.place(dot, [kl, reward]);
    },
  };
}

const BETAS = Array.from({ length: 121 }, (_, i) => 10 ** (2 - i / 24));

function headline(distance) {
  if (distance < 0.02) return "The optimum is almost the reference: KL is costly, or the rewards are similar.";
  if (distance > 2) return "The optimum follows the reward, and is far from the reference.";
  return "In between: the optimum is the reference, tilted towards the reward.";
}

function inWords({ beta, prompt }, { reward, kl, logZ }) {
  return `β ${brief(beta)}, prompt ${prompt} Expected reward ${signed(reward, 3)}, KL ${plain(kl, 3)} nats, ` +
    `log Z ${plain(logZ, 3)}, reward minus β KL ${signed(reward - beta * kl, 3)}.`;
}

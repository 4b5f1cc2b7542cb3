// The reference as bars over readable responses, tilted by exp(reward / beta) to the optimum.

import { sum, tilt } from "./dpo.js";
import { html, put, say, svg } from "./nodes.js";
import { brief, exponential, plain, roundRange, signed } from "./numbers.js";
import { assign, paced, watch } from "./model.js";
import { button, key, menu, slider } from "./controls.js";
import { drags, follow, frame } from "./frame.js";
import { chart } from "./chart.js";
import { bar } from "./bars.js";

const NAMES = ["beta", "prompt", "rewards", "shift"];

export function betaTilt({ model: traits, el }) {
  const model = paced(traits);
  const { root, body, finding, read, close } = frame(el, "How far the reward tilts the reference", model);
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
    finding(headline(found.kl));
    rows.forEach((row, i) => row.draw(state.reference[i], found.policy[i]));
    numbers.draw(state, found);
    frontier.draw(state, found);
    read(inWords(state, found));
  };
  const settle = () => {
    frontier.settle(stateOf(model));
    draw();
  };
  const hand = drags(root, settle);
  const stops = [
    watch(model, ["prompt"], () => assign(model, { rewards: model.get("given")[model.get("prompt")] })),
    watch(model, NAMES, () => (hand.held ? draw() : settle())),
    follow(frontier.node, (width) => { frontier.fit(width); draw(); }),
  ];
  settle();
  return () => {
    [...stops, controls.beta.stop, controls.prompt.stop, controls.shift.stop, ...rows.map((row) => row.stop), hand.stop]
      .forEach((stop) => stop());
    close();
  };
}

function stateOf(model) {
  const shift = model.get("shift");
  return {
    beta: model.get("beta"),
    prompt: model.get("prompt"),
    shift,
    reference: model.get("references")[model.get("prompt")],
    rewards: model.get("rewards").map((reward) => reward + shift),
  };
}

function makeControls(model) {
  return {
    beta: slider(model, { name: "beta", label: "β", low: 0.05, high: 20, least: 0.001, most: 100, log: true }),
    prompt: menu(model, { name: "prompt", label: "prompt", options: Object.keys(model.get("given")).map((p) => [p, p]) }),
    shift: slider(model, { name: "shift", label: "add to every reward", low: -5, high: 5, least: -50, most: 50,
                           step: 0.25, show: (value) => signed(value, 2) }),
    reset: button("as given", () =>
      assign(model, { rewards: model.get("given")[model.get("prompt")], shift: 0 }),
      { class: "dt-button dt-small", title: "the rewards of this prompt, and nothing added" }),
  };
}

function heading(reset) {
  return html("div", { class: "dt-tilt-row dt-tilt-head" }, html("span", {}, "response"),
              html("span", { class: "dt-legend" }, key("reference", "reference"), key("policy", "optimum")),
              html("span", { class: "dt-between" }, "its reward: drag it", reset));
}

function makeRow(model, text, i) {
  const reward = slider(model, {
    name: `reward-${i}`, names: ["rewards"], label: `reward of “${text}”`, low: -5, high: 5, least: -50, most: 50, step: 0.1,
    show: (value) => signed(value, 1),
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
                  objective: "E[r] − β KL", same: "β log Z, the same" };
  const list = html("dl", { class: "dt-numbers" }, ...cells.flatMap(([name, cell]) => [html("dt", {}, names[name]), cell]));
  const note = html("p", { class: "dt-muted" }, "");
  const by = Object.fromEntries(cells);
  return {
    node: html("div", { class: "dt-words" }, html("h4", {}, "In numbers"), list, note),
    draw({ beta, shift }, { reward, kl, logZ }) {
      say(by.reward, signed(reward, 3));
      say(by.kl, plain(kl, 3));
      say(by.logZ, plain(logZ, 3));
      say(by.z, exponential(logZ));
      say(by.objective, signed(reward - beta * kl, 3));
      say(by.same, signed(beta * logZ, 3));
      say(note, shift === 0 ? "Add a constant to every reward, and see which of these move."
        : `${signed(shift)} on every reward: E[r] and β log Z moved by just that. Bars and KL did not move at all.`);
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
    node: html("div", { class: "dt-plot" }, html("h4", {}, "Reward is bought with KL"),
               html("p", { class: "dt-legend" }, key("policy", "every β"), key("reference dt-key-dot", "the reference"), key("ink dt-key-dot", "this β")),
               picture.node),
    fit: picture.resize,
    // The axes are set when a hand lets go, and stand still while it drags.
    settle({ reference, rewards }) {
      const y = roundRange(Math.min(...rewards), Math.max(...rewards));
      picture.range({ x: [0, Math.ceil(-Math.log(Math.min(...reference)))], y: y[0] === y[1] ? [y[0] - 1, y[1] + 1] : y });
    },
    draw({ reference, rewards }, { reward, kl }) {
      const points = BETAS.map((beta) => tilt(reference, rewards, beta)).map((at) => [at.kl, at.reward]);
      const home = sum(reference.map((p, i) => p * rewards[i]));
      put(line, { d: picture.path([[0, home], ...points]) });
      place(picture, start, [0, home], "dt-fill-reference");
      place(picture, dot, [kl, reward], "dt-dot");
    },
  };
}

const BETAS = Array.from({ length: 121 }, (_, i) => 10 ** (2 - i / 24));

function place(picture, mark, point, name) {
  const [x, y] = picture.inside(point);
  put(mark, { cx: picture.px(x), cy: picture.py(y), class: x === point[0] && y === point[1] ? name : `${name} dt-away` });
}

function headline(distance) {
  if (distance < 0.02) return "The optimum is the reference, near enough: KL is dear, or the rewards are alike.";
  if (distance > 2) return "The optimum chases the reward, and forgets where it came from.";
  return "In between: the optimum is the reference, tilted towards the reward.";
}

function inWords({ beta, prompt }, { reward, kl, logZ }) {
  return `β ${brief(beta)}, prompt ${prompt} Expected reward ${signed(reward, 3)}, KL ${plain(kl, 3)} nats, ` +
    `log Z ${plain(logZ, 3)}, reward minus β KL ${signed(reward - beta * kl, 3)}.`;
}

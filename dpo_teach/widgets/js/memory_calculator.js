// The memory that the models of RLHF and DPO need.

import { countMemory, sum, totalOf } from "./dpo.js";
import { brief, checkbox, html, menu, setText, slider, throttled, watch } from "./dom.js";
import { frame } from "./frame.js";
import { setWidth } from "./chart.js";

const SETTINGS = ["billions", "dtype", "optimizer", "precomputed_reference", "lora"];
const ROLES = { RLHF: ["policy", "value", "reward", "reference"], DPO: ["policy", "reference"] };
const PARTS = ["weights", "gradients", "optimizer"];
const AXIS = 160; // GB; a fixed axis, so that a larger model has longer bars
const GPUS = [24, 80]; // GB of memory

export function memoryCalculator({ model: traits, el }) {
  const model = throttled(traits);
  const { body, setHeadline, announce, close } = frame(el, "Models in memory", model);
  const controls = makeControls(model);
  const rows = Object.entries(ROLES).flatMap(([pipeline, roles]) => roles.map((role) => makeRow(pipeline, role)));
  body.append(
    html("div", { class: "dt-controls" }, controls.billions.node, controls.dtype.node, controls.optimizer.node),
    html("div", { class: "dt-controls" }, controls.precomputed_reference.node, controls.lora.node),
    legend(),
    html("div", { class: "dt-memory" }, ...rows.map((row) => row.node), axis()),
    html("p", { class: "dt-muted" },
         `1 GB is 10⁹ bytes; ▶ a bar that is longer than the axis of ${AXIS} GB. Activations are not counted: they grow with ` +
         "batch size and length."),
  );

  const draw = () => {
    const state = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    const found = countMemory(1e9 * state.billions, state.dtype, state.optimizer, state.precomputed_reference, state.lora,
                              model.get("rules"));
    const [rlhf, dpo] = [found.RLHF, found.DPO].map((models) => sum(Object.values(models).map(totalOf)));
    rows.forEach((row) => row.draw(found[row.pipeline][row.role], absent(state)));
    const text = `RLHF needs ${gigabytes(rlhf)}, DPO ${gigabytes(dpo)}: a factor of ${(rlhf / dpo).toFixed(1)}.`;
    setHeadline(text);
    announce(`${brief(state.billions)} billion parameters, ${state.dtype}, ${state.optimizer}. ${text}`);
  };
  const stop = watch(model, SETTINGS, draw);
  draw();
  return () => {
    stop();
    Object.values(controls).forEach((control) => control.stop());
    close();
  };
}

function makeControls(model) {
  return {
    billions: slider(model, { name: "billions", label: "parameters of one model, 10⁹", text: "parameters, 10⁹", low: 0.1, high: 100, least: 0.001,
                              most: 1000, log: true }),
    dtype: menu(model, { name: "dtype", label: "weight format", options: model.get("dtypes").map((name) => [name, name]) }),
    optimizer: menu(model, { name: "optimizer", label: "optimizer",
                             options: [["none", "none: weights only"], ["sgd", "SGD"], ["adamw", "AdamW"]] }),
    precomputed_reference: checkbox(model, { name: "precomputed_reference", label: "reference precomputed" }),
    lora: checkbox(model, { name: "lora", label: "LoRA: train a 1 % adapter" }),
  };
}

function legend() {
  return html("p", { class: "dt-legend" }, ...PARTS.map((part) =>
    html("span", { class: "dt-entry" }, html("i", { class: `dt-square dt-part-${part}` }), part)));
}

// The memory of a GPU, as a line through every bar and a number below them.
function axis() {
  const numbers = GPUS.map((size) => html("span", { style: `--at: ${(100 * size) / AXIS}%` }, `${size} GB`));
  return html("div", { class: "dt-memory-row" }, html("span", { class: "dt-muted" }, "one GPU"), html("div", { class: "dt-axis" }, ...numbers));
}

function makeRow(pipeline, role) {
  const fills = Object.fromEntries(PARTS.map((part) => [part, html("i", { class: `dt-part dt-part-${part}` })]));
  const lines = GPUS.map((size) => html("i", { class: "dt-gpu", style: `--at: ${(100 * size) / AXIS}%` }));
  const absence = html("span", { class: "dt-why" }, "");
  const number = html("span", { class: "dt-bar-number", "data-value": `${pipeline}-${role}` }, "");
  const node = html("div", { class: `dt-memory-row dt-memory-${pipeline}` }, html("span", {}, `${pipeline}: ${role}`),
                    html("div", { class: "dt-memory-track" }, ...Object.values(fills), ...lines, absence), number);
  return {
    node, pipeline, role,
    draw(model, why) {
      const scale = Math.max(1e9 * AXIS, totalOf(model)); // a bar that is too long keeps the proportions of its parts
      for (const part of PARTS) setWidth(fills[part], (model ? model[part] : 0) / scale);
      setText(number, model ? `${gigabytes(totalOf(model))}${totalOf(model) > 1e9 * AXIS ? " ▶" : ""}` : "");
      setText(absence, model ? "" : why);
    },
  };
}

function absent({ lora }) {
  return lora ? "the policy without its adapter" : "precomputed, then freed";
}

function gigabytes(bytes) {
  return `${brief(bytes / 1e9)} GB`;
}

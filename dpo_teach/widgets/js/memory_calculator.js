// The memory that the models of RLHF and DPO need.

import { countMemory, sum, totalOf } from "./dpo.js";
import { brief, checkbox, html, menu, setText, slider, throttled, watch } from "./dom.js";
import { frame, trackDrag } from "./frame.js";
import { setWidth } from "./chart.js";

const SETTINGS = ["billions", "dtype", "optimizer", "precomputed_reference", "lora"];
const ROLES = { RLHF: ["policy", "value", "reward", "reference"], DPO: ["policy", "reference"] };
const PARTS = ["weights", "gradients", "optimizer"];

export function memoryCalculator({ model: traits, el }) {
  const model = throttled(traits);
  const { root, body, setHeadline, announce, close } = frame(el, "Models in memory", model);
  const controls = makeControls(model);
  const rows = Object.entries(ROLES).flatMap(([pipeline, roles]) => roles.map((role) => makeRow(pipeline, role)));
  const scaleText = html("span", { "data-value": "scale" }, "");
  let scale = 1;
  body.append(
    html("div", { class: "dt-controls" }, controls.billions.node, controls.dtype.node, controls.optimizer.node),
    html("div", { class: "dt-controls" }, controls.precomputed_reference.node, controls.lora.node),
    legend(scaleText),
    html("div", { class: "dt-memory" }, ...rows.map((row) => row.node)),
    html("p", { class: "dt-muted" },
         "1 GB is 10⁹ bytes. Activations are not counted: they grow with batch size and length."),
  );

  const draw = () => {
    const state = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    const found = countMemory(1e9 * state.billions, state.dtype, state.optimizer, state.precomputed_reference, state.lora,
                              model.get("rules"));
    const [rlhf, dpo] = [found.RLHF, found.DPO].map((models) => sum(Object.values(models).map(totalOf)));
    if (!drag.active) scale = roundScale(Math.max(...rows.map((row) => totalOf(found[row.pipeline][row.role]))));
    rows.forEach((row) => row.draw(found[row.pipeline][row.role], scale, absent(state)));
    setText(scaleText, `from 0 to ${gigabytes(scale)}`);
    const text = `RLHF needs ${gigabytes(rlhf)}, DPO ${gigabytes(dpo)}: a factor of ${(rlhf / dpo).toFixed(1)}.`;
    setHeadline(text);
    announce(`${brief(state.billions)} billion parameters, ${state.dtype}, ${state.optimizer}. ${text}`);
  };
  const drag = trackDrag(root, draw);
  const stop = watch(model, SETTINGS, draw);
  draw();
  return () => {
    stop();
    drag.stop();
    Object.values(controls).forEach((control) => control.stop());
    close();
  };
}

function makeControls(model) {
  return {
    billions: slider(model, { name: "billions", label: "parameters of one model, 10⁹", low: 0.1, high: 100, least: 0.001,
                              most: 1000, log: true }),
    dtype: menu(model, { name: "dtype", label: "weight format", options: model.get("dtypes").map((name) => [name, name]) }),
    optimizer: menu(model, { name: "optimizer", label: "optimizer",
                             options: [["none", "none: weights only"], ["sgd", "SGD"], ["adamw", "AdamW"]] }),
    precomputed_reference: checkbox(model, { name: "precomputed_reference", label: "reference precomputed" }),
    lora: checkbox(model, { name: "lora", label: "LoRA: train a 1 % adapter" }),
  };
}

// A round number of bytes that is large enough: 1, 2 or 5 times a power of ten.
function roundScale(bytes) {
  const power = 10 ** Math.floor(Math.log10(bytes));
  return power * [1, 2, 5, 10].find((part) => part * power >= bytes);
}

function legend(scaleText) {
  const keys = PARTS.flatMap((part) => [html("i", { class: `dt-square dt-part-${part}` }), part]);
  return html("p", { class: "dt-legend dt-between" }, html("span", { class: "dt-legend" }, ...keys), scaleText);
}

function makeRow(pipeline, role) {
  const fills = Object.fromEntries(PARTS.map((part) => [part, html("i", { class: `dt-part dt-part-${part}` })]));
  const number = html("span", { class: "dt-bar-number", "data-value": `${pipeline}-${role}` }, "");
  const node = html("div", { class: `dt-memory-row dt-memory-${pipeline}` }, html("span", {}, `${pipeline}: ${role}`),
                    html("div", { class: "dt-memory-track" }, ...Object.values(fills)), number);
  return {
    node, pipeline, role,
    draw(model, scale, why) {
      for (const part of PARTS) setWidth(fills[part], (model ? model[part] : 0) / scale);
      setText(number, model ? gigabytes(totalOf(model)) : why);
    },
  };
}

function absent({ lora }) {
  return lora ? "the policy without its adapter" : "precomputed, then freed";
}

function gigabytes(bytes) {
  return `${brief(bytes / 1e9)} GB`;
}

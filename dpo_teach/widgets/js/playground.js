// The explorers on a page without Python.

import { createModel } from "./kernelless_model.js";
import { lossExplorer } from "./loss_explorer.js";
import { betaTilt } from "./beta_tilt.js";
import { gradientWeights } from "./gradient_weights.js";
import { logRatioPlane } from "./log_ratio_plane.js";
import { lossFamily } from "./loss_family.js";
import { memoryCalculator } from "./memory_calculator.js";

const EXPLORERS = { lossExplorer, betaTilt, gradientWeights, logRatioPlane, lossFamily, memoryCalculator };

// Put an explorer into an element that names one. Tests read its model from the element.
export function fillPlace(el, state) {
  el.model = createModel(state);
  EXPLORERS[el.dataset.explorer]({ model: el.model, el });
}

// Fill every place of the page, each from the state of the explorer that it names.
export function fillPage(states) {
  for (const el of document.querySelectorAll("[data-explorer]")) fillPlace(el, states[el.dataset.explorer]);
}

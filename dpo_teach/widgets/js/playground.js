// The explorers on a page of their own, with nothing behind it.

import { createModel } from "./host.js";
import { lossExplorer } from "./loss_explorer.js";
import { betaTilt } from "./beta_tilt.js";
import { gradientWeights } from "./gradient_weights.js";
import { memoryCalculator } from "./memory_calculator.js";

const EXPLORERS = { lossExplorer, betaTilt, gradientWeights, memoryCalculator };

// Put an explorer into each element that names one; its model is kept on the element, for whoever looks.
export function fillPage(states) {
  for (const el of document.querySelectorAll("[data-explorer]")) {
    const name = el.dataset.explorer;
    el.model = createModel(states[name]);
    EXPLORERS[name]({ model: el.model, el });
  }
}

// The losses of the family for one pair, with their derivatives: the same functions as in `widgets/family_numbers.py`.
// A browser test compares them with the package, which differentiates by autograd, to 1e-9.

import { logSigmoid, sigmoid } from "./dpo.js";

export const REFERENCE_MEAN_LOGP = -1.25; // nats per token
const HALVINGS = 60;

// A number with its derivatives: [value, by the chosen log-ratio, by the rejected one].
const constant = (value) => [value, 0, 0];
const plus = (a, b) => a.map((part, i) => part + b[i]);
const times = (factor, a) => a.map((part) => factor * part);
const minus = (a, b) => plus(a, times(-1, b));
const through = ([value, dx, dy], image, slope) => [image(value), slope(value) * dx, slope(value) * dy];

const sigma = (a) => through(a, sigmoid, (v) => sigmoid(v) * sigmoid(-v));
const nll = (a) => through(a, (v) => -logSigmoid(v), (v) => -sigmoid(-v));
const square = (a) => through(a, (v) => v * v, (v) => 2 * v);
const positivePart = (a) => through(a, (v) => Math.max(v, 0), (v) => (v > 0 ? 1 : 0));
const logOdds = (a) => through(a, (v) => v - Math.log(-Math.expm1(v)), (v) => -1 / Math.expm1(v));

// By name: the loss, from a pair (see `pairOf`) and the settings.
export const LOSSES = {
  sigmoid: ({ margin }, { label_smoothing: e }) => plus(times(1 - e, nll(margin)), times(e, nll(times(-1, margin)))),
  robust: ({ margin }, { label_smoothing: e }) =>
    times(1 / (1 - 2 * e), minus(times(1 - e, nll(margin)), times(e, nll(times(-1, margin))))),
  hinge: ({ margin }) => positivePart(minus(constant(1), margin)),
  ipo: ({ difference }, { beta }) => square(minus(difference, constant(1 / (2 * beta)))),
  ipo_mean: ({ perToken }, { beta }) => square(minus(perToken, constant(1 / (2 * beta)))),
  sigmoid_norm: ({ perToken }, { beta }) => nll(times(beta, perToken)),
  simpo: ({ chosenMean, rejectedMean }, { beta, gamma }) => nll(minus(times(beta, minus(chosenMean, rejectedMean)), constant(gamma))),
  orpo: ({ chosenMean, rejectedMean }, { beta }) =>
    minus(times(beta, nll(minus(logOdds(chosenMean), logOdds(rejectedMean)))), chosenMean),
  kto: ({ chosen, rejected }, { beta }, kl) =>
    times(0.5, plus(sigma(times(-beta, minus(chosen, constant(kl)))), sigma(times(beta, minus(rejected, constant(kl)))))),
  apo_zero: ({ chosen, rejected }, { beta }) => plus(sigma(times(-beta, chosen)), sigma(times(beta, rejected))),
  apo_down: ({ chosen, margin }, { beta }) => plus(sigma(times(beta, chosen)), sigma(times(-1, margin))),
  rpo: ({ margin, chosenMean }, { sft_weight: weight }) => minus(nll(margin), times(weight, chosenMean)),
};

// What the losses are functions of.
function pairOf(x, y, beta, [chosenLength, rejectedLength]) {
  const [chosen, rejected] = [[x, 1, 0], [y, 0, 1]];
  const mean = (logRatio, length) => plus(times(1 / length, logRatio), constant(REFERENCE_MEAN_LOGP));
  const difference = minus(chosen, rejected);
  return {
    chosen, rejected, difference,
    margin: times(beta, difference),
    perToken: minus(times(1 / chosenLength, chosen), times(1 / rejectedLength, rejected)),
    chosenMean: mean(chosen, chosenLength),
    rejectedMean: mean(rejected, rejectedLength),
  };
}

// The loss of a pair and the pull on its two log-ratios. `state` has the loss, its settings, the lengths and KTO's z0.
export function readFamily(x, y, { loss, settings, lengths, kl }) {
  const [value, dx, dy] = LOSSES[loss](pairOf(x, y, settings.beta, lengths), settings, kl);
  return { loss: value, chosenPull: -dx, rejectedPull: -dy };
}

// The difference at which the loss stops falling if x + y is held constant; null if it falls up to `most`.
export function bestDifference(total, state, most) {
  const falls = (difference) => {
    const { chosenPull, rejectedPull } = readFamily((total + difference) / 2, (total - difference) / 2, state);
    return chosenPull - rejectedPull > 0;
  };
  if (falls(most)) return null;
  let [low, high] = [0, most];
  for (let i = 0; i < HALVINGS; i += 1) {
    const middle = (low + high) / 2;
    if (falls(middle)) low = middle;
    else high = middle;
  }
  return high;
}

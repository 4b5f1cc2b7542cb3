// The arithmetic of the explorers: the same formulas as in `dpo_teach.losses`, `worlds.tabular` and `memory`.
// A browser test compares each function with its Python counterpart on a grid, to 1e-9.

// log sigma(x), without overflow for any x.
export function logSigmoid(x) {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

// sigma(x) = 1 / (1 + exp(-x)).
export function sigmoid(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

// One pair, from four log-probabilities (nats) to the gradient weight.
export function readPair({ policyChosen, policyRejected, referenceChosen, referenceRejected, beta, agreement }) {
  const chosenLogRatio = policyChosen - referenceChosen;
  const rejectedLogRatio = policyRejected - referenceRejected;
  const difference = chosenLogRatio - rejectedLogRatio;
  const margin = beta * difference;
  return {
    chosenLogRatio,
    rejectedLogRatio,
    difference,
    margin,
    probability: sigmoid(margin),
    loss: -logSigmoid(margin),
    gradientWeight: beta * sigmoid(-margin),
    bestDifference: Math.log(agreement / (1 - agreement)) / beta,
  };
}

const [LEAST, MOST] = [-2000, 0]; // of a log-probability, nats

// The policy's log-probabilities with a given difference of the log-ratios: both move by the same amount, as the gradient
// moves them, unless one of them reaches a bound.
export function moveApart(difference, { policyChosen, policyRejected, referenceChosen, referenceRejected }) {
  const gap = Math.min(Math.max(difference + referenceChosen - referenceRejected, LEAST - MOST), MOST - LEAST);
  const middle = (policyChosen + policyRejected) / 2;
  const chosen = Math.min(Math.max(middle + gap / 2, LEAST, LEAST + gap), MOST, MOST + gap);
  return [chosen, Math.min(Math.max(chosen - gap, LEAST), MOST)];
}

// The policy's log-probability with a given log-ratio.
export function policyAt(logRatio, reference) {
  return Math.min(Math.max(reference + logRatio, LEAST), MOST);
}

// The mean loss over annotators, of whom a share `agreement` prefers the chosen response.
export function expectedLoss(difference, beta, agreement) {
  return -agreement * logSigmoid(beta * difference) - (1 - agreement) * logSigmoid(-beta * difference);
}

// One point of the plane of the log-ratios: margin, loss with label smoothing, and the weight of the step, which pushes the
// chosen log-ratio up and the rejected one down.
export function readPoint(chosen, rejected, beta, smoothing) {
  const difference = chosen - rejected;
  const margin = beta * difference;
  return {
    difference,
    margin,
    loss: lossAt(margin, smoothing),
    gradientWeight: beta * (sigmoid(-margin) - smoothing),
    bestDifference: bestMargin(smoothing) / beta,
    quadrant: quadrantOf(chosen, rejected),
  };
}

export function lossAt(margin, smoothing) {
  return -(1 - smoothing) * logSigmoid(margin) - smoothing * logSigmoid(-margin);
}

function bestMargin(smoothing) {
  return Math.log((1 - smoothing) / smoothing);
}

// Which log-ratios rose, in words.
export function quadrantOf(x, y) {
  if (x === 0 && y === 0) return "policy = reference";
  if (x * y <= 0) return x > y ? "chosen up, rejected down" : "chosen down, rejected up";
  const moved = x > 0 ? "both rose" : "both fell";
  if (x === y) return `${moved} equally`;
  return `${moved}, ${Math.abs(x) > Math.abs(y) ? "chosen" : "rejected"} more`;
}

const HALVINGS = 100; // of an interval of margins: more than the digits of a float

// The two margins with a given loss, below and above the margin of the lowest loss; null if the loss is nowhere so low.
export function marginsAtLoss(loss, smoothing) {
  if (smoothing === 0) return [-loss - Math.log(-Math.expm1(-loss)), Infinity];
  const best = bestMargin(smoothing);
  if (loss < lossAt(best, smoothing)) return null;
  return [-loss / (1 - smoothing), loss / smoothing].map((outside) => {
    let inside = best;
    for (let i = 0; i < HALVINGS; i += 1) {
      const middle = (outside + inside) / 2;
      if (lossAt(middle, smoothing) > loss) outside = middle;
      else inside = middle;
    }
    return inside;
  });
}

// The policy that maximises "reward minus beta KL": the reference, tilted by exp(reward / beta).
export function tilt(reference, rewards, beta) {
  const logits = reference.map((p, i) => Math.log(p) + rewards[i] / beta);
  const largest = Math.max(...logits);
  const logZ = largest + Math.log(sum(logits.map((logit) => Math.exp(logit - largest))));
  const policy = logits.map((logit) => Math.exp(logit - logZ));
  return {
    policy,
    logZ,
    reward: sum(policy.map((p, i) => p * rewards[i])),
    kl: sum(policy.map((p, i) => p * (rewards[i] / beta - logZ))),
  };
}

// The margin, weight and share of the pull of each pair in a batch.
export function weighBatch(differences, beta) {
  const margins = differences.map((difference) => beta * difference);
  const weights = margins.map((margin) => beta * sigmoid(-margin));
  // Compute the shares from logarithms: all weights may be too small to be added.
  const logs = margins.map((margin) => logSigmoid(-margin));
  const largest = Math.max(...logs);
  const parts = logs.map((log) => Math.exp(log - largest));
  const whole = sum(parts);
  return { margins, weights, shares: parts.map((part) => part / whole) };
}

// Bytes of each model of RLHF and of DPO; `rules` are the tables of `dpo_teach.memory`.
export function countMemory(parameters, dtype, optimizer, precomputedReference, lora, rules) {
  const weightBytes = rules.weight_bytes[dtype];
  const adapter = lora ? parameters * rules.adapter_share : 0;
  const learning = optimizer === "none" ? 0 : lora ? adapter : parameters;
  const state = rules.state_bytes[optimizer] + (rules.master_bytes[dtype] ?? 0);
  const trained = {
    weights: (parameters + adapter) * weightBytes,
    gradients: learning * weightBytes,
    optimizer: learning * state,
  };
  const frozen = { weights: parameters * weightBytes, gradients: 0, optimizer: 0 };
  return {
    RLHF: { policy: trained, value: trained, reward: frozen, reference: lora ? null : frozen },
    DPO: { policy: trained, reference: lora || precomputedReference ? null : frozen },
  };
}

export function totalOf(model) {
  return model ? model.weights + model.gradients + model.optimizer : 0;
}

export function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

// Numbers as they are shown: a real minus sign, as many digits at every value, and never wider than their place.

export function plain(value, digits = 2) {
  const size = Math.abs(value);
  if (size >= 1e7) return value.toExponential(1).replace("-", "−").replace("e+", "e");
  const fewer = size >= 10000 ? digits - 4 : size >= 1000 ? digits - 2 : size >= 100 ? digits - 1 : digits;
  const text = value.toFixed(Math.max(fewer, 0));
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

export function signed(value, digits = 2) {
  const text = plain(value, digits);
  return text.startsWith("−") || Number(text) === 0 ? text : `+${text}`;
}

// As few digits as tell the value: for settings such as beta.
export function brief(value) {
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

export function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

// exp(log), in a form that fits: it may be beyond any number that a machine holds.
export function exponential(log) {
  return Math.abs(log) < 7 ? plain(Math.exp(log), 3) : `10^${plain(log / Math.LN10, 1)}`;
}

// Bounds and ticks at round numbers, so that `low` and `high` lie inside.
export function roundRange(low, high, count = 5) {
  const span = high - low || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= raw * 0.999);
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

export function ticksOf([low, high], count = 5) {
  const [start, end] = roundRange(low, high, count);
  const raw = (end - start) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= raw * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(i * step);
  return ticks;
}

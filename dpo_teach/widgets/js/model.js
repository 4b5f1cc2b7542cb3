// What an explorer does with its model: the traits that Python sees.

const PACE = 200; // milliseconds
const paces = new WeakMap();

// Set several traits and send them to Python, where there is one: at once, and while a hand goes on moving five times a
// second, so that no kernel, and no hub of thirty of them, is sent every pixel of a drag.
export function assign(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  if (paces.has(model)) paces.get(model).more = true;
  else send(model);
}

function send(model) {
  const pace = { more: false };
  paces.set(model, pace);
  model.save_changes();
  setTimeout(() => (pace.more ? send(model) : paces.delete(model)), PACE);
}

// Call `react` whenever one of the traits changes; returns what undoes that.
export function watch(model, names, react) {
  const events = names.map((name) => `change:${name}`);
  events.forEach((event) => model.on(event, react));
  return () => events.forEach((event) => model.off(event, react));
}

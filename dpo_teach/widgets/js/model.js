// What an explorer does with its model: the traits that Python sees.

// Set several traits and send them to Python, where there is one.
export function assign(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

// Call `react` whenever one of the traits changes; returns what undoes that.
export function watch(model, names, react) {
  const events = names.map((name) => `change:${name}`);
  events.forEach((event) => model.on(event, react));
  return () => events.forEach((event) => model.off(event, react));
}

// What an explorer does with its model: the traits that Python sees.

const PACE = 400; // milliseconds

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

// The same model at a hand's pace. What is set is seen and sent at once; while a hand holds a slider it is seen at once and
// sent every 0.4 seconds, for no kernel, and no hub of thirty of them, should be sent every pixel of a drag. Until it is
// sent it lies here and not in the model, whose older value Python still echoes.
export function paced(model) {
  const unsent = new Map();
  const reactions = new Map();
  let waiting = 0;
  let held = false;
  let sending = false;
  const get = (name) => (unsent.has(name) ? unsent.get(name) : model.get(name));
  const react = (name) => [...(reactions.get(`change:${name}`)?.all ?? [])].forEach((reaction) => reaction());
  const send = () => {
    clearTimeout(waiting);
    waiting = 0;
    if (unsent.size === 0) return;
    if (held) waiting = setTimeout(send, PACE);
    sending = true;
    unsent.forEach((value, name) => model.set(name, value));
    sending = false;
    unsent.clear();
    model.save_changes();
  };
  return {
    get,
    set(name, value) {
      if (JSON.stringify(get(name)) === JSON.stringify(value)) return;
      unsent.set(name, value);
      react(name);
    },
    save_changes: () => (held && waiting) || send(),
    hold(is) {
      held = is;
      if (!held) send();
    },
    on(event, reaction) {
      const name = event.replace("change:", "");
      if (!reactions.has(event)) {
        const forward = () => sending || unsent.has(name) || react(name);
        reactions.set(event, { all: new Set(), forward });
        model.on(event, forward);
      }
      reactions.get(event).all.add(reaction);
    },
    off(event, reaction) {
      const { all, forward } = reactions.get(event);
      all.delete(reaction);
      if (all.size > 0) return;
      model.off(event, forward);
      reactions.delete(event);
    },
  };
}

// A model for pages without a kernel: the part of anywidget's model that the explorers use.

export function createModel(state) {
  const values = { ...state };
  const listeners = new Map();
  return {
    get: (name) => values[name],
    set(name, value) {
      if (JSON.stringify(values[name]) === JSON.stringify(value)) return;
      values[name] = value;
      (listeners.get(`change:${name}`) ?? []).slice().forEach((listener) => listener());
    },
    save_changes() {},
    on(event, listener) {
      listeners.set(event, [...(listeners.get(event) ?? []), listener]);
    },
    off(event, listener) {
      listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== listener));
    },
  };
}

// Building blocks of the explorers: nodes, number formats, access to the model's traits, and controls that set them.
// frame.js builds the frame around an explorer, chart.js the charts. widgets/README.md follows one slider through this file.

// Nodes: created once and then changed. Moving a slider adds and removes no node, so the focus stays where it is.

export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

// Changes only the attributes that differ; null removes an attribute.
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

// Reuses the text node that the element already has.
export function setText(element, text) {
  if (!element.firstChild) element.append("");
  if (element.firstChild.data !== text) element.firstChild.data = text;
}

let ids = 0;

export function uniqueId(prefix) {
  ids += 1;
  return `dpo-teach-${prefix}-${ids}`;
}

// Numbers as text: with a real minus sign, and fewer decimals for larger numbers, so that each fits into its place.

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

// At most four significant digits and no trailing zeros: for settings such as beta.
export function brief(value) {
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

export function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

// exp(log), with a power of ten where it is very large or small: it may exceed the largest float.
export function exponential(log) {
  if (Math.abs(log) < 7) return plain(Math.exp(log), 3);
  const power = Math.floor(log / Math.LN10);
  const raised = [...String(power)].map((digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("");
  return `${(10 ** (log / Math.LN10 - power)).toFixed(1)} × 10${raised}`;
}

export function within(value, [low, high]) {
  return Math.min(Math.max(value, low), high);
}

// The model: anywidget's, whose traits are those of the Python object, or kernelless_model.js on a page without Python.

// Set several traits, and send them to Python in one message.
export function assign(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

// Call `react` whenever one of the traits changes; returns a function that stops watching.
export function watch(model, names, react) {
  const events = names.map((name) => `change:${name}`);
  events.forEach((event) => model.on(event, react));
  return () => events.forEach((event) => model.off(event, react));
}

const SEND_EVERY = 400; // milliseconds

// The same model, with fewer messages to Python. The page reacts to every change at once. Python is notified at once,
// too, except during a drag, when it gets a message every 0.4 seconds: a kernel, or a hub with thirty of them, cannot handle
// one message per pixel. Unsent values are kept here and not in the model, so that Python's echo of an older value cannot
// overwrite them.
export function throttled(model) {
  const unsent = new Map();
  const reactions = new Map(); // by event, the reactions to it and the one listener that forwards to them
  let timer = 0;
  let dragging = false;
  let sending = false;
  const get = (name) => (unsent.has(name) ? unsent.get(name) : model.get(name));
  const react = (name) => [...(reactions.get(`change:${name}`)?.all ?? [])].forEach((reaction) => reaction());
  const send = () => {
    clearTimeout(timer);
    timer = 0;
    if (unsent.size === 0) return;
    if (dragging) timer = setTimeout(send, SEND_EVERY);
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
    save_changes: () => (dragging && timer) || send(),
    setDragging(now) {
      dragging = now;
      if (!dragging) send();
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

// Controls: labelled, for keyboard and pointer. Each has a `node`, and a `stop` that stops watching the model.

// A slider for the usual values, with a number box for any value.
//   name, label   the trait, and the label for screen readers
//   text          the label on the page; `label` by default
//   low, high     ends of the slider; `log` for a logarithmic one
//   least, most   what the number box accepts; by default the ends of the slider. `limits` returns both if they vary
//   step, show    the slider's step; a function that formats a value
//   get, set      read and write the value, if it is not a trait itself
//   names         the traits on which the value depends; [name] by default
//   scale         returns the element's ends and step, and the functions `place` and `at`; by default linear or in powers
export function slider(model, spec) {
  const at = { least: spec.low, most: spec.high, step: 0.5, show: brief, names: [spec.name], text: spec.label, ...spec };
  const limits = spec.limits ?? (() => [at.least, at.most]);
  const get = spec.get ?? (() => model.get(at.name));
  const set = spec.set ?? ((value) => assign(model, { [at.name]: value }));
  const range = html("input", { type: "range", id: uniqueId("range"), "aria-label": at.label });
  const box = html("input", { type: "text", inputmode: "decimal", class: "dt-box", autocomplete: "off",
                              "aria-label": `${at.label}, typed` });
  const label = html("label", { for: range.id, class: "dt-label" }, at.text);
  const error = html("span", { class: "dt-error", role: "alert", id: uniqueId("error") }, "");
  setAttributes(box, { "aria-describedby": error.id });
  const node = html("div", { class: "dt-slider", "data-name": at.name }, label, range, box, error);
  const scale = spec.scale ?? (() => (at.log ? powers(at.low, at.high) : linear(at)));

  const refresh = () => {
    const value = get();
    const { min, max, step, place } = scale();
    setAttributes(range, { min, max, step });
    const shown = within(place(value), [min, max]);
    if (Number(range.value) !== shown) range.value = shown;
    setAttributes(range, { "aria-valuetext": `${at.show(value)}${at.unit ? ` ${at.unit}` : ""}` });
    if (box !== box.getRootNode().activeElement || !box.classList.contains("dt-typing")) box.value = at.show(value);
  };
  const setEnds = (low, high) => {
    Object.assign(at, { low, high });
    refresh();
  };
  const complain = (text) => {
    setText(error, text);
    setAttributes(box, { "aria-invalid": text ? "true" : null });
    box.classList.toggle("dt-typing", text !== ""); // keep the typed text, so that it can be corrected
  };

  range.addEventListener("input", () => {
    complain("");
    set(scale().at(Number(range.value)));
    refresh(); // `set` may not have accepted all of it
  });
  let before = get(); // the value when the drag began
  range.addEventListener("pointerdown", () => {
    before = get();
    model.setDragging?.(true);
  });
  range.addEventListener("pointercancel", () => { // the touch has turned into scrolling the page
    set(before);
    refresh();
  });
  for (const end of ["change", "pointerup", "pointercancel"]) range.addEventListener(end, () => model.setDragging?.(false));
  box.addEventListener("input", () => box.classList.add("dt-typing"));
  box.addEventListener("change", () => {
    const value = Number(box.value.replace("−", "-").replace(",", "."));
    const [least, most] = limits();
    const good = box.value.trim() !== "" && value >= least && value <= most;
    complain(good ? "" : `${at.label}: enter a number from ${brief(least)} to ${brief(most)}`);
    if (good) set(value);
  });
  box.addEventListener("blur", () => { // whoever moves on sees the value that counts
    complain("");
    refresh();
  });
  refresh();
  return { node, range, box, refresh, setEnds, stop: watch(model, at.names, refresh) };
}

// The scales of a slider: the ends and the step of its element, from a value to its place, and back.

function linear({ low, high, step }) {
  return { min: low, max: high, step, place: (value) => value, at: (place) => place };
}

// A hundred steps for each factor of ten. Three digits are enough, and the ends are exact.
function powers(low, high) {
  const steps = Math.round(100 * Math.log10(high / low));
  return {
    min: 0, max: steps, step: 1,
    place: (value) => (steps * Math.log(value / low)) / Math.log(high / low),
    at: (place) => within(Number((low * (high / low) ** (place / steps)).toPrecision(3)), [low, high]),
  };
}

// A menu; `options` are [value, text], and `get`, `set` and `names` are those of a slider.
export function menu(model, { name, label, options, names = [name], get = () => model.get(name),
                              set = (value) => assign(model, { [name]: value }) }) {
  const select = html("select", { id: uniqueId("menu"), class: "dt-menu" });
  for (const [value, text] of options) select.append(html("option", { value }, text));
  const refresh = () => {
    select.value = get();
  };
  select.addEventListener("change", () => {
    set(select.value);
    refresh();
  });
  refresh();
  const node = html("div", { class: "dt-choice", "data-name": name },
                    html("label", { for: select.id, class: "dt-label" }, label), select);
  return { node, refresh, stop: watch(model, names, refresh) };
}

export const CUSTOM = "your own"; // what the menu shows for values that match no preset

// A menu of presets, which are values by trait. The choice is not stored: the menu shows the preset with the current values
// of `traits`, by default all that a preset sets.
export function presetMenu(model, { name, label, presets, traits = Object.keys(Object.values(presets)[0]) }) {
  const same = (values) => traits.every((trait) => JSON.stringify(values[trait]) === JSON.stringify(model.get(trait)));
  return menu(model, {
    name, label, names: traits,
    options: [...Object.keys(presets), CUSTOM].map((preset) => [preset, preset]),
    get: () => Object.keys(presets).find((preset) => same(presets[preset])) ?? CUSTOM,
    set: (preset) => assign(model, presets[preset] ?? {}),
  });
}

export function checkbox(model, { name, label }) {
  const box = html("input", { type: "checkbox", id: uniqueId("checkbox") });
  const refresh = () => {
    box.checked = model.get(name);
  };
  box.addEventListener("change", () => assign(model, { [name]: box.checked }));
  refresh();
  const node = html("div", { class: "dt-checkbox", "data-name": name }, box, html("label", { for: box.id }, label));
  return { node, box, refresh, stop: watch(model, [name], refresh) };
}

export function button(label, press, attributes = {}) {
  const node = html("button", { type: "button", class: "dt-button", ...attributes }, label);
  node.addEventListener("click", press);
  return node;
}

// Sliders, menus, boxes and buttons: labelled, worked by keyboard and by pointer, in step with the model's traits.

import { html, identity, put, say } from "./nodes.js";
import { brief } from "./numbers.js";
import { assign, watch } from "./model.js";

// A slider for the usual values with a number box for any value.
//   name, label   the trait, and what people call it
//   low, high     ends of the slider; `log` if its steps are factors
//   least, most   what the number box accepts; the slider's ends by default
//   step, show    of the slider; how a value is written
//   get, set      of the value, where it is not a trait of its own
export function slider(model, spec) {
  const at = { least: spec.low, most: spec.high, step: 0.5, show: brief, names: [spec.name], ...spec };
  const get = spec.get ?? (() => model.get(at.name));
  const set = spec.set ?? ((value) => assign(model, { [at.name]: value }));
  const range = html("input", { type: "range", id: identity("range") });
  const box = html("input", { type: "text", inputmode: "decimal", class: "dt-box", autocomplete: "off",
                              "aria-label": `${at.label}, typed` });
  const label = html("label", { for: range.id, class: "dt-label" }, at.label);
  const fault = html("span", { class: "dt-fault", role: "alert", id: identity("fault") }, "");
  put(box, { "aria-describedby": fault.id });
  const node = html("div", { class: "dt-slider", "data-name": at.name }, label, range, box, fault);
  const place = (value) => (at.log ? Math.log10(value) : value);

  const refresh = () => {
    const value = get();
    put(range, { min: place(at.low), max: place(at.high), step: at.log ? 0.01 : at.step });
    const shown = Math.min(Math.max(place(value), place(at.low)), place(at.high));
    if (Number(range.value) !== shown) range.value = shown;
    put(range, { "aria-valuetext": `${at.show(value)}${at.unit ? ` ${at.unit}` : ""}` });
    if (box !== box.getRootNode().activeElement || !box.classList.contains("dt-typing")) box.value = at.show(value);
  };
  const limit = (low, high) => {
    Object.assign(at, { low, high });
    refresh();
  };

  range.addEventListener("input", () => {
    const value = at.log ? roundedPower(Number(range.value), at.low, at.high) : Number(range.value);
    say(fault, "");
    put(box, { "aria-invalid": null });
    set(value);
  });
  let taken = get(); // the value when a hand took the slider
  range.addEventListener("pointerdown", () => {
    taken = get();
    model.hold?.(true);
  });
  range.addEventListener("pointercancel", () => { // the finger scrolls the page, and only began on the slider
    set(taken);
    refresh();
  });
  for (const end of ["change", "pointerup", "pointercancel"]) range.addEventListener(end, () => model.hold?.(false));
  box.addEventListener("input", () => box.classList.add("dt-typing"));
  box.addEventListener("change", () => {
    box.classList.remove("dt-typing");
    const value = Number(box.value.replace("−", "-").replace(",", "."));
    const good = box.value.trim() !== "" && value >= at.least && value <= at.most;
    put(box, { "aria-invalid": good ? null : "true" });
    say(fault, good ? "" : `${at.label}: a number from ${brief(at.least)} to ${brief(at.most)} is wanted`);
    if (good) set(value);
    else box.classList.add("dt-typing"); // what was typed stays, to be mended
  });
  refresh();
  return { node, range, box, refresh, limit, stop: watch(model, at.names, refresh) };
}

// Three digits are enough for a factor, and the ends are exact.
function roundedPower(exponent, low, high) {
  const value = Number((10 ** exponent).toPrecision(3));
  return Math.min(Math.max(value, low), high);
}

// A menu; `options` are [value, text].
export function menu(model, { name, label, options }) {
  const select = html("select", { id: identity("menu"), class: "dt-menu" });
  for (const [value, text] of options) select.append(html("option", { value }, text));
  const refresh = () => {
    select.value = model.get(name);
  };
  select.addEventListener("change", () => assign(model, { [name]: select.value }));
  refresh();
  const node = html("div", { class: "dt-choice", "data-name": name },
                    html("label", { for: select.id, class: "dt-label" }, label), select);
  return { node, refresh, stop: watch(model, [name], refresh) };
}

// A box to tick.
export function tick(model, { name, label }) {
  const box = html("input", { type: "checkbox", id: identity("tick") });
  const refresh = () => {
    box.checked = model.get(name);
  };
  box.addEventListener("change", () => assign(model, { [name]: box.checked }));
  refresh();
  const node = html("div", { class: "dt-tick", "data-name": name }, box, html("label", { for: box.id }, label));
  return { node, box, refresh, stop: watch(model, [name], refresh) };
}

export function button(label, press, attributes = {}) {
  const node = html("button", { type: "button", class: "dt-button", ...attributes }, label);
  node.addEventListener("click", press);
  return node;
}

// A line of a legend: the stroke, and what it stands for.
export function key(kind, text) {
  return html("span", { class: "dt-entry" }, html("i", { class: `dt-key dt-key-${kind}` }), text);
}

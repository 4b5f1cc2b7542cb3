// The frame of an explorer: its heading, its finding, room for what it draws, and its reading for who cannot see it.
// A trait `fault` of the model, an error of Python's, is shown where it cannot be missed.

import { html, put, say } from "./nodes.js";
import { watch } from "./model.js";

// Keys that JupyterLab would take for its own; a control needs them, so they stop at the frame.
export function keepKeys(event) {
  const shortcut = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
  if (!shortcut && event.key !== "Escape") event.stopPropagation();
}

export function frame(el, title, model) {
  const headline = html("p", { class: "dt-headline" }, "");
  const fault = html("p", { class: "dt-fault", role: "alert" }, "");
  const body = html("div", { class: "dt-body" });
  const reading = html("p", { class: "dt-reading", role: "status" }, "");
  const root = html("div", { class: "dpo-teach", role: "region", "aria-label": title },
                    html("h3", { class: "dt-title" }, title), headline, fault, body, reading);
  root.addEventListener("keydown", keepKeys);
  el.append(root);
  let waiting = 0;
  const complain = () => {
    const text = model.get("fault");
    put(fault, { hidden: text ? null : "" });
    say(fault, text ? `This panel has a fault. ${text}` : "");
  };
  const stop = watch(model, ["fault"], complain);
  complain();
  return {
    root,
    body,
    finding: (text) => say(headline, text),
    // Told when the hand has come to rest: a screen reader should not read every pixel.
    read(text) {
      clearTimeout(waiting);
      waiting = setTimeout(() => say(reading, text), 300);
    },
    close() {
      clearTimeout(waiting);
      stop();
      root.remove();
    },
  };
}

// Call `fit(width)` when the element's width changes, and at once.
export function follow(element, fit) {
  let last = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== last) fit((last = width));
  });
  observer.observe(element);
  const width = Math.round(element.clientWidth);
  if (width > 0) fit((last = width));
  return () => observer.disconnect();
}

// Whether a pointer holds a slider of the frame at the moment: axes stand still while it does.
export function drags(root, letGo) {
  let held = false;
  const down = (event) => {
    if (event.target.type === "range") held = true;
  };
  const up = () => {
    if (!held) return;
    held = false;
    letGo();
  };
  root.addEventListener("pointerdown", down);
  addEventListener("pointerup", up);
  addEventListener("pointercancel", up);
  return {
    get held() {
      return held;
    },
    stop() {
      removeEventListener("pointerup", up);
      removeEventListener("pointercancel", up);
    },
  };
}

// The frame of an explorer: title, headline, an error from Python, and a description for screen readers.

import { html, setAttributes, setText, watch } from "./dom.js";

export function frame(el, title, model) {
  const headline = html("p", { class: "dt-headline" }, "");
  const head = html("div", { class: "dt-head" }, headline);
  const error = html("p", { class: "dt-error", role: "alert" }, "");
  const body = html("div", { class: "dt-body" });
  const description = html("p", { class: "dt-visually-hidden", role: "status" }, "");
  const root = html("div", { class: "dpo-teach", role: "region", "aria-label": title },
                    html("h3", { class: "dt-title" }, title), head, error, body, description);
  root.addEventListener("keydown", keepKeys);
  el.append(root);
  let timer = 0;
  const showError = () => {
    const text = model.get("error_message");
    setAttributes(error, { hidden: text ? null : "" });
    setText(error, text ? `Error in this panel. ${text}` : "");
  };
  const stop = watch(model, ["error_message"], showError);
  showError();
  return {
    root,
    head,
    body,
    setHeadline: (text) => setText(headline, text),
    // Waits for a pause: a screen reader should not read out every pixel of a drag.
    announce(text) {
      clearTimeout(timer);
      timer = setTimeout(() => setText(description, text), 300);
    },
    close() {
      clearTimeout(timer);
      stop();
      root.remove();
    },
  };
}

// Stop keys that a control needs and JupyterLab would take for shortcuts, such as a double d, which deletes a cell.
export function keepKeys(event) {
  const shortcut = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
  if (!shortcut && event.key !== "Escape") event.stopPropagation();
}

// Whether one of the sliders in `root` is being dragged: the axes are fixed meanwhile, and `onRelease` may rescale them.
export function trackDrag(root, onRelease) {
  let active = false;
  const down = (event) => {
    if (event.target.type === "range") active = true;
  };
  const up = () => {
    if (!active) return;
    active = false;
    onRelease();
  };
  root.addEventListener("pointerdown", down);
  addEventListener("pointerup", up);
  addEventListener("pointercancel", up);
  return {
    get active() {
      return active;
    },
    stop() {
      removeEventListener("pointerup", up);
      removeEventListener("pointercancel", up);
    },
  };
}

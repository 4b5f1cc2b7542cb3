// An image that the kernel replaces after every change: one <img> element, with alternative text.

import { html, setAttributes, setText, watch } from "./dom.js";
import { keepKeys } from "./frame.js";
import { kernelNote } from "./kernel_note.js";

export function imageWithAlt({ model, el }) {
  const picture = html("img", { class: "dt-picture" });
  const description = html("span", { class: "dt-visually-hidden", role: "status" }, "");
  const root = html("div", { class: "dt-image-with-alt" }, picture, description);
  let shown = "";
  const draw = () => {
    const last = shown;
    shown = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    setAttributes(picture, { src: shown, alt: model.get("alt") });
    if (last) picture.addEventListener("load", () => URL.revokeObjectURL(last), { once: true });
  };
  let timer = 0;
  const announce = () => { // after a pause, as in frame.js
    clearTimeout(timer);
    timer = setTimeout(() => setText(description, model.get("alt")), 300);
  };
  const stop = watch(model, ["value"], () => { draw(); announce(); });
  draw();
  const stopNote = kernelNote(model, root);
  el.append(root);
  keepPanelKeys(root);
  return () => {
    stop();
    stopNote();
    clearTimeout(timer);
    URL.revokeObjectURL(shown);
    root.remove();
  };
}

// The controls above the image belong to ipywidgets: JupyterLab must not handle their keys either. The panel is added to
// the page some frames after the image.
function keepPanelKeys(root, tries = 600) {
  const panel = root.closest(".dpo-teach-panel");
  if (panel) panel.addEventListener("keydown", keepKeys);
  else if (tries > 0) requestAnimationFrame(() => keepPanelKeys(root, tries - 1));
}

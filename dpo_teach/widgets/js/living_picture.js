// A picture that the kernel draws anew at every move: one <img> for all of them, with its description.

import { html, put, say } from "./nodes.js";
import { watch } from "./model.js";
import { keepKeys } from "./frame.js";

export function livingPicture({ model, el }) {
  const picture = html("img", { class: "dt-picture" });
  const words = html("span", { class: "dt-reading", role: "status" }, "");
  const root = html("div", { class: "dt-living" }, picture, words);
  let shown = "";
  const draw = () => {
    const last = shown;
    shown = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    put(picture, { src: shown, alt: model.get("words") });
    if (last) picture.addEventListener("load", () => URL.revokeObjectURL(last), { once: true });
  };
  let waiting = 0;
  const read = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => say(words, model.get("words")), 300);
  };
  const stop = watch(model, ["value"], () => { draw(); read(); });
  draw();
  el.append(root);
  guardKeys(root);
  return () => {
    stop();
    clearTimeout(waiting);
    URL.revokeObjectURL(shown);
    root.remove();
  };
}

// The controls above the picture are ipywidgets': their keys must stop at the panel too, once it is on the page.
function guardKeys(root, tries = 600) {
  const panel = root.closest(".dpo-teach-panel");
  if (panel) panel.addEventListener("keydown", keepKeys);
  else if (tries > 0) requestAnimationFrame(() => guardKeys(root, tries - 1));
}

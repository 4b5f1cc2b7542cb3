// A note at the top of a widget that Python computes, while no kernel is behind it: in a reopened notebook, for example.

import { html, setAttributes, setText } from "./dom.js";

const NOTE = "This panel needs its kernel: run the cell to use it.";

// Returns a function that stops watching. A page without Python has no layout, and gets no note.
export function kernelNote(model, root) {
  const layout = model.get("layout"); // a model of ipywidgets, which has the same kernel and knows whether it is alive
  if (!layout?.on) return () => {};
  const note = html("p", { class: "dt-note dt-no-kernel", role: "status" }, "");
  const draw = () => {
    setAttributes(note, { hidden: layout.comm_live ? "" : null });
    setText(note, layout.comm_live ? "" : NOTE);
  };
  layout.on("comm_live_update", draw);
  draw();
  root.prepend(note);
  return () => {
    layout.off("comm_live_update", draw);
    note.remove();
  };
}

// A panel: controls that Python declares, above a picture that the kernel draws again after every change.

import { checkbox, html, menu, setAttributes, slider, throttled, watch } from "./dom.js";
import { frame } from "./frame.js";
import { kernelNote } from "./kernel_note.js";

const CONTROLS = { slider, menu, checkbox };

export function panel({ model: traits, el }) {
  const model = throttled(traits);
  const { root, body, announce, close } = frame(el, model.get("title"), model);
  const specs = model.get("controls");
  const ticks = specs.filter(({ kind }) => kind === "checkbox");
  const rows = [specs.filter((spec) => !ticks.includes(spec)), ticks].filter((row) => row.length > 0)
    .map((row) => row.map(({ kind, ...spec }) => CONTROLS[kind](model, spec)));
  const picture = html("img", { class: "dt-picture" });
  body.append(...rows.map((row) => html("div", { class: "dt-controls" }, ...row.map((control) => control.node))),
              html("div", { class: "dt-picture-frame" }, picture));
  let shown = "";
  const draw = () => {
    const last = shown;
    shown = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    setAttributes(picture, { src: shown, alt: model.get("alt") });
    if (last) picture.addEventListener("load", () => URL.revokeObjectURL(last), { once: true });
    announce(model.get("alt"));
  };
  const stops = [watch(model, ["picture"], draw), ...rows.flat().map((control) => control.stop),
                 kernelNote(traits, root)];
  draw();
  return () => {
    stops.forEach((stop) => stop());
    URL.revokeObjectURL(shown);
    close();
  };
}

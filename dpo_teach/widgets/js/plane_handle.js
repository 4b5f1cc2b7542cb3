// The handle over the point of the plane: dragged by pointer, moved by the arrow keys.

import { assign, html, setAttributes, signed, within } from "./dom.js";

const STEP = 0.5; // nats, of an arrow key; ten times that with Shift
const DIGITS = 1;

export function makeHandle(model, plane, ends) {
  const node = html("div", { class: "dt-handle", tabindex: 0, role: "slider", "aria-roledescription": "point in a plane",
                             "aria-label": "the pair: arrow keys move it, Home moves it to the reference",
                             "aria-valuemin": ends[0], "aria-valuemax": ends[1] });
  plane.frame.append(node);
  const now = () => [model.get("chosen_log_ratio"), model.get("rejected_log_ratio")];
  const move = (point) => {
    const [chosen, rejected] = point.map((value) => Number(within(value, ends).toFixed(DIGITS)));
    assign(model, { chosen_log_ratio: chosen, rejected_log_ratio: rejected });
  };

  let before = null; // the point when the drag began
  let grip = [0, 0]; // from the pointer to the point
  plane.frame.addEventListener("pointerdown", (event) => {
    const onHandle = event.target === node;
    if (event.button !== 0 || (event.pointerType === "touch" && !onHandle)) return; // elsewhere, a finger scrolls the page
    event.preventDefault(); // or the pointer would select text
    before = now();
    grip = onHandle ? plane.valueAt(event).map((value, i) => before[i] - value) : [0, 0];
    node.setPointerCapture(event.pointerId);
    node.focus({ preventScroll: true });
    model.setDragging?.(true);
    if (!onHandle) move(plane.valueAt(event));
  });
  node.addEventListener("pointermove", (event) => before && move(plane.valueAt(event).map((value, i) => value + grip[i])));
  node.addEventListener("pointercancel", () => before && move(before));
  for (const end of ["pointerup", "pointercancel"]) {
    node.addEventListener(end, () => {
      before = null;
      model.setDragging?.(false);
    });
  }
  plane.frame.addEventListener("click", (event) => {
    if (event.pointerType === "touch" && event.target !== node) move(plane.valueAt(event)); // a tap
  });
  node.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 * STEP : STEP;
    const steps = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (event.key === "Home") move([0, 0]);
    else if (steps) move(now().map((value, i) => value + steps[i]));
    else return;
    event.preventDefault(); // or the page would scroll
  });

  return {
    // Over the dot, which is at [x, y] of a drawing with this width.
    place([x, y], { chosen, rejected }, { quadrant }) {
      node.style.left = `${x}px`;
      node.style.top = `${y}px`;
      setAttributes(node, { "aria-valuenow": chosen,
                            "aria-valuetext": `chosen ${signed(chosen)}, rejected ${signed(rejected)} nats: ${quadrant}` });
    },
  };
}

// The pairs of a recorded run in the plane, step by step, with their mean and the line on which the KL puts it.

import { assign, button, html, plain, setAttributes, setText, signed, slider, svg, within } from "./dom.js";
import { legendEntry } from "./chart.js";

const PAUSE = 500; // milliseconds from one recorded step to the next

// The record in the form of the other functions, or null if there is none.
export function recordOf(recorded) {
  if (!recorded?.steps) return null;
  const means = recorded.log_ratios.map((row) => [0, 1].map((i) => row.reduce((total, pair) => total + pair[i], 0) / row.length));
  return { ...recorded, means, pairs: recorded.log_ratios[0].length };
}

const PLACES = [-86, -110, -134, -158, -62]; // of the text on the line of the KL: pixels from the diagonal

export function makeCloud({ cloud, picture, isFree }, record) {
  const paths = svg("path", { class: "dt-paths" });
  const dots = record.log_ratios[0].map(() => svg("circle", { r: 3.4, class: "dt-pair-dot" }));
  const line = svg("line", { class: "dt-kl" });
  const lineText = svg("text", { class: "dt-halo", "text-anchor": "middle" }, "");
  const meanPath = svg("path", { class: "dt-mean-path" });
  const mean = svg("path", { class: "dt-mean", d: "M0 -8L8 0L0 8L-8 0z" });
  cloud.append(paths, ...dots, line, lineText, meanPath, mean);
  const legend = html("p", { class: "dt-legend" }, legendEntry("policy dt-key-dot", `${record.pairs} held-out pairs`),
                      legendEntry("mean", "their mean"), ...(record.kl ? [legendEntry("kl", "x + y = −2 KL")] : []));
  const sentence = html("p", { class: "dt-muted dt-why-sink" }, "");

  return {
    legend, sentence,
    draw(step) {
      const now = record.steps.indexOf(step);
      const past = record.log_ratios.slice(0, now + 1);
      setAttributes(paths, { d: dots.map((_, i) => picture.path(past.map((row) => row[i]))).join("") });
      dots.forEach((dot, i) => {
        const [x, y] = record.log_ratios[now][i];
        dot.style.transform = `translate(${picture.px(x).toFixed(1)}px, ${picture.py(y).toFixed(1)}px)`;
      });
      const [x, y] = record.means[now];
      mean.style.transform = `translate(${picture.px(x).toFixed(1)}px, ${picture.py(y).toFixed(1)}px)`;
      setAttributes(meanPath, { d: picture.path(record.means.slice(0, now + 1)) });
      drawLine(now);
      setText(sentence, whyItSinks(record, now));
    },
    inWords(step) {
      const now = record.steps.indexOf(step);
      const [x, y] = record.means[now];
      return `After step ${step}, the mean of ${record.pairs} held-out pairs is chosen ${signed(x)}, rejected ${signed(y)} nats. ` +
        whyItSinks(record, now);
    },
  };

  function drawLine(now) {
    const sum = record.kl ? -2 * record.kl[now] : NaN;
    const { left, right, top, bottom } = picture.area();
    const cut = (x) => [picture.px(x), picture.py(sum - x)];
    setAttributes(line, { visibility: record.kl ? "visible" : "hidden" });
    if (!record.kl) return;
    const [x, y] = cut(0); // on the line, which falls at 45 degrees
    const from = Math.max(left - x, top - y);
    const to = Math.min(right - x, bottom - y);
    setAttributes(line, { x1: x + from, y1: y + from, x2: x + to, y2: y + to });
    const middle = cut(sum / 2)[0] - x;
    const places = PLACES.map((place) => within(middle + place, [from + 52, to - 52]));
    const at = places.find((place) => [-36, 0, 36].every((part) => isFree([x + place + part, y + place + part]))) ;
    setText(lineText, at === undefined ? "" : "x + y = −2 KL"); // the legend explains the line as well
    if (at !== undefined) setAttributes(lineText, { transform: `translate(${(x + at).toFixed(1)} ${(y + at).toFixed(1)}) rotate(45) translate(0 -6)` });
  }
}

function whyItSinks({ kl, means }, now) {
  if (!kl) return "";
  const [x, y] = means[now];
  return "Why the cloud must sink: over responses drawn from the reference, log π − log π_ref has the mean −KL(π_ref‖π), never above " +
    `0, so their mean lies on the line x + y = −2 KL = ${signed(-2 * kl[now])}, up to sampling noise (here x + y = ${signed(x + y)}).`;
}

// A button, a slider over the recorded steps, and a timer between them. Nothing moves until the button is pressed.
export function makePlayer(model, { steps }, root) {
  const last = steps.length - 1;
  const nearest = (step) => steps.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best));
  let timer = 0;
  const pause = () => {
    clearTimeout(timer);
    timer = 0;
    setText(toggle, "Play");
    root.classList.remove("dt-playing");
  };
  const go = (i) => assign(model, { shown_step: steps[i] });
  const tick = () => {
    const i = steps.indexOf(model.get("shown_step"));
    if (i === last) return pause();
    go(i + 1);
    timer = setTimeout(tick, PAUSE);
    return undefined;
  };
  const toggle = button("Play", () => {
    if (timer) return pause();
    if (model.get("shown_step") === steps[last]) go(0);
    setText(toggle, "Pause");
    root.classList.add("dt-playing");
    timer = setTimeout(tick, PAUSE / 2);
    return undefined;
  }, { class: "dt-button dt-play" });
  const control = slider(model, {
    name: "step", names: ["shown_step"], label: "step of the run", low: steps[0], high: steps[last], show: String,
    get: () => model.get("shown_step"),
    set: (value) => assign(model, { shown_step: nearest(value) }),
    scale: () => ({ min: 0, max: last, step: 1, place: (step) => steps.indexOf(step), at: (i) => steps[i] }),
  });
  for (const event of ["pointerdown", "keydown"]) control.range.addEventListener(event, () => timer && pause());
  return {
    node: html("div", { class: "dt-player" }, toggle, control.node),
    stop() {
      pause();
      control.stop();
    },
  };
}

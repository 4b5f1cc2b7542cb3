// The position of each pair of a batch on the curve of the gradient weight, and which pairs drive the step.

import { sigmoid, sum, weighBatch } from "./dpo.js";
import { assign, brief, html, percent, plain, presetMenu, setAttributes, setText, signed, slider, svg, throttled,
         watch } from "./dom.js";
import { frame } from "./frame.js";
import { bar, chart, onResize } from "./chart.js";

const SPAN = 8;
const PAIRS = 4;

export function gradientWeights({ model: traits, el }) {
  const model = throttled(traits);
  const { body, setHeadline, announce, close } = frame(el, "Which pairs drive the step?", model);
  const controls = makeControls(model);
  const pairs = Array.from({ length: PAIRS }, (_, i) => makePair(model, i));
  const curve = makeCurve();
  const whole = html("p", { class: "dt-muted", "data-value": "whole" }, "");
  const shares = html("div", { class: "dt-words" }, html("h4", {}, "Each pair's share of the pull"),
                      html("div", { class: "dt-shares" }, ...pairs.map((pair) => pair.share)), whole);
  body.append(
    html("div", { class: "dt-controls" }, controls.batch.node, controls.beta.node, controls.moved.node),
    html("div", { class: "dt-controls dt-four" }, html("h4", {}, "Differences of the log-ratios, nats"),
         ...pairs.map((pair) => pair.control.node)),
    html("div", { class: "dt-two" }, curve.node, shares),
  );

  const draw = () => {
    const beta = model.get("beta");
    const found = weighBatch(model.get("differences").map((difference) => difference + model.get("moved")), beta);
    setHeadline(headline(found));
    pairs.forEach((pair, i) => pair.draw(found.weights[i], found.shares[i]));
    curve.draw(found, beta);
    setText(whole, `sum of the four weights: ${plain(sum(found.weights), 4)} of at most 4β = ${brief(4 * beta)}`);
    announce(inWords(beta, found));
  };
  const stops = [
    watch(model, ["beta", "moved", "differences"], draw),
    onResize(curve.node, (width) => { curve.fit(width); draw(); }),
  ];
  return () => {
    [...stops, ...Object.values(controls).map((control) => control.stop), ...pairs.map((pair) => pair.control.stop)]
      .forEach((stop) => stop());
    close();
  };
}

function makeControls(model) {
  return {
    batch: presetMenu(model, { name: "batch", label: "batch", presets: model.get("presets"), traits: ["differences"] }),
    beta: slider(model, { name: "beta", label: "β", low: 0.01, high: 1, least: 0.001, most: 10, log: true }),
    moved: slider(model, { name: "moved", label: "move all four by, nats", low: -20, high: 20, least: -2000, most: 2000,
                           show: (value) => signed(value, 1) }),
  };
}

function makePair(model, i) {
  const control = slider(model, {
    name: `difference-${i}`, names: ["differences"], label: `pair ${i + 1}: difference, nats`, text: `pair ${i + 1}`, low: -50, high: 50,
    least: -2000, most: 2000, show: (value) => signed(value, 1),
    get: () => model.get("differences")[i],
    set: (value) => assign(model, { differences: model.get("differences").map((old, j) => (j === i ? value : old)) }),
  });
  const length = bar("policy", `share of pair ${i + 1}`);
  return {
    control,
    share: html("div", { class: "dt-share" }, html("span", {}, `pair ${i + 1}`), length.node),
    draw(weight, share) {
      length.set(share, `${percent(share)}, weight ${plain(weight, 4)}`);
    },
  };
}

function makeCurve() {
  const picture = chart({ label: "the gradient weight against the margin", height: 250, x: [-SPAN, SPAN], y: [0, 1.15],
                          xLabel: "margin, nats", yLabel: "weight, divided by β" });
  const margins = Array.from({ length: 121 }, (_, i) => -SPAN + (2 * SPAN * i) / 120);
  const line = svg("path", { class: "dt-line dt-stroke-policy" });
  const middle = svg("line", { class: "dt-dashed" });
  const wrong = svg("text", { class: "dt-name" }, "wrong way round");
  const settled = svg("text", { class: "dt-name", "text-anchor": "end" }, "settled");
  picture.marks.append(middle, line);
  picture.over.append(wrong, settled);
  const dots = Array.from({ length: PAIRS }, () => {
    const dot = svg("circle", { r: 6.5, class: "dt-dot" });
    const label = svg("text", { class: "dt-small-value" }, "");
    picture.over.append(dot, label);
    return { dot, label };
  });
  return {
    node: html("div", { class: "dt-plot" }, html("h4", {}, "The weight of a pair, by its margin"), picture.node),
    fit(width) {
      picture.resize(width);
      setAttributes(line, { d: picture.path(margins.map((margin) => [margin, sigmoid(-margin)])) });
      setAttributes(middle, { x1: picture.px(0), x2: picture.px(0), y1: picture.py(0), y2: picture.py(1.15) });
      setAttributes(wrong, { x: picture.px(-SPAN) + 6, y: picture.py(0) - 6 });
      setAttributes(settled, { x: picture.px(SPAN) - 4, y: picture.py(0.3) });
    },
    draw({ margins: found }) {
      found.forEach((margin, i) => {
        const [x, y] = picture.place(dots[i].dot, [margin, sigmoid(-margin)]);
        dots[i].dot.classList.toggle("dt-wrong", margin < 0);
        const left = margin < 0 ? margin > -SPAN / 2 : margin > SPAN / 2; // towards the centre at the edges of the chart
        setAttributes(dots[i].label, { x: x + (left ? -9 : 9), y: y + (margin < 0 ? 16 : -7), "text-anchor": left ? "end" : "start" });
        setText(dots[i].label, labelOf(found, i));
      });
    },
  };
}

// One label for dots in the same place, so that numbers do not overlap.
function labelOf(margins, i) {
  const shown = margins.map((margin) => Math.min(Math.max(margin, -SPAN), SPAN));
  const near = (j) => Math.abs(shown[j] - shown[i]) < 0.7 && shown[j] < 0 === shown[i] < 0;
  const together = shown.map((margin, j) => j).filter(near);
  return together[0] === i ? together.map((j) => j + 1).join(", ") : "";
}

function headline({ margins, shares }) {
  const largest = margins.indexOf(Math.min(...margins));
  if (margins.every((margin) => margin === margins[0])) return "All four pairs pull equally hard.";
  if (Math.max(...shares) - Math.min(...shares) < 0.005) {
    return `All four pull almost equally hard, pair ${largest + 1} a little harder: it is the furthest behind.`;
  }
  if (margins.every((margin) => margin > 3)) return "All four are settled: they hardly pull any more.";
  const kind = margins[largest] < 0 ? "it is the wrong way round" : "it is the least settled";
  return `Pair ${largest + 1} gives ${percent(shares[largest])} of the pull: ${kind}.`;
}

function inWords(beta, { margins, weights, shares }) {
  const pairs = margins.map((margin, i) =>
    `pair ${i + 1}: margin ${signed(margin)}, weight ${plain(weights[i], 4)}, share ${percent(shares[i])}`);
  return `β ${brief(beta)}. ${pairs.join("; ")}.`;
}

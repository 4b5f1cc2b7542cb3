// Horizontal bars with their numbers, as HTML: text wraps and keeps its size on any screen.

import { html, say } from "./nodes.js";

// A bar of a share of 1; returns what sets it.
export function bar(colour, label) {
  const fill = html("i", { class: `dt-bar-fill dt-back-${colour}` });
  const number = html("span", { class: "dt-bar-number" }, "");
  const node = html("div", { class: "dt-bar", title: label }, html("div", { class: "dt-bar-room" }, fill), number);
  return {
    node,
    set(share, text) {
      const width = `${(100 * Math.min(Math.max(share, 0), 1)).toFixed(3)}%`;
      if (fill.style.width !== width) fill.style.width = width;
      say(number, text);
    },
  };
}

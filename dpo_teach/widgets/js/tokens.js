// Text as tokens, each coloured by a number, which is shown on hover, on focus and on tap. The sign is visible without
// colour, too: positive tokens have a solid line below, negative ones a dotted line.

import { brief, html, setAttributes, setText, signed, uniqueId } from "./dom.js";

export const DEEPEST = 50; // per cent of the colour at the end of the scale; text on it is still readable
const HINT = "Point at a token for its number, or step through a text with the arrow keys.";
const STEPS = [1, 2, 3, 5, 10];

// The end of the colour scale: a round number that no value exceeds; 1 if all are 0.
export function scaleEnd(values) {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest === 0) return 1;
  const power = 10 ** Math.floor(Math.log10(largest));
  return STEPS.map((step) => step * power).find((end) => end >= largest * 0.999);
}

// A number with enough decimals for a hundredth of the scale's end.
export function scaled(value, end) {
  return signed(value, Math.min(Math.max(2 - Math.floor(Math.log10(end) + 1e-9), 2), 6));
}

export function total(values) {
  return values.reduce((all, value) => all + value, 0);
}

export function logRatios({ policy, reference }) {
  return policy.map((logp, i) => logp - reference[i]);
}

// The name of a token in a sentence; a token that only begins a character is named after the completed one.
export function tokenName(texts, i) {
  if (texts[i] !== "") return `“${visible(texts[i]).trim() || "space"}”`;
  const whole = texts.slice(i).find((text) => text !== "");
  return whole ? `a part of “${visible(whole).trim()}”` : "a part of a character";
}

// The indices of the largest numbers by absolute value, largest first; zeros are left out.
export function strongest(values, count = 3) {
  const places = values.map((_, i) => i).filter((i) => values[i] !== 0);
  return places.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, count);
}

// Several texts with one line that describes the token under the pointer or with the focus.
//   describe(text, token)   the sentence about it
export function tokenGroup(describe) {
  const detail = html("p", { class: "dt-detail", role: "status" }, HINT);
  const texts = [];
  let [here, focused] = [null, null]; // the token that is described, and the one with the focus
  const refreshDetail = () => {
    setText(detail, here ? describe(texts.indexOf(here.text), here.place) : HINT);
    detail.classList.toggle("dt-sticky", here !== null);
  };
  const point = (to) => {
    if (here) here.text.mark(here.place, false);
    here = to && to.place < to.text.length() ? to : null;
    if (here) here.text.mark(here.place, true);
    refreshDetail();
  };
  return {
    detail,
    text(label) {
      const made = tokenText(label, {
        hover: (place) => point(place === null ? focused : { text: made, place }),
        focus: (place) => point((focused = place === null ? null : { text: made, place })),
        leave: () => point(null),
      });
      texts.push(made);
      return made;
    },
    // Call after new numbers: the described token may have changed or disappeared.
    refresh: () => point(here),
  };
}

function tokenText(label, { hover, focus, leave }) {
  const node = html("div", { class: "dt-tokens", role: "listbox", "aria-orientation": "horizontal", dir: "auto",
                             "aria-label": label });
  const [gaps, spans] = [[], []];
  let [count, current] = [0, 0];
  const placeOf = (event) => spans.indexOf(event.target.closest(".dt-token"));
  const rove = (place) => {
    if (spans[current]) setAttributes(spans[current], { tabindex: -1 });
    current = Math.min(Math.max(place, 0), Math.max(count - 1, 0));
    if (spans[current]) setAttributes(spans[current], { tabindex: 0 });
  };

  node.addEventListener("pointerover", (event) => placeOf(event) >= 0 && hover(placeOf(event)));
  node.addEventListener("pointerleave", () => hover(null));
  node.addEventListener("focusin", (event) => {
    rove(placeOf(event));
    focus(current);
  });
  node.addEventListener("focusout", () => focus(null));
  node.addEventListener("click", (event) => placeOf(event) >= 0 && spans[placeOf(event)].focus());
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    const to = stepped(event.key, current, count);
    if (to === null || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    spans[to].focus();
  });

  return {
    node,
    length: () => count,
    mark(place, on) {
      const span = spans[place];
      if (!span) return;
      span.classList.toggle("dt-here", on);
      span.classList.toggle("dt-leftwards", on && span.offsetLeft > node.clientWidth / 2);
      setAttributes(span, { "aria-selected": String(on) });
    },
    // Tokens and their numbers; existing nodes are reused, and surplus ones hidden.
    draw({ texts, special }, values, end) {
      while (spans.length < texts.length) {
        gaps.push(node.appendChild(document.createTextNode("")));
        spans.push(node.appendChild(makeSpan(spans.length)));
      }
      count = texts.length;
      spans.forEach((span, i) => {
        const [gap, word] = parted(texts[i] ?? "");
        if (gaps[i].data !== gap) gaps[i].data = gap;
        setAttributes(span, { hidden: i < count ? null : "" });
        if (i >= count) return;
        setText(span, word || "⋯");
        colour(span, values[i], end);
        span.classList.toggle("dt-special", special[i] || word === "");
      });
      rove(current);
    },
  };
}

// The space before a word is not coloured, since a line may break there.
function parted(text) {
  const [, gap, word] = /^( ?)([^]*)$/.exec(text);
  return word === "" ? ["", gap] : [gap, visible(word)];
}

function makeSpan(place) {
  return html("span", { class: "dt-token", role: "option", id: uniqueId("token"), tabindex: -1, "data-index": place,
                        "aria-selected": "false" });
}

function stepped(key, place, count) {
  const to = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0,
               End: count - 1 }[key];
  return to === undefined || count === 0 ? null : Math.min(Math.max(to, 0), count - 1);
}

// Set the colour and line of a token; a number that is shown as 0 has neither.
export function colour(span, value, end) {
  const number = scaled(value, end);
  const weight = Math.min(Math.abs(value) / end, 1).toFixed(3);
  span.classList.toggle("dt-up", number.startsWith("+"));
  span.classList.toggle("dt-down", number.startsWith("−"));
  setAttributes(span, { "data-number": number });
  if (span.style.getPropertyValue("--weight") === weight) return;
  span.style.setProperty("--weight", weight);
  span.style.setProperty("--share", `${(DEEPEST * weight).toFixed(1)}%`);
}

// The legend: five patches styled like tokens, with their numbers.
export function colourScale(what) {
  const patches = [-1, -0.5, 0, 0.5, 1].map((share) => ({ share, node: html("span", { class: "dt-token dt-patch" }, "") }));
  const name = html("span", {}, "");
  const note = html("span", {}, "solid line: above 0, dotted: below 0; stronger: further from 0");
  return {
    node: html("p", { class: "dt-legend dt-scale" }, name, html("span", { class: "dt-patches" }, ...patches.map((p) => p.node)),
               note),
    draw(end, called = what) {
      setText(name, called);
      patches.forEach(({ share, node }) => {
        colour(node, share * end, end);
        setText(node, `${share > 0 ? "+" : ""}${brief(share * end)}`);
      });
    },
  };
}

// Replace invisible white space by a visible symbol.
function visible(text) {
  return text.replace(/\r?\n/g, "↵\n").replace(/\t/g, "⇥\t");
}

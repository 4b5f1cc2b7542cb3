// The explorers on the pages of the site: each place holds its state as JSON, next to the picture that it replaces.

import { fillPlace } from "./playground.js";

export function hydrate() {
  for (const place of document.querySelectorAll("[data-explorer]")) {
    fillPlace(place, JSON.parse(place.querySelector("script").textContent));
    place.closest(".cell_output, .explorer").classList.add("explorer-alive"); // the style then hides the picture
  }
}

// The explorers on the pages of the site: each element contains the state as JSON, next to the picture to replace.

import { fillPlace } from "./playground.js";

export function hydrate() {
  for (const place of document.querySelectorAll("[data-explorer]")) {
    fillPlace(place, JSON.parse(place.querySelector("script").textContent));
    place.closest(".cell_output, .explorer").classList.add("explorer-alive"); // the stylesheet then hides the picture
  }
}

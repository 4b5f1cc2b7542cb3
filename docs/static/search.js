// A page opened from disk may not read its neighbours: the search then tells titles, without a line of text from each.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// Sphinx marks the words that were searched for only where its search is not loaded; the theme loads it on every page.
// Explorers are left alone: they write their own text.
function markWords() {
  if (document.getElementById("search-results")) return;
  const words = (localStorage.getItem("sphinx_highlight_terms") ?? "").split(/\s+/).filter(Boolean);
  localStorage.removeItem("sphinx_highlight_terms");
  for (const block of document.querySelectorAll(".bd-article :is(h1, h2, h3, h4, p, li, td, th, dt, pre)")) {
    if (block.closest("[data-explorer]")) continue;
    for (const word of words) _highlightText(block, word, "highlighted");
  }
}
document.addEventListener("DOMContentLoaded", markWords);

// Pages opened from disk cannot read other files, so search results show only titles, without an excerpt.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// Sphinx highlights search terms only on pages that do not load its search, but the theme loads it on every page.
// Skip explorers, which write their own text.
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

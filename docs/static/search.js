// A page opened from disk may not read its neighbours: the search then tells titles, without a line of text from each.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

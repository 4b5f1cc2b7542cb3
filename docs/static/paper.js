// Print pages in the light theme, even if they are read in the dark one.
let read = null;
addEventListener("beforeprint", () => {
  read = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = read;
});

// Paper is white: a page that is read in the dark theme is printed in the light one.
let read = null;
addEventListener("beforeprint", () => {
  read = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = read;
});

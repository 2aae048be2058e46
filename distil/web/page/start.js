// Not a module: a browser loads none from a file, and the reader has to be told.
if (location.protocol === "file:") {
  document.getElementById("status").textContent =
    "A browser does not load a model from a file: run `python -m http.server` in this folder and open http://localhost:8000.";
} else {
  import("./app.js").catch((error) => {
    document.getElementById("status").textContent =
      `A file of the page could not be loaded (${error.message}); copy the demo's folder again.`;
  });
}

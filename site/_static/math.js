// Renders every equation of the page with the KaTeX that lies beside it; no request leaves the page.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".math.eq-tex")) {
    katex.render(place.textContent, place, {
      displayMode: place.tagName === "DIV",
      throwOnError: false,
      output: "htmlAndMathml",
    });
    place.classList.replace("eq-tex", "eq-rendered");
  }
});

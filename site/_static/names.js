// Names that the theme leaves out or contradicts, for who hears the page.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll(".bd-sidebar-primary details > summary")) {
    const page = summary.parentElement.previousElementSibling?.textContent.trim() || "";
    summary.setAttribute("aria-label", `Pages below ${page}`);
  }
  for (const summary of document.querySelectorAll("summary[aria-label='Toggle hidden content']"))
    summary.removeAttribute("aria-label"); // its own words say it
  for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
  // A figure or an equation that scrolls sideways can be reached by Tab, and then scrolled by arrows.
  const reach = new ResizeObserver((entries) => {
    for (const { target } of entries)
      target.scrollWidth > target.clientWidth ? (target.tabIndex = 0) : target.removeAttribute("tabindex");
  });
  for (const box of document.querySelectorAll(".eq-scroll, div.math")) reach.observe(box);
});

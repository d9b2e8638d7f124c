// Filters over the scoreboard: by paper, by verdict, by word. Without script the table shows every row.
document.addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector(".eq-filter");
  if (!bar) return;
  const rows = [...document.querySelectorAll(`#${bar.dataset.table} tbody`)];

  const choice = (label, key) => {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => row.dataset[key]))];
    for (const value of ["", ...values]) {
      const count = rows.filter((row) => !value || row.dataset[key] === value).length;
      select.add(new Option(`${value || "all"} (${count})`, value));
    }
    select.id = `board-${key}`;
    bar.append(named(label, select));
    return select;
  };
  const named = (label, control) => {
    const text = document.createElement("label");
    text.htmlFor = control.id;
    text.append(`${label} `, control);
    return text;
  };

  const paper = choice("Paper", "paper");
  const verdict = choice("Verdict", "verdict");
  const words = Object.assign(document.createElement("input"), { type: "search", id: "board-words" });
  const said = Object.assign(document.createElement("output"), { className: "eq-count" });
  bar.append(named("Words", words), said);
  said.setAttribute("aria-live", "polite");
  bar.hidden = false;

  const show = () => {
    const wanted = words.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !(
        (!paper.value || row.dataset.paper === paper.value) &&
        (!verdict.value || row.dataset.verdict === verdict.value) &&
        row.textContent.toLowerCase().includes(wanted)
      );
      count += !row.hidden;
    }
    said.textContent = `${count} of ${rows.length} claims`;
  };
  for (const control of [paper, verdict, words]) control.addEventListener("input", show);
  show();

  const open = () => {
    const row = document.getElementById(location.hash.slice(1));
    const details = row && row.closest("#board") && row.querySelector("details");
    if (details) {
      details.open = true;
      row.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();
});

// Moving pictures: play, pause, step, speed, a slider; by mouse, finger or keyboard.
// The frames lie on one sheet, which is fetched when the player comes into view. Each plays once by itself, unless
// the reader asks for less motion. Without script, and on paper, the last frame stands there as a still.
document.addEventListener("DOMContentLoaded", () => {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  for (const figure of document.querySelectorAll(".eq-player[data-film]")) player(figure, calm);
});

function player(figure, calm) {
  const film = JSON.parse(figure.dataset.film);
  const still = figure.querySelector("img");
  const name = still.alt;
  const sheet = new Image();
  const canvas = Object.assign(document.createElement("canvas"), { width: film.width, height: film.height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  canvas.style.maxWidth = `${film.width}px`;
  let now = film.frames - 1;
  let timer = 0;
  let rounds = Infinity; // left to play

  const make = (tag, about, ...inside) => {
    const element = Object.assign(document.createElement(tag), about);
    element.append(...inside);
    return element;
  };
  const icon = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
  const PLAY = icon("M4 2l10 6-10 6z");
  const PAUSE = icon("M3 2h4v12H3zM9 2h4v12H9z");
  const BACK = icon("M3 2h2v12H3zM13 2v12L6 8z");
  const ON = icon("M11 2h2v12h-2zM3 2v12l7-6z");
  const button = (picture, label, act) => {
    const made = make("button", { type: "button", innerHTML: picture, title: label, onclick: act });
    made.setAttribute("aria-label", label);
    return made;
  };
  const slider = make("input", { type: "range", min: 0, max: film.frames - 1, step: 1, value: now });
  slider.setAttribute("aria-label", "Frame");
  const said = make("span", { className: "eq-frame" });
  const speed = make("select", {}, ...[0.25, 0.5, 1, 2].map((s) => new Option(`${s}×`, s, s === 1, s === 1)));
  speed.setAttribute("aria-label", "Speed");
  const play = button(PLAY, "Play", () => (timer ? pause() : run(Infinity)));
  const controls = make(
    "div",
    { className: "eq-controls" },
    play,
    button(BACK, "One frame back", () => step(-1)),
    button(ON, "One frame on", () => step(1)),
    slider,
    said,
    speed,
  );
  controls.setAttribute("role", "group");
  controls.setAttribute("aria-label", "Player");
  figure.querySelector(".eq-scroll").after(controls);

  const fetched = () =>
    (sheet.ready ??= new Promise((resolve) => {
      sheet.onload = () => {
        still.classList.add("eq-on-paper");
        still.after(canvas);
        draw();
        resolve();
      };
      sheet.src = new URL(figure.dataset.sheet, document.baseURI);
    }));
  const draw = () => {
    const { width, height } = film;
    const x = (now % film.columns) * width;
    const y = Math.floor(now / film.columns) * height;
    canvas.getContext("2d").drawImage(sheet, x, y, width, height, 0, 0, width, height);
  };
  const show = (frame) => {
    now = (frame + film.frames) % film.frames;
    slider.value = now;
    said.textContent = `${now + 1} / ${film.frames}`;
    slider.setAttribute("aria-valuetext", `frame ${now + 1} of ${film.frames}`);
    figure.dataset.frame = now;
    if (sheet.naturalWidth) draw();
  };
  const label = () => {
    play.innerHTML = timer ? PAUSE : PLAY;
    play.title = timer ? "Pause" : "Play";
    play.setAttribute("aria-label", play.title);
  };
  const pause = () => {
    clearTimeout(timer);
    timer = 0;
    label();
  };
  const tick = () => {
    show(now + 1);
    if (now === film.frames - 1 && --rounds <= 0) return pause();
    timer = setTimeout(tick, film.ms[now] / speed.value);
  };
  const run = async (times) => {
    rounds = times;
    timer = -1; // pressed, though the sheet may still be on its way
    label();
    await fetched();
    if (timer) timer = setTimeout(tick, film.ms[now] / speed.value);
  };
  const step = async (by) => {
    pause();
    await fetched();
    show(now + by);
  };
  slider.addEventListener("input", async () => {
    pause();
    const wanted = +slider.value;
    await fetched();
    show(wanted);
  });
  controls.addEventListener("keydown", (event) => {
    const native = { SELECT: /^(Arrow|Home|End| |Enter)/, INPUT: /^(Arrow|Home|End|Page)/, BUTTON: /^( |Enter)/ };
    event.stopPropagation(); // arrows do not turn the page here
    if (native[event.target.tagName]?.test(event.key)) return;
    const act = {
      " ": () => play.click(),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => step(-now),
      End: () => step(film.frames - 1 - now),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  new IntersectionObserver((entries, watch) => {
    const seen = entries.at(-1).isIntersecting;
    if (seen && !sheet.ready) calm.matches ? fetched() : run(1);
    if (!seen && timer) pause();
  }).observe(figure);
  show(now);
}

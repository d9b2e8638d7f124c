// The bump of notebook 01 through both networks, at a velocity and with a set V that the reader chooses.
eqflow.velocity = {
  N: 64,
  T: 32,
  START: 16,
  // Errors of the G-RNN and of the FERNN's best slice for V = {-k, ..., k}, and their states.
  run(nu, k, keep) {
    const { N, T, START } = eqflow.velocity;
    const bump = Float64Array.from({ length: N }, (_, i) => Math.exp(-(((i - START) / 2) ** 2) / 2));
    const U = [[0, 1 - keep, 0]];
    const W = [[[0.1 * keep, 0.8 * keep, 0.1 * keep]]];
    const still = Array.from({ length: T }, () => bump);
    const moving = eqflow.move(still, nu);
    const target = eqflow.move(eqflow.slice(still, U, W, 0), nu);
    const grnn = eqflow.slice(moving, U, W, 0);
    let best = { error: Infinity };
    for (let v = -k; v <= k; v++) {
      const states = eqflow.slice(moving, U, W, v);
      const error = eqflow.error(states, target);
      if (error < best.error) best = { error, states, slice: v };
    }
    return { moving, grnn, best, error: eqflow.error(grnn, target) };
  },
};

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explore-velocity");
  if (!place) return;
  const { T } = eqflow.velocity;
  const said = Object.assign(document.createElement("output"), { className: "eq-said", id: "velocity-said" });
  const controls = Object.assign(document.createElement("div"), { className: "eq-knobs" });
  const row = Object.assign(document.createElement("div"), { className: "eq-pictures" });
  const chart = eqflow.svg("svg", { viewBox: "0 0 520 190", role: "img", class: "eq-chart" });
  place.replaceChildren(controls, said, row, chart);
  const frames = (n) => `${eqflow.signed(n)} px per frame`;
  const nu = eqflow.slider(controls, "velocity", "Velocity of the bump", { min: -6, max: 6, value: 2 }, draw, frames);
  const set = (k) => (k ? `V = {−${k}, …, ${k}}: ${2 * k + 1} slices` : "V = {0}: 1 slice");
  const size = eqflow.slider(controls, "size", "Velocities that the FERNN knows", { min: 0, max: 6, value: 3 }, draw, set);
  const share = (v) => `${Math.round(100 * v)} %`;
  const keep = eqflow.slider(
    controls, "keep", "Share of the memory kept", { min: 0.2, max: 0.9, step: 0.1, value: 0.8 }, draw, share,
  );
  const pictures = ["Input", "G-RNN's memory", "FERNN's best slice"].map((title) => eqflow.picture(row, title));

  function draw() {
    const [v, k, a] = [+nu.value, +size.value, +keep.value];
    const now = eqflow.velocity.run(v, k, a);
    const inside = Math.abs(v) <= k;
    said.dataset.grnn = now.error;
    said.dataset.fernn = now.best.error;
    said.textContent =
      `Error of the G-RNN ${eqflow.said(now.error)}; of the FERNN's best slice (${eqflow.signed(now.best.slice)}) ` +
      `${eqflow.said(now.best.error)}. ` +
      (inside ? "This velocity is in V: a slice moves along." : "This velocity is not in V: no slice moves along.");
    const flat = (states) => states.map((f) => f[0]);
    pictures[0](now.moving, `The bump's path at ${frames(v)}; time runs downwards.`);
    pictures[1](flat(now.grnn), `The G-RNN's memory: error ${eqflow.said(now.error)}.`);
    const text = `FERNN's slice ${eqflow.signed(now.best.slice)}`;
    pictures[2](flat(now.best.states), `${text}: error ${eqflow.said(now.best.error)}.`, text);
    plot(v, k, a);
  }

  function plot(v, k, a) {
    const x = (speed) => 60 + ((speed + 6) / 12) * 430;
    const y = (error) => 150 - Math.min(error, 1) * 130;
    chart.replaceChildren();
    const add = (tag, about, text) => chart.append(eqflow.svg(tag, about, text));
    add("rect", { x: x(-k) - 14, width: x(k) - x(-k) + 28, y: 14, height: 136, class: "set" });
    add("path", { d: `M46 150H504M46 150V14`, class: "axis" });
    for (const e of [0, 0.5, 1]) add("text", { x: 38, y: y(e) + 4, "text-anchor": "end" }, `${e}`);
    for (let s = -6; s <= 6; s += 2) add("text", { x: x(s), y: 166, "text-anchor": "middle" }, eqflow.signed(s));
    add("text", { x: 38, y: 8, "text-anchor": "end" }, "error");
    add("text", { x: 275, y: 184, "text-anchor": "middle" }, "velocity of the bump (px per frame); shaded: V");
    for (let s = -6; s <= 6; s++) {
      const { error, best } = eqflow.velocity.run(s, k, a);
      const here = s === v ? " here" : "";
      add("circle", { cx: x(s), cy: y(error), r: 5, class: `grnn${here}` });
      add("rect", { x: x(s) - 4, y: y(best.error) - 4, width: 8, height: 8, class: `fernn${here}` });
    }
    add("circle", { cx: 64, cy: 8, r: 5, class: "grnn" });
    add("text", { x: 74, y: 12 }, "G-RNN");
    add("rect", { x: 130, y: 4, width: 8, height: 8, class: "fernn" });
    add("text", { x: 144, y: 12 }, "FERNN, best slice");
    chart.setAttribute("aria-label", `Error against velocity: the FERNN's is zero from −${k} to ${k}, the G-RNN's at 0 only.`);
  }
  draw();
});

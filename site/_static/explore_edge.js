// What a finite V costs: the slices change places when the input is set in motion, and some fall off the edge.
eqflow.edge = {
  N: 48,
  T: 16,
  // Two channels with weights of either sign, drawn once.
  U: [[0.3, 0.9, -0.2], [-0.4, 0.5, 0.6]],
  W: [[[0.2, 0.5, 0.1], [-0.3, 0.2, 0.1]], [[0.1, -0.2, 0.3], [0.1, 0.4, 0.2]]],
  // Two bumps, one at rest and one that moves by one pixel a frame.
  video() {
    const { N, T } = eqflow.edge;
    const bump = (centre) => (i) => Math.exp(-((((i - centre + 1.5 * N) % N) - N / 2) ** 2) / 4);
    const still = Array.from({ length: T }, () => Float64Array.from({ length: N }, (_, i) => bump(12)(i)));
    const other = Array.from({ length: T }, (_, t) => Float64Array.from({ length: N }, (_, i) => 0.7 * bump(30 + t)(i)));
    return still.map((f, t) => f.map((v, i) => v + other[t][i]));
  },
  // Slices for V = {-k, ..., k} of the video at rest and set in motion by `boost`; errors slice by slice, and of
  // two read-outs over V: the mean and the maximum.
  run(k, boost) {
    const { U, W } = eqflow.edge;
    const x = eqflow.edge.video();
    const y = eqflow.move(x, boost);
    const V = Array.from({ length: 2 * k + 1 }, (_, i) => i - k);
    const before = V.map((v) => eqflow.slice(x, U, W, v));
    const after = V.map((v) => eqflow.slice(y, U, W, v));
    const moved = before.map((states) => eqflow.move(states, boost));
    const partner = V.map((v) => V.indexOf(v - boost));
    const errors = V.map((_, i) => (partner[i] < 0 ? null : eqflow.error(after[i], moved[partner[i]])));
    const over = (slices, f) =>
      slices[0].map((frame, t) => frame.map((row, c) => row.map((_, i) => f(slices.map((s) => s[t][c][i])))));
    const mean = (values) => values.reduce((a, b) => a + b) / values.length;
    const most = (values) => Math.max(...values);
    const readout = (f) => eqflow.error(over(after, f), over(moved, f));
    return { V, before, after, partner, errors, mean: readout(mean), most: readout(most) };
  },
};

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explore-edge");
  if (!place) return;
  const said = Object.assign(document.createElement("output"), { className: "eq-said", id: "edge-said" });
  const controls = Object.assign(document.createElement("div"), { className: "eq-knobs" });
  const heads = ["Slices for the video as it is", "Slices for the video set in motion"];
  const rows = heads.map(() => Object.assign(document.createElement("div"), { className: "eq-pictures eq-small" }));
  const titles = heads.map((t) => Object.assign(document.createElement("p"), { textContent: t }));
  place.replaceChildren(controls, said, titles[0], rows[0], titles[1], rows[1]);
  const set = (k) => (k ? `V = {−${k}, …, ${k}}: ${2 * k + 1} slices, ${2 * k + 1} times the cost` : "V = {0}: a G-RNN");
  const size = eqflow.slider(controls, "size", "Size of V", { min: 0, max: 5, value: 2 }, draw, set);
  const frames = (n) => `${eqflow.signed(n)} px per frame`;
  const boost = eqflow.slider(controls, "boost", "Set the video in motion by", { min: -3, max: 3, value: 1 }, draw, frames);

  function draw() {
    const now = eqflow.edge.run(+size.value, +boost.value);
    const lost = now.partner.filter((p) => p < 0).length;
    const kept = Math.max(0, ...now.errors.filter((e) => e !== null));
    Object.assign(said.dataset, { lost, kept, mean: now.mean, most: now.most });
    said.textContent =
      `${now.V.length - lost} of ${now.V.length} slices have a partner` +
      (now.V.length > lost ? ` and agree with it${kept < 1e-12 ? " to rounding" : `, but for ${eqflow.said(kept)}`}. ` : ". ") +
      `${lost} came from outside V. Error of the mean over V: ${eqflow.said(now.mean)}; of the maximum: ${eqflow.said(now.most)}.`;
    const top = Math.max(...now.before.flat(3).map((row) => Math.max(...row)));
    const scaled = (states) => states.map((f) => f[0].map((v) => v / top));
    rows.forEach((row) => row.replaceChildren());
    now.V.forEach((v, i) => {
      const p = now.partner[i];
      const name = `ν = ${eqflow.signed(v)}`;
      eqflow.picture(rows[0])(scaled(now.before[i]), `Slice ${name} of the video as it is.`, name);
      const from = p < 0 ? "from outside V" : `was ${eqflow.signed(now.V[p])}`;
      const alt = `Slice ${name} of the video in motion: ${from}.`;
      eqflow.picture(rows[1])(scaled(now.after[i]), alt, `${name}: ${from}`, p < 0 ? "eq-lost" : "");
    });
  }
  draw();
});

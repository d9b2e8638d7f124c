// A density of the plane with a group, in closed form: the polar map of an equivariant flow, and how to break it.
//   f(r, a) = (r e^{s(a)}, a),  s(a) = bend cos(n a) + flaw cos(a),   log p(f(z)) = log N(z) - 2 s(a).
// s repeats itself every 360/n degrees, so f commutes with those turns and p is invariant; cos(a) alone does not.
eqflow.group = {
  bend(angle, n, bend, flaw) {
    return bend * Math.cos(n * angle) + flaw * Math.cos(angle);
  },
  // log p at (x, y), in nats.
  logp(x, y, n, bend, flaw) {
    const s = eqflow.group.bend(Math.atan2(y, x), n, bend, flaw);
    return -Math.log(2 * Math.PI) - 0.5 * (x * x + y * y) * Math.exp(-2 * s) - 2 * s;
  },
  // `count` samples [x, y]: f of normal ones, from a fixed seed.
  samples(count, n, bend, flaw) {
    let seed = 7;
    const uniform = () => {
      seed = (seed * 48271) % 2147483647; // Lehmer's generator
      return seed / 2147483647;
    };
    return Array.from({ length: count }, () => {
      const r = Math.sqrt(-2 * Math.log(uniform()));
      const angle = 2 * Math.PI * uniform();
      const far = r * Math.exp(eqflow.group.bend(angle, n, bend, flaw));
      return [far * Math.cos(angle), far * Math.sin(angle)];
    });
  },
  turned([x, y], degrees) {
    const a = (degrees * Math.PI) / 180;
    return [Math.cos(a) * x - Math.sin(a) * y, Math.sin(a) * x + Math.cos(a) * y];
  },
  // max |log p(g x) - log p(x)| over the samples, in nats, and the mean of log p(g x).
  compare(points, degrees, n, bend, flaw) {
    const { logp, turned } = eqflow.group;
    let gap = 0;
    let sum = 0;
    for (const point of points) {
      const after = logp(...turned(point, degrees), n, bend, flaw);
      gap = Math.max(gap, Math.abs(after - logp(...point, n, bend, flaw)));
      sum += after;
    }
    return { gap, mean: sum / points.length };
  },
};

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explore-group");
  if (!place) return;
  const said = Object.assign(document.createElement("output"), { className: "eq-said", id: "group-said" });
  const controls = Object.assign(document.createElement("div"), { className: "eq-knobs" });
  const row = Object.assign(document.createElement("div"), { className: "eq-pictures eq-plane" });
  place.replaceChildren(controls, said, row);
  const turns = (n) => `C${n}: turns by ${n > 1 ? `multiples of ${Math.round((3600 / n)) / 10}°` : "nothing"}`;
  const order = eqflow.slider(controls, "order", "Group", { min: 1, max: 8, value: 4 }, draw, turns);
  const degrees = eqflow.slider(controls, "turn", "Turn the samples by", { min: 0, max: 360, step: 5, value: 90 }, draw, (d) => `${d}°`);
  const flaw = eqflow.slider(controls, "flaw", "Break the symmetry by", { min: 0, max: 0.5, step: 0.05, value: 0 }, draw, (f) => f.toFixed(2));
  const picture = eqflow.picture(row, "log p, and 400 samples after the turn");
  const dots = eqflow.svg("svg", { viewBox: "-4 -4 8 8", class: "eq-dots", "aria-hidden": "true" });
  const box = row.querySelector("figure");
  box.append(dots);

  function draw() {
    const [n, turn, broken, bend] = [+order.value, +degrees.value, +flaw.value, 0.5];
    const points = eqflow.group.samples(400, n, bend, broken);
    const { gap, mean } = eqflow.group.compare(points, turn, n, bend, broken);
    const member = (turn * n) % 360 === 0;
    Object.assign(said.dataset, { gap, mean, member });
    said.textContent =
      `A turn by ${turn}° ${member ? "is" : "is not"} in C${n}. ` +
      `The log-density of a sample changes by up to ${eqflow.said(gap)} nats; on average it is now ${mean.toFixed(2)}.`;
    const size = 96;
    const at = (i) => ((i + 0.5) / size) * 8 - 4;
    const rows = Array.from({ length: size }, (_, y) =>
      Float64Array.from({ length: size }, (_, x) => Math.exp(0.5 * (eqflow.group.logp(at(x), -at(y), n, bend, broken) + 1.2))),
    );
    picture(rows, `The density has ${n} lobe${n > 1 ? "s" : ""}; the samples, turned by ${turn}°, ${gap < 1e-9 ? "fit it as before" : "leave it"}.`);
    dots.replaceChildren(
      ...points.map((p) => {
        const [x, y] = eqflow.group.turned(p, turn);
        return eqflow.svg("circle", { cx: x, cy: -y, r: 0.055 });
      }),
    );
  }
  draw();
});

// What the explorables share: the recurrence of notebook 01 on a ring, controls with labels, pictures of states.
// Plain functions under `eqflow`; nothing moves by itself, and every control is one of the browser's own.
const eqflow = {
  // State of one slice: h_t = relu(W * psi_1(nu) h_{t-1} + U * x_t), circular; x (T, N) -> (T, C, N).
  // U (C, 3) and W (C, C, 3): the tap in the middle reads the pixel itself, as torch's conv1d does.
  slice(x, U, W, nu) {
    const C = U.length;
    const N = x[0].length;
    const at = (row, i) => row[((i % N) + N) % N];
    let h = U.map(() => new Float64Array(N));
    return x.map((frame) => {
      const moved = h.map((row) => row.map((_, i) => at(row, i - nu)));
      h = U.map((u, c) =>
        Float64Array.from({ length: N }, (_, i) => {
          let sum = 0;
          for (let k = 0; k < 3; k++) {
            sum += u[k] * at(frame, i + k - 1);
            for (let d = 0; d < C; d++) sum += W[c][d][k] * at(moved[d], i + k - 1);
          }
          return Math.max(0, sum);
        }),
      );
      return h;
    });
  },
  // Frame t of a video (T, N), or of states (T, C, N), moved by t nu pixels.
  move(z, nu) {
    const roll = (row, by) => row.map((_, i) => row[(((i - by) % row.length) + row.length) % row.length]);
    return z.map((f, t) => (Array.isArray(f) ? f.map((row) => roll(row, nu * t)) : roll(f, nu * t)));
  },
  // max |a - b| / max |b| over states of one shape.
  error(a, b) {
    let gap = 0;
    let most = 0;
    b.forEach((f, t) =>
      f.forEach((row, c) =>
        row.forEach((v, i) => {
          gap = Math.max(gap, Math.abs(a[t][c][i] - v));
          most = Math.max(most, Math.abs(v));
        }),
      ),
    );
    return gap / most;
  },
  // A number for a reader: 0, 0.67, 3.1e-16.
  said(v) {
    if (v === 0) return "0";
    return v < 0.001 ? v.toExponential(1) : v.toFixed(v < 0.1 ? 3 : 2);
  },
  signed: (v) => (v > 0 ? `+${v}` : `${v}`.replace("-", "−")),

  // A labelled slider in `place`; calls `changed` when it moves. Returns the input.
  slider(place, id, label, about, changed, words = eqflow.signed) {
    const input = Object.assign(document.createElement("input"), { type: "range", id, ...about });
    input.value = about.value;
    const shown = Object.assign(document.createElement("output"), { htmlFor: id });
    const row = Object.assign(document.createElement("label"), { htmlFor: id });
    row.append(label, " ", input, shown);
    const tell = () => {
      shown.textContent = words(+input.value);
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => (tell(), changed()));
    input.addEventListener("keydown", (event) => event.stopPropagation()); // arrows do not turn the page
    tell();
    place.append(row);
    return input;
  },
  select(place, id, label, choices, changed) {
    const input = Object.assign(document.createElement("select"), { id });
    for (const [value, text] of Object.entries(choices)) input.add(new Option(text, value));
    const row = Object.assign(document.createElement("label"), { htmlFor: id });
    row.append(label, " ", input);
    input.addEventListener("input", changed);
    place.append(row);
    return input;
  },
  // A picture (rows x columns in [0, 1]) with a title, in `place`; returns a function that draws it anew.
  picture(place, title) {
    const box = document.createElement("figure");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    const caption = document.createElement("figcaption");
    box.append(caption, canvas);
    place.append(box);
    return (rows, alt, text = title, mark = "") => {
      box.className = mark;
      caption.textContent = text;
      canvas.setAttribute("aria-label", alt);
      [canvas.width, canvas.height] = [rows[0].length, rows.length];
      const context = canvas.getContext("2d");
      const image = context.createImageData(canvas.width, canvas.height);
      rows.forEach((row, y) =>
        row.forEach((v, x) => image.data.set([...eqflow.colour(v), 255], 4 * (y * canvas.width + x))),
      );
      context.putImageData(image, 0, 0);
    };
  },
  // Cividis, by six of its colours.
  colour(v) {
    const stops = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
    const place = Math.min(Math.max(v, 0), 1) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((a, k) => Math.round(a + (place - low) * (stops[low + 1][k] - a)));
  },
  // An SVG element with attributes.
  svg(tag, about, text = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(about)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  },
};
window.eqflow = eqflow;

// The viewer of the report: draws a study, its map and boxes from the numbers in the page, as the browser of the
// notebooks does in cxrlib/show/browse/overlay.py.
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Bilinear, the outer edges of both pictures coincide.
function resized(source, rows, columns, height, width) {
  const axis = (from, to) =>
    Array.from({ length: to }, (_, at) => {
      const place = Math.max(0, ((at + 0.5) * from) / to - 0.5);
      const low = Math.min(Math.floor(place), from - 1);
      return [low, Math.min(low + 1, from - 1), place - low];
    });
  const across = axis(columns, width);
  const out = new Float32Array(height * width);
  axis(rows, height).forEach(([top, bottom, down], y) => {
    across.forEach(([left, right, aside], x) => {
      const upper = source[top * columns + left] * (1 - aside) + source[top * columns + right] * aside;
      const lower = source[bottom * columns + left] * (1 - aside) + source[bottom * columns + right] * aside;
      out[y * width + x] = upper * (1 - down) + lower * down;
    });
  });
  return out;
}

function largestOf(values) {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

// The top share of the pixels by rank; zeros never count.
function topPixels(heatmap, share) {
  const order = Array.from(heatmap.keys()).sort((a, b) => heatmap[b] - heatmap[a] || a - b);
  const mask = new Uint8Array(heatmap.length);
  order.slice(0, Math.round(share * heatmap.length)).forEach((at) => (mask[at] = heatmap[at] > 0 ? 1 : 0));
  return mask;
}

// The pixels of the background that are connected with the border.
function outsideOf(mask, side) {
  const outside = new Uint8Array(mask.length);
  const waiting = [];
  const visit = (at) => {
    if (!mask[at] && !outside[at]) {
      outside[at] = 1;
      waiting.push(at);
    }
  };
  for (let i = 0; i < side; i++) [i, (side - 1) * side + i, i * side, i * side + side - 1].forEach(visit);
  while (waiting.length) {
    const at = waiting.pop();
    const x = at % side;
    if (x > 0) visit(at - 1);
    if (x < side - 1) visit(at + 1);
    if (at >= side) visit(at - side);
    if (at < side * (side - 1)) visit(at + side);
  }
  return outside;
}

function onEdge(outside, at, side) {
  const x = at % side;
  const y = (at - x) / side;
  if (x === 0 || y === 0 || x === side - 1 || y === side - 1) return true;
  return outside[at - 1] || outside[at + 1] || outside[at - side] || outside[at + side];
}

// The two sides of a region's border: its own pixels beside others, and those around it. The picture's border is none.
function edgeOf(inside, side) {
  const sides = [[], []];
  for (let at = 0; at < inside.length; at++) {
    const x = at % side;
    const beside = [x > 0 ? at - 1 : at, x < side - 1 ? at + 1 : at, at >= side ? at - side : at];
    beside.push(at < side * (side - 1) ? at + side : at);
    if (beside.some((other) => inside[other] !== inside[at])) sides[inside[at] ? 0 : 1].push(at);
  }
  return sides;
}

// Boxes around the parts of a mask in the frame of the readers' boxes; a part inside a hole of another has none.
function boxesOf(mask, input, size) {
  const touched = resized(mask, input, input, size, size).map((value) => (value * 255 >= 0.5 ? 1 : 0));
  const outside = outsideOf(touched, size);
  const seen = new Uint8Array(touched.length);
  const boxes = [];
  for (let start = 0; start < touched.length; start++) {
    if (!touched[start] || seen[start]) continue;
    const box = [size, size, 0, 0];
    let outer = false;
    const waiting = [start];
    seen[start] = 1;
    while (waiting.length) {
      const at = waiting.pop();
      const x = at % size;
      const y = (at - x) / size;
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + 1);
      box[3] = Math.max(box[3], y + 1);
      outer = outer || onEdge(outside, at, size);
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          const next = at + dy * size + dx;
          if (x + dx < 0 || x + dx >= size || y + dy < 0 || y + dy >= size || !touched[next] || seen[next]) continue;
          seen[next] = 1;
          waiting.push(next);
        }
      }
    }
    if (outer) boxes.push(box);
  }
  return boxes;
}

function iouOf(a, b) {
  const wide = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const high = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return (wide * high) / (area(a) + area(b) - wide * high);
}

// Mean over all pairs of boxes; zero where the map has no box.
function allPairs(predicted, readers) {
  const scores = predicted.flatMap((box) => readers.map((other) => iouOf(box, other)));
  return scores.length ? scores.reduce((sum, score) => sum + score, 0) / scores.length : 0;
}

function strokeBox(context, box, colour, pattern) {
  const [left, top] = [Math.round(box[0]), Math.round(box[1])];
  const [right, bottom] = [Math.round(box[2]) - 1, Math.round(box[3]) - 1];
  const sides = [
    [left, top, right, top],
    [right, top, right, bottom],
    [right, bottom, left, bottom],
    [left, bottom, left, top],
  ];
  for (const [style, reach] of [["#000", 2], [colour, 1]]) {
    context.fillStyle = style;
    for (const [x0, y0, x1, y1] of sides) {
      for (const [from, to] of strokesOf(Math.abs(x1 - x0) + Math.abs(y1 - y0), pattern)) {
        const [dx, dy] = [Math.sign(x1 - x0), Math.sign(y1 - y0)];
        const ends = [[x0 + dx * from, y0 + dy * from], [x0 + dx * to, y0 + dy * to]];
        const [x, y] = [Math.min(ends[0][0], ends[1][0]) - reach, Math.min(ends[0][1], ends[1][1]) - reach];
        const [w, h] = [Math.abs(ends[0][0] - ends[1][0]), Math.abs(ends[0][1] - ends[1][1])];
        context.fillRect(x, y, w + 2 * reach + 1, h + 2 * reach + 1);
      }
    }
  }
}

function strokesOf(length, pattern) {
  if (!pattern.length) return [[0, length]];
  const strokes = [];
  for (let at = 0, number = 0; at < length; number++) {
    const stop = Math.min(at + pattern[number % pattern.length], length);
    if (number % 2 === 0) strokes.push([at, stop]);
    at = stop;
  }
  return strokes;
}

function startViewer(root, data) {
  const part = (name) => root.querySelector(`[name="${name}"]`);
  const [study, label, method, share, opacity] = ["study", "class", "method", "share", "opacity"].map(part);
  const canvas = root.querySelector("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const colours = bytesOf(data.colours);
  const stores = data.methods.map((store) => ({
    ...store,
    values: new Uint16Array(bytesOf(store.maps || store.values).buffer),
    steps: bytesOf(store.steps || ""),
  }));
  const css = (colour) => `rgb(${colour.join(",")})`;
  const option = (name, value) => new Option(name, value);
  study.replaceChildren(...data.studies.map((one, at) => option(one.name, at)));
  label.replaceChildren(...data.classes.map(option));
  method.replaceChildren(...stores.map((one, at) => option(one.name, at)));
  [study.value, label.value] = data.first;
  share.value = Math.round(100 * data.share);
  opacity.value = Math.round(100 * data.opacity);
  canvas.width = canvas.height = data.side;

  function rawMap() {
    const store = stores[method.value];
    if (store.cases) return pixelMap(store);
    const place = store.studies.indexOf(Number(study.value));
    if (place < 0) return null;
    const cells = store.rows * store.columns;
    const start = (place * data.classes.length + Number(label.value)) * cells;
    return { ...store, cells: store.values.subarray(start, start + cells) };
  }

  // A map of every pixel: its values, the order of its pixels, and the value that has the strongest colour.
  function pixelMap(store) {
    const place = store.cases.findIndex(([at, name]) => at === Number(study.value) && name === Number(label.value));
    if (place < 0) return null;
    const count = data.input * data.input;
    const means = store.values.subarray((place * store.values.length) / store.cases.length);
    const steps = store.steps.subarray(place * count, (place + 1) * count);
    const cells = Float32Array.from(steps, (step) => (step === 255 ? 0 : means[step]));
    return { cells, order: steps.map((step) => 255 - step), rows: data.input, columns: data.input, top: 65535 * store.tops[place] };
  }

  function drawHeatmap(heatmap, top) {
    const whole = resized(heatmap, data.input, data.input, data.side, data.side);
    const largest = top || largestOf(heatmap);
    const picture = context.getImageData(0, 0, data.side, data.side);
    const strength = opacity.value / 100;
    for (let at = 0; largest > 0 && at < whole.length; at++) {
      const row = 4 * Math.round(Math.min(1, whole[at] / largest) * 255);
      const weight = (strength * colours[row + 3]) / 255;
      for (let band = 0; band < 3; band++) {
        const before = top ? Math.round(picture.data[4 * at + band] * data.dimmed) : picture.data[4 * at + band];
        picture.data[4 * at + band] = Math.round(before * (1 - weight) + strength * colours[row + band]);
      }
    }
    for (const level of largest > 0 && !top ? data.contours : []) {
      const [line, around] = edgeOf(whole.map((value) => (value / largest >= level ? 1 : 0)), data.side);
      for (const [pixels, grey] of [[line, 255], [around, 0]]) {
        for (const at of pixels) picture.data.fill(grey, 4 * at, 4 * at + 3);
      }
    }
    context.putImageData(picture, 0, 0);
  }

  function drawMask(mask) {
    const scale = data.input / data.side;
    const large = new Uint8Array(data.side * data.side).map((_, at) => {
      const x = at % data.side;
      const y = (at - x) / data.side;
      return mask[Math.floor(y * scale) * data.input + Math.floor(x * scale)];
    });
    const [line, around] = edgeOf(large, data.side);
    const within = large.slice();
    line.forEach((at) => (within[at] = 0));
    const second = edgeOf(within, data.side)[0];
    for (const [pixels, colour] of [[line, css(data.predicted)], [second, css(data.predicted)], [around, "#000"]]) {
      context.fillStyle = colour;
      for (const at of pixels) context.fillRect(at % data.side, Math.floor(at / data.side), 1, 1);
    }
  }

  function write(one, raw, predicted, readers, ids) {
    const name = data.classes[label.value];
    root.querySelector("tbody").replaceChildren(
      ...data.classes.map((title, at) => {
        const row = document.createElement("tr");
        row.className = [at === Number(label.value) ? "chosen" : "", one.p[at] >= 0.5 ? "yes" : ""].join(" ");
        for (const text of [title, one.p[at].toFixed(3), one.labels[at] ? "labelled" : ""]) {
          const cell = row.appendChild(document.createElement("td"));
          cell.textContent = text;
        }
        return row;
      }),
    );
    const who = ids.map((id, at) => `${id} (${["solid", "dashed", "dotted", "dash-dotted"][at % 4]})`).join(", ");
    const sentences = [
      !raw
        ? `There is no map of ${method.selectedOptions[0].text} for this study and class here.`
        : largestOf(raw.cells) === 0
          ? "This map is zero: nothing speaks for the class."
          : "",
      !readers.length
        ? `No reader boxed ${name} here.`
        : raw
          ? `${data.score}: ${allPairs(predicted, readers).toFixed(3)} (${data.meaning}).`
          : "",
      readers.length ? `Boxes by ${who}.` : "",
    ];
    root.querySelector(".said").textContent = sentences.filter(Boolean).join(" ");
    const text = `${one.name}, ${name}, ${method.selectedOptions[0].text}, top ${share.value} % of the pixels`;
    root.querySelector("figcaption").textContent = text.charAt(0).toUpperCase() + text.slice(1);
    canvas.setAttribute("aria-label", `${text}. Arrow keys: study and top pixels.`);
    for (const slider of [share, opacity]) slider.nextElementSibling.textContent = `${slider.value} %`;
  }

  let newest = 0;
  async function show() {
    const number = ++newest;
    const one = data.studies[study.value];
    const image = new Image();
    image.src = `data:image/jpeg;base64,${one.jpeg}`;
    await image.decode();
    if (number !== newest) return;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, data.side, data.side);
    const raw = rawMap();
    const own = one.boxes.filter((row) => row[0] === Number(label.value));
    const ids = [...new Map(own.map((row) => [row[1], row[2]])).values()];
    const scale = data.side / data.size;
    let predicted = [];
    if (raw) {
      const heatmap = resized(raw.cells, raw.rows, raw.columns, data.input, data.input);
      const mask = topPixels(raw.order || heatmap, share.value / 100);
      predicted = boxesOf(mask, data.input, data.size);
      if (part("heatmap").checked) drawHeatmap(heatmap, raw.top);
      if (part("mask").checked) drawMask(mask);
    }
    const large = (box) => box.map((value) => value * scale);
    if (part("readers").checked) {
      own.forEach((row) => strokeBox(context, large(row.slice(3)), css(data.true), data.lines[row[1] % data.lines.length]));
    }
    if (part("predicted").checked) predicted.forEach((box) => strokeBox(context, large(box), css(data.predicted), []));
    const readers = own.map((row) => row.slice(3));
    write(one, raw, predicted, readers, ids);
    root.dataset.drawn = number;
  }

  function step(by) {
    study.value = (Number(study.value) + by + data.studies.length) % data.studies.length;
    show();
  }
  root.addEventListener("input", show);
  root.querySelector("[data-step='-1']").addEventListener("click", () => step(-1));
  root.querySelector("[data-step='1']").addEventListener("click", () => step(1));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => share.stepUp(), ArrowDown: () => share.stepDown() };
    if (!moves[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
    show();
  });
  for (const link of document.querySelectorAll("[data-look]")) {
    link.addEventListener("click", () => {
      const [id, name] = JSON.parse(link.dataset.look);
      const at = data.studies.findIndex((one) => one.id === id);
      if (at < 0) return;
      [study.value, label.value] = [at, data.classes.indexOf(name)];
      show();
    });
  }
  root.hidden = false;
  return show();
}

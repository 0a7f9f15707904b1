// A picture on which one box is drawn, by mouse, pen, finger or keys. The box is in pixels of the image's own frame.
const LEAST = 0.01; // a shorter drag, as a share of the side, is a tap and draws nothing
const STEP = 0.02; // of the side, for each stroke of a key
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FIRST = [0.375, 0.375, 0.625, 0.625];

const within = (value, low, high) => Math.min(Math.max(value, low), high);

function moved([left, top, right, bottom], across, down) {
  const x = within(across, -left, 1 - right);
  const y = within(down, -top, 1 - bottom);
  return [left + x, top + y, right + x, bottom + y];
}

function resized([left, top, right, bottom], across, down) {
  return [left, top, within(right + across, left + STEP, 1), within(bottom + down, top + STEP, 1)];
}

function render({ model, el }) {
  const figure = document.createElement("figure");
  const surface = document.createElement("div");
  const image = document.createElement("img");
  const drawn = document.createElement("div");
  const caption = document.createElement("figcaption");
  figure.className = "cxr-draw";
  surface.className = "cxr-draw-surface";
  drawn.className = "cxr-drawn";
  image.draggable = false;
  surface.tabIndex = 0;
  surface.setAttribute("role", "application");
  surface.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the keys
  caption.setAttribute("aria-live", "polite");
  surface.append(image, drawn);
  figure.append(surface, caption);
  el.append(figure);

  let box = null; // left, top, right, bottom as shares of the side
  let start = null;
  let before = null;

  const show = () => {
    drawn.hidden = !box;
    let said = "No box yet.";
    if (box) {
      const [left, top, right, bottom] = box.map((share) => 100 * share);
      Object.assign(drawn.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
      const [l, t, r, b] = [left, top, right, bottom].map(Math.round);
      said = `Your box: ${l} to ${r} % from the left, ${t} to ${b} % from the top.`;
    }
    const keys = "Arrow keys move the box, with shift they change its size, enter scores it.";
    surface.setAttribute("aria-label", `${model.get("alt")} ${said} ${model.get("locked") ? "" : keys}`);
    surface.setAttribute("aria-disabled", String(model.get("locked")));
  };
  const tell = () => {
    const side = model.get("side");
    model.set("box", box ? box.map((share) => share * side) : []);
    model.save_changes();
  };
  const place = ({ clientX, clientY }) => {
    const frame = image.getBoundingClientRect();
    return [within((clientX - frame.left) / frame.width, 0, 1), within((clientY - frame.top) / frame.height, 0, 1)];
  };

  surface.addEventListener("pointerdown", (event) => {
    if (model.get("locked") || !event.isPrimary || event.button) return;
    event.preventDefault();
    surface.focus({ preventScroll: true });
    surface.setPointerCapture(event.pointerId);
    [start, before] = [place(event), box];
  });
  surface.addEventListener("pointermove", (event) => {
    if (!start || !event.isPrimary) return;
    const [x, y] = place(event);
    box = [Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)];
    show();
  });
  const end = (event) => {
    if (!start || !event.isPrimary) return;
    const whole = event.type === "pointerup" && box && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST;
    if (!whole) box = before;
    start = null;
    show();
    tell();
  };
  surface.addEventListener("pointerup", end);
  surface.addEventListener("pointercancel", end);

  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const move = MOVES[event.key];
    if (!move && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") {
      model.send({ entered: true });
    } else if (!model.get("locked")) {
      const steps = move.map((one) => one * STEP);
      box = box ? (event.shiftKey ? resized : moved)(box, ...steps) : FIRST;
      show();
      tell();
    }
  });

  let url = "";
  const showImage = () => {
    const bytes = model.get("image");
    const old = url;
    url = bytes.byteLength ? URL.createObjectURL(new Blob([bytes])) : "";
    image.hidden = !url;
    if (url) image.src = url;
    if (old) URL.revokeObjectURL(old);
  };
  const follow = () => {
    const [given, side] = [model.get("box"), model.get("side")];
    if (!start) box = given.length ? given.map((value) => value / side) : null; // not while a box is being drawn
    image.alt = "";
    caption.textContent = model.get("caption");
    show();
  };
  model.on("change:image", showImage);
  model.on("change:box change:side change:caption change:alt change:locked", follow);
  showImage();
  follow();
  return () => url && URL.revokeObjectURL(url);
}

export default { render };

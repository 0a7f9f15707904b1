// A picture that keeps the old image until the new one is decoded, and that answers to the arrow keys.
const MOVES = { ArrowLeft: ["across", -1], ArrowRight: ["across", 1], ArrowDown: ["up", -1], ArrowUp: ["up", 1] };

// JupyterLab takes the arrow keys from the menus in a cell's output, and ipywidgets names its sliders for the eye only:
// keep the keys, and repeat the names where a screen reader looks for them.
function makeAccessible(browser) {
  const all = (selector) => browser?.querySelectorAll(selector) ?? [];
  for (const control of all("select, input, button, .noUi-handle, .cxr-picture")) {
    control.dataset.lmSuppressShortcuts = "true";
  }
  for (const slider of all(".widget-slider")) {
    const name = slider.querySelector(".widget-label")?.textContent;
    slider.querySelector(".noUi-handle")?.setAttribute("aria-label", name);
  }
}

function render({ model, el }) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  const gone = document.createElement("p");
  figure.className = "cxr-picture";
  figure.append(image, caption, gone);
  caption.setAttribute("aria-live", "polite");
  gone.className = "cxr-gone";
  gone.textContent = "The kernel was stopped or restarted: run this cell again.";
  el.append(figure);

  if (model.get("arrows")) {
    figure.tabIndex = 0;
    figure.setAttribute("role", "group");
    figure.setAttribute("aria-label", "Radiograph. Left and right arrow: study. Up and down arrow: top pixels.");
    figure.addEventListener("pointerdown", () => figure.focus());
    figure.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      model.set(move[0], model.get(move[0]) + move[1]);
      model.save_changes();
    });
  }

  let newest = 0;
  const show = async () => {
    const number = ++newest;
    const bytes = model.get("image");
    const old = image.src;
    if (bytes.byteLength) {
      const url = URL.createObjectURL(new Blob([bytes]));
      const next = new Image();
      next.src = url;
      await next.decode();
      if (number !== newest) return URL.revokeObjectURL(url);
      image.src = url;
    } else {
      image.removeAttribute("src");
    }
    image.hidden = !bytes.byteLength;
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    makeAccessible(el.closest(".cxr-browser"));
  };
  const describe = () => {
    image.alt = model.get("alt");
    caption.textContent = model.get("caption");
  };
  model.on("change:image", show);
  model.on("change:alt change:caption", describe);
  model.on("msg:custom", ({ name, type }, [bytes]) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  show();
  describe();
}

export default { render };

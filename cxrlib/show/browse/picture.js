// A picture that keeps the old image and caption until the new image is decoded, and that answers to the arrow keys.
const MOVES = { ArrowLeft: ["across", -1], ArrowRight: ["across", 1], ArrowDown: ["up", -1], ArrowUp: ["up", 1] };

// JupyterLab takes the arrow keys from the menus in a cell's output, and ipywidgets names its sliders for the eye only:
// keep the keys, and repeat the names where a screen reader looks for them.
function makeAccessible(browser) {
  const all = (selector) => browser?.querySelectorAll(selector) ?? [];
  for (const control of all("select, input, button, .noUi-handle, .cxr-picture")) {
    control.dataset.lmSuppressShortcuts = "true";
  }
  for (const nameless of all('[title="null"]')) nameless.removeAttribute("title");
  for (const slider of all(".widget-slider")) {
    const name = slider.querySelector(".widget-label")?.textContent;
    slider.querySelector(".noUi-handle")?.setAttribute("aria-label", name);
  }
}

// Controls are drawn after the picture, and anew in another tab. The first picture of the browser looks after them all.
function followControls(figure) {
  let browser = null;
  const observer = new MutationObserver(() => {
    if (browser.querySelector(".cxr-picture") === figure) makeAccessible(browser);
  });
  const follow = () => {
    if (browser) return;
    browser = figure.closest(".cxr-browser");
    makeAccessible(browser);
    const changes = { childList: true, subtree: true, attributeFilter: ["title"] }; // titles come after their controls
    if (browser) observer.observe(browser, changes);
  };
  return [follow, () => observer.disconnect()];
}

// Jupyter and Voila say nothing when a kernel dies or their server stops. So the kernel is asked to answer whenever a
// control is used. Where it does not answer, the page says so and fades what the control no longer moves.
const PATIENCE = 5000;
const USES = ["change", "click", "keyup", "pointerup"];

function send(model, content) {
  try {
    model.send(content);
  } catch {
    // a kernel that nothing can be sent to does not answer either
  }
}

function watchKernel(model, figure) {
  let asked = 0;
  let answered = 0;
  const ask = ({ target }) => {
    const browser = figure.closest(".cxr-browser");
    if (!browser?.contains(target) || browser.querySelector(".cxr-picture") !== figure) return;
    const question = ++asked;
    send(model, { question });
    setTimeout(() => {
      // the picture of a tab that was closed meanwhile hears no answer, and another one is asked from now on
      if (figure.isConnected) browser.classList.toggle("cxr-silent", answered < question);
    }, PATIENCE);
  };
  const hear = ({ answer }) => {
    if (!answer) return;
    answered = Math.max(answered, answer);
    figure.closest(".cxr-browser")?.classList.remove("cxr-silent");
  };
  for (const use of USES) document.addEventListener(use, ask, true);
  model.on("msg:custom", hear);
  return () => USES.forEach((use) => document.removeEventListener(use, ask, true));
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
  gone.textContent = "No answer from the kernel. If it was stopped or restarted, run this cell again or reload the page.";
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

  // The first picture does not wait for what else the kernel has to load.
  let told = false;
  const tellShown = () => {
    if (told) return;
    told = true;
    requestAnimationFrame(() => setTimeout(() => send(model, { shown: true })));
  };

  const [followSoon, stopFollowing] = followControls(figure);

  // Image, caption and text are of one moment: they change together, when the image is decoded.
  let newest = 0;
  const show = async () => {
    const number = ++newest;
    await null; // the three values arrive together, and each of them calls this
    if (number !== newest) return;
    const bytes = model.get("image");
    let [text, alt] = [model.get("caption"), model.get("alt")];
    let url = bytes.byteLength ? URL.createObjectURL(new Blob([bytes])) : "";
    if (url) {
      const next = new Image();
      next.src = url;
      try {
        await next.decode();
      } catch {
        URL.revokeObjectURL(url);
        [url, text, alt] = ["", `This picture could not be decoded. ${text}`, ""];
      }
      if (number !== newest) return url && URL.revokeObjectURL(url);
    }
    const old = image.src;
    if (url) image.src = url;
    else image.removeAttribute("src");
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    image.hidden = !url;
    figure.classList.toggle("cxr-empty", !url);
    image.alt = alt;
    caption.textContent = text;
    followSoon();
    if (url) tellShown();
  };
  model.on("change:image change:alt change:caption", show);
  model.on("msg:custom", ({ name, type }, [bytes]) => {
    if (!name) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  show();
  const stopWatching = watchKernel(model, figure);
  return () => {
    stopFollowing();
    stopWatching();
  };
}

export default { render };

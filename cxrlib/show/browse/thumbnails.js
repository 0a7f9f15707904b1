// A row of buttons with a small picture each.
function render({ model, el }) {
  const row = document.createElement("div");
  row.className = "cxr-row";
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Listed studies");
  el.append(row);

  const show = () => {
    const [names, sources, chosen] = ["names", "sources", "chosen"].map((name) => model.get(name));
    while (row.children.length > names.length) row.lastChild.remove();
    names.forEach((name, at) => {
      let button = row.children[at];
      if (!button) {
        button = row.appendChild(document.createElement("button"));
        button.type = "button";
        button.append(document.createElement("img"));
        button.addEventListener("click", () => model.send({ clicked: button.title }));
      }
      button.title = name;
      button.setAttribute("aria-label", `study ${name}`);
      button.setAttribute("aria-pressed", String(name === chosen));
      button.firstChild.alt = "";
      if (button.firstChild.getAttribute("src") !== sources[at]) button.firstChild.src = sources[at];
    });
  };
  model.on("change:names change:sources change:chosen", show);
  show();
}

export default { render };

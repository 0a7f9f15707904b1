// Where am I: the section that the reader sees is marked in the contents. A large picture closes with Escape.
const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-15% 0px -75% 0px" },
);
document.querySelectorAll("main > section[id]").forEach((section) => watcher.observe(section));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && location.hash.endsWith("-large")) location.hash = location.hash.slice(1, -6);
});
// A link into a fold opens the fold.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (target?.closest("details")) target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(text);
    await navigator.clipboard?.writeText(text.textContent).catch(() => {});
    button.textContent = "Copied";
  });
}
const stored = document.getElementById("viewer-data");
if (stored) startViewer(document.getElementById("viewer"), JSON.parse(stored.textContent));

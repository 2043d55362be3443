"use strict";
// From the address to a page.

const PAGES = {
  "": homePage, layer: layerPage, unit: unitPage, polysemantic: polysemanticPage, classes: classesPage,
  class: classPage, images: imagesPage, atlas: atlasPage, image: imagePage, search: searchPage,
};
const NAV = [["", "Layers"], ["polysemantic", "Polysemantic"], ["classes", "Classes"], ["images", "Images"]];
const OWNERS = { layer: "", unit: "", class: "classes", image: "images" };
let shown = 0;
history.scrollRestoration = "manual";

async function show() {
  const [kind, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  const turn = ++shown, page = PAGES[kind] ?? (() => notFound(kind));
  const [title, ...content] = await page(...rest);
  if (turn !== shown) return;
  document.title = title === "Microscope" ? title : `${title} · Microscope`;
  const view = document.getElementById("view");
  view.replaceChildren(...content.flat(9).filter(Boolean));
  for (const link of document.querySelectorAll("#nav a")) {
    const current = link.hash.split("/")[1] === (OWNERS[kind] ?? kind);
    if (current) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  view.dataset.page = kind;
  scrollTo(0, 0);
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = { ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]", "/": "#search input" }[event.key];
  const target = wanted && document.querySelector(wanted);
  if (!target) return;
  event.preventDefault();
  if (event.key === "/") target.focus(); else target.click();
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = `#/search/${encodeURIComponent(event.target.q.value)}`;
});

addEventListener("hashchange", () => { show().then(() => document.getElementById("view").focus({ preventScroll: true })); });

(async () => {
  const [facts] = await Promise.all([load("site"), load("status")]);
  const view = document.getElementById("view");
  if (!facts) { view.replaceChildren(el("p", {}, "The images are being read. Reload in a while.")); return; }
  document.getElementById("model").textContent = facts.variant;
  if (facts.atlas.length) NAV.splice(2, 0, [`atlas/${facts.atlas.at(-1)}`, "Atlas"]);
  document.getElementById("nav").append(...NAV.map(([to, text]) => link(to, text)));
  await load("images");
  await show();
})();

"use strict";
// The pages: each returns what is shown, [title, ...elements].

const steps = (before, after) => el("span.steps", {},
  before !== null ? el("a", { href: `#/${before}`, rel: "prev" }, "← previous") : null,
  after !== null ? el("a", { href: `#/${after}`, rel: "next" }, "next →") : null);

function neighbors(path, number, total) {
  return steps(number > 0 ? `${path}/${number - 1}` : null, number + 1 < total ? `${path}/${number + 1}` : null);
}

async function homePage() {
  await load("units");
  const status = values.get("status"), missing = status ? status.parts - status.there.length : 0;
  const units = site().layers.reduce((sum, layer) => sum + layer.units, 0);
  const cards = [...site().layers].reverse().map((layer) => el("a.card", { href: `#/layer/${layer.name}` },
    el("strong", {}, brief(layer.name)),
    el("div.quiet.small", {}, `${count(layer.units, "unit")} · ${layer.side}×${layer.side} places · sees ${Math.min(layer.field[0], site().size)} px`),
    el("span.strip", { "aria-hidden": "true" }, samples(layer.units).map((unit) => face(layer, unit)))));
  return ["Microscope",
    el("h1", {}, count(units, "unit")),
    el("p.quiet", {}, `What each unit looks for, which of ${count(site().images, "image")} excite it, what it is made of, and which of ${count(site().classes.length, "class", "classes")} it speaks for. The deepest layers come first.`),
    missing ? el("p.quiet", { role: "status" }, `This site is being made: ${status.there.length} of ${status.parts} parts are there. Run the same command again to go on, and reload.`) : null,
    unreadable(),
    list("cards", cards),
    el("p.quiet.small", {}, "Keys: / searches, ← and → lead to the neighbors.")];
}

const samples = (units) => Array.from({ length: Math.min(8, units) }, (_, i) => Math.floor(i * units / Math.min(8, units)));

function unreadable() {
  const errors = Object.values(site().errors);
  if (!errors.length) return null;
  return el("details.quiet.small", {}, el("summary", {}, `${count(errors.length, "image")} could not be read`),
    list("rows", errors.map((text) => el("span", {}, text))));
}

async function layerPage(name, order = "number") {
  const layer = layerOf(name);
  if (!layer) return notFound(name);
  const summary = (await load("units"))[name];
  const units = summary.map((_, unit) => unit);
  if (order === "classes") units.sort((a, b) => summary[b][1] - summary[a][1] || a - b);
  if (order === "vote") units.sort((a, b) => shortClass(summary[a][2]).localeCompare(shortClass(summary[b][2])) || a - b);
  const note = (unit) => [unitName(name, unit),
    order === "classes" ? ` · ${count(summary[unit][1], "class", "classes")}` : "",
    order === "vote" ? ` · ${shortClass(summary[unit][2]) || "none"}` : ""].join("");
  const select = el("select", { onchange: (event) => { location.hash = `#/layer/${name}/${event.target.value}`; } },
    [["number", "number"], ["classes", "classes that excite it"], ["vote", "class it speaks for"]].map(([value, text]) =>
      el("option", { value, selected: value === order ? "" : null }, text)));
  const at = site().layers.indexOf(layer);
  return [brief(name),
    el("h1", {}, name),
    el("p.quiet", {}, `${count(layer.units, "unit")}${layer.units < layer.channels ? ` of ${layer.channels}` : ""} on a map of ${layer.side}×${layer.side} places. A place sees ${layer.field[0]} pixels per side${layer.field[0] >= site().size ? ", the whole image" : ""}.`),
    el("div.bar", {}, el("label", {}, "Sorted by ", select),
      steps(at > 0 ? `layer/${site().layers[at - 1].name}` : null, at + 1 < site().layers.length ? `layer/${site().layers[at + 1].name}` : null)),
    list("tiles", units.map((unit) => unitTile(name, unit, note(unit))))];
}

async function unitPage(name, text) {
  const layer = layerOf(name), unit = Number(text);
  if (!layer || !(unit < layer.units)) return notFound(`${name}:${text}`);
  const [rows] = await Promise.all([load(`layer-${name}`), load("units"), load("images")]);
  const row = rows[unit];
  return [unitName(name, unit),
    el("div.bar.crumbs", {}, link(`layer/${name}`, name), neighbors(`unit/${name}`, unit, layer.units)),
    el("h1", {}, unitName(name, unit)),
    el("p.quiet", {}, excitement(row)),
    el("div.columns", {}, visualizations(layer, unit), votes(layer, row)),
    examples(layer, row),
    await connections(layer, unit)];
}

function excitement(row) {
  if (!row.top.length) return "No image on show excites this unit.";
  const kind = site().labeled ? "class" : "predicted class";
  return `Excited by the images of ${count(row.excites, kind, `${kind}es`)}: as many have at least half the mean activation of the strongest.`
    + (row.excites > 1 ? " Several unlike ones make a unit polysemantic." : "");
}

function visualizations(layer, unit) {
  const made = [visualization(layer, unit), opposite(layer, unit)];
  if (!made[0]) return el("div.pair", {}, el("figure", {}, face(layer, unit), el("figcaption", {}, site().sheet ? "Its visualization is not made yet: the image that excites it most." : "The image that excites it most.")));
  return el("div.pair", {},
    el("figure", {}, made[0], el("figcaption", {}, "What excites it most: an image made for this unit")),
    made[1] ? el("figure", {}, made[1], el("figcaption", {}, "Its opposite: what inhibits it most")) : null);
}

function votes(layer, row) {
  const byWeights = layer.votes === "weights";
  const kind = byWeights ? "by the classifier's weights" : `by the mean activation over the images ${site().labeled ? "of" : "predicted as"} a class`;
  return el("section", {}, el("h3", {}, "Votes for"), el("p.quiet.small", {}, kind),
    row.for.length ? bars(row.for, classLink) : el("p.quiet", {}, "no class"),
    row.against.length ? [el("h3", {}, "Votes against"), bars(row.against, classLink, { negative: true })] : null);
}

function examples(layer, row) {
  const holder = el("div.columns");
  const fill = (draw) => holder.replaceChildren(...[["Images that excite it most", row.top], ["Images of its middle range", row.middle]].map(([title, found]) =>
    el("section", {}, el("h2", {}, title),
      found.length ? list("tiles.nine", found.map(([image, place, value]) => link(`image/${image}`, draw(image, place, layer), `${value} ${labelOf(image)}`))) : el("p.quiet", {}, "none"))));
  const button = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
    const pressed = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(pressed));
    fill(pressed ? framed : crop);
  } }, "Whole images");
  fill(crop);
  const cropped = layer.field[0] < site().size;
  return el("section", {}, holder, el("div.bar", {}, button,
    el("span.quiet.small", {}, cropped ? "Cropped to what the unit sees there; with each image its activation." : "The unit sees the whole image; the frame is where it is excited most.")));
}

function labelOf(image) {
  const { labels, predictions } = values.get("images");
  const shown = labels[image].length ? labels[image] : predictions[image] ? [predictions[image][0]] : [];
  return shown.map(shortClass).join(", ");
}

async function connections(layer, unit) {
  const pairs = site().connections.filter((pair) => pair.includes(layer.name));
  const parts = await Promise.all(pairs.map(async ([source, target]) => {
    const before = target === layer.name, other = before ? source : target;
    const data = await load(`connections-${source}-${target}`);
    const rows = data?.[before ? "before" : "after"][unit];
    return el("section", {}, el("h2", {}, before ? `Made of: ${brief(other)}` : `Read by: ${brief(other)}`),
      rows ? el("ul.rows", {}, rows.map(([end, strength, side, text]) => el(`li${strength < 0 ? ".negative" : ""}`, {},
        unitRow(other, end), kernel(side, text), el("span.value", {}, strength.toPrecision(2))))) : el("p.quiet", {}, "not made yet"));
  }));
  if (!parts.length) return null;
  return [el("div.columns", {}, parts), el("p.quiet.small", {}, "The strongest expanded weights between modules, reductions and pools taken as linear:",
    el("i.legend", { style: "background:var(--positive)" }), "excites", el("i.legend", { style: "background:var(--negative)" }), "inhibits")];
}

async function polysemanticPage() {
  const summary = await load("units"), found = [];
  for (const layer of site().layers) summary[layer.name].forEach((row, unit) => { if (row[1] > 1) found.push([layer.name, unit, row[1]]); });
  found.sort((a, b) => b[2] - a[2]);
  return ["Polysemantic units", el("h1", {}, "Polysemantic units"),
    el("p.quiet", {}, "Units that the images of many classes excite: at least half the mean activation of the strongest class. Units that answer to unlike things are among them."),
    site().layers.map((layer) => {
      const own = found.filter(([name]) => name === layer.name).slice(0, 24);
      return own.length ? el("section", {}, el("h2", {}, link(`layer/${layer.name}/classes`, brief(layer.name))),
        list("tiles", own.map(([name, unit, classes]) => unitTile(name, unit, `${unitName(name, unit)} · ${classes}`)))) : null;
    }).reverse()];
}

async function classesPage() {
  const input = el("input", { type: "search", "aria-label": "Filter classes", placeholder: "Filter", oninput: () => fill(input.value) });
  const holder = el("div");
  const fill = (text) => holder.replaceChildren(list("rows", site().classes.map((_, c) => c)
    .filter((c) => matches(className(c), text) || matches(site().ids[c], text)).map((c) => classLink(c))));
  fill("");
  return ["Classes", el("h1", {}, count(site().classes.length, "class", "classes")), el("div.bar", {}, input), holder];
}

const matches = (name, text) => name.toLowerCase().includes(text.trim().toLowerCase());

async function classPage(text) {
  const c = Number(text), per = site().classesPerChunk;
  if (!(c < site().classes.length)) return notFound(text);
  const [chunk] = await Promise.all([load(`classes-${String(Math.floor(c / per)).padStart(3, "0")}`), load("units"), load("images")]);
  const row = chunk[c % per], last = site().layers.at(-1).name;
  const gallery = (title, rows, note) => rows.length ? el("section", {}, el("h2", {}, title),
    list("tiles", rows.map(([image, p]) => imageTile(image, note(image, p))))) : null;
  return [shortClass(c),
    el("div.bar.crumbs", {}, link("classes", "classes"), neighbors("class", c, site().classes.length)),
    el("h1", {}, className(c)),
    el("p.quiet", {}, `${site().ids[c] === className(c) ? "" : `${site().ids[c]} · `}${count(row.images, "image")} on show${site().labeled ? "" : ", by prediction"}`),
    row.for.length ? el("div.columns", {},
      el("section", {}, el("h2", {}, "Units that speak for it"), bars(row.for, (unit) => unitRow(last, unit))),
      el("section", {}, el("h2", {}, "Units that speak against it"), bars(row.against, (unit) => unitRow(last, unit), { negative: true }))) : null,
    row.for.length ? el("p.quiet.small", {}, `Their parts of the logit, on the mean of ${row.images ? "its" : "all"} images.`) : null,
    gallery("Most typical images", row.typical, (_, p) => percent(p)),
    gallery("Its images, taken for another class", row.missed, (image) => `taken for ${shortClass(values.get("images").predictions[image][0])}`),
    gallery("Other images, taken for it", row.mistaken, (image, p) => `${labelOf(image)} · ${percent(p)}`),
    Object.keys(row.layers).length ? el("h2", {}, "Layer by layer: units that its images excite unusually") : null,
    Object.entries(row.layers).reverse().map(([name, units]) => el("section", {}, el("h3", {}, link(`layer/${name}`, brief(name))),
      list("tiles", units.map(([unit]) => unitTile(name, unit)))))];
}

const PAGE = 120;

async function imagesPage(kind = "all", text = "0") {
  const { labels, predictions } = await load("images"), page = Number(text);
  const wrong = (i) => predictions[i] && labels[i].length && !labels[i].includes(predictions[i][0]);
  const all = predictions.map((_, i) => i).filter((i) => predictions[i] && (kind === "all" || wrong(i)));
  const shown = all.slice(page * PAGE, (page + 1) * PAGE);
  const mistakes = predictions.filter((_, i) => wrong(i)).length;
  return ["Images", el("h1", {}, kind === "all" ? count(all.length, "image") : count(all.length, "wrong prediction")),
    el("div.bar", {}, site().labeled ? (kind === "all" ? link("images/wrong", count(mistakes, "wrong prediction")) : link("images/all", "all images")) : null,
      steps(page > 0 ? `images/${kind}/${page - 1}` : null, (page + 1) * PAGE < all.length ? `images/${kind}/${page + 1}` : null)),
    list("tiles", shown.map((i) => imageTile(i, kind === "all" ? labelOf(i) : `${labelOf(i)} → ${shortClass(predictions[i][0])}`)))];
}

async function imagePage(text) {
  const image = Number(text), per = site().imagesPerChunk;
  const { names, labels, predictions } = await load("images");
  if (!(image < names.length)) return notFound(text);
  const [chunk] = await Promise.all([load(`images-${String(Math.floor(image / per)).padStart(3, "0")}`), load("units")]);
  const heading = [el("div.bar.crumbs", {}, link("images", "images"), neighbors("image", image, names.length)),
    el("h1", {}, names[image].split("/").pop()),
    el("p.quiet", {}, labels[image].length ? ["labeled ", labels[image].map((c, i) => [i ? ", " : "", link(`class/${c}`, className(c))])] : "no label")];
  if (!predictions[image]) return ["Image", heading, el("p", {}, site().errors[image])];
  const record = chunk?.[image % per];
  if (!record) return ["Image", heading, el("div.large", {}, whole(image)), el("p.quiet", {}, "What made its prediction is not computed yet.")];
  return [names[image], heading, looked(image, record), madeOf(record)];
}

function looked(image, record) {
  const figures = Object.keys(record.cams).map(Number).sort((a, b) => rank(record, a) - rank(record, b)).map((c) => el("figure", {},
    whole(image, shade(record.side, record.cams[c])), el("figcaption", {}, "evidence for ", link(`class/${c}`, shortClass(c)))));
  return el("div.columns", {},
    el("section", {}, el("h2", {}, "Predictions"), bars(record.top, classLink, { most: 1, format: percent })),
    el("section", {}, el("h2", {}, "Where the network looked"), el("div.pair", {}, el("figure", {}, whole(image), el("figcaption", {}, "what the network sees")), figures)));
}

const rank = (record, c) => { const at = record.top.findIndex(([top]) => top === c); return at < 0 ? 99 : at; };

// Layer by layer: the channels behind the prediction, and the strongest unit at each place.
function madeOf(record) {
  const holder = el("div"), names = Object.keys(record.layers).reverse();
  const select = el("select", { onchange: () => fill(select.value) }, names.map((name) => el("option", { value: name }, brief(name))));
  const fill = (name) => holder.replaceChildren(el("div.columns", {},
    el("section", {}, el("h3", {}, "Units that spoke for it"), bars(record.layers[name].for, (unit) => unitRow(name, unit)),
      el("h3", {}, "Units that spoke against it"), bars(record.layers[name].against, (unit) => unitRow(name, unit), { negative: true })),
    el("section", {}, el("h3", {}, "Activation grid"), grid(name, record.layers[name].grid),
      el("p.quiet.small", {}, "The unit that is strongest at each place, for its own standards; fainter where it is weak."))));
  fill(names[0]);
  return el("section", {}, el("h2", {}, "What the prediction was made of"), el("div.bar", {}, el("label", {}, "Layer ", select),
    el("span.quiet.small", {}, `Parts of the logit of ${shortClass(record.top[0][0])}: activation × gradient.`)), holder);
}

function grid(name, [units, strengths]) {
  const side = Math.sqrt(units.length), strength = bytes(strengths), layer = layerOf(name);
  return el("div.grid", { style: `grid-template-columns:repeat(${side},1fr)` }, units.map((unit, i) =>
    el("a", { href: `#/${unitPath(name, unit)}`, title: unitName(name, unit), "aria-label": unitName(name, unit), style: `opacity:${0.15 + 0.85 * strength[i] / 255}` }, face(layer, unit))));
}

// A cell of an atlas: what is common to its places, else the place that is most like that.
function cellFace(layer, data, number) {
  const [image, place] = data.cells[number].places[0];
  const file = `visualizations/atlas-${layer.name}.webp`, [row, column] = data.cells[number].at;
  return isThere(file) ? part(file, [column / data.side, row / data.side, 1 / data.side, 1 / data.side], "") : crop(image, place, layer);
}

async function atlasPage(name, text) {
  const layer = layerOf(name), data = await load(`atlas-${name}`);
  if (!layer || !site().atlas.includes(name)) return notFound(`The atlas of ${name}`);
  await Promise.all([load("units"), load("images")]);
  const choice = el("select", { onchange: (event) => { location.hash = `#/atlas/${event.target.value}`; } },
    site().atlas.map((each) => el("option", { value: each, selected: each === name ? "" : null }, brief(each))));
  const heading = [el("h1", {}, `Activation atlas of ${brief(name)}`), el("div.bar", {}, el("label", {}, "Layer ", choice))];
  if (!data) return ["Atlas", heading, el("p.quiet", {}, "Not made yet.")];
  const detail = el("section", { "aria-live": "polite" });
  const cells = data.cells.map((cell, number) => el("button", { type: "button", style: `grid-area:${cell.at[0] + 1}/${cell.at[1] + 1}`,
    "aria-label": `cell ${cell.at[0] + 1}, ${cell.at[1] + 1}: ${count(cell.count, "place")}`, onclick: () => choose(number) }, cellFace(layer, data, number)));
  const choose = (number) => {
    cells.forEach((cell, i) => cell.setAttribute("aria-pressed", String(i === number)));
    detail.replaceChildren(...cellDetail(layer, data.cells[number]).flat(9));
  };
  if (data.cells.length) choose(Math.min(Number(text) || 0, data.cells.length - 1));
  return ["Atlas", heading,
    el("p.quiet", {}, "What the layer says of places in many images: like activations lie near each other, and each tile stands for those of its cell."),
    el("div.columns.wide", {}, el("div.atlas", { style: `grid-template-columns:repeat(${data.side},1fr)` }, cells), detail)];
}

function cellDetail(layer, cell) {
  const byWeights = layer.votes === "weights";
  return [el("h2", {}, count(cell.count, "place")),
    list("tiles.nine", cell.places.map(([image, place]) => link(`image/${image}`, crop(image, place, layer), labelOf(image)))),
    el("h3", {}, "Strongest units"), bars(cell.units, (unit) => unitRow(layer.name, unit)),
    cell.classes.length ? [el("h3", {}, byWeights ? "Classes, by the classifier's weights" : "Classes of its images"), bars(cell.classes, classLink, byWeights ? {} : { format: String })] : []];
}

async function searchPage(...words) {
  const text = words.join("/");
  const [, images] = await Promise.all([load("units"), load("images")]);
  const [, layerText, unitText] = /^\s*(?:unit\s+)?(?:inception_)?(\w+?)\s*[:\s/]\s*(\d+)\s*$/i.exec(text) ?? [];
  const layers = site().layers.filter((layer) => layerText ? brief(layer.name) === layerText.toLowerCase() || layer.name === layerText : matches(layer.name, text));
  const units = layerText ? layers.filter((layer) => Number(unitText) < layer.units).map((layer) => unitTile(layer.name, Number(unitText))) : [];
  const classes = site().classes.map((_, c) => c).filter((c) => matches(className(c), text) || matches(site().ids[c], text));
  const wanted = new Set(classes);
  const voters = site().layers.flatMap((layer) => values.get("units")[layer.name].map((row, unit) => [layer.name, unit, row[2]])).filter(([, , c]) => wanted.has(c)).reverse();
  const found = images.names.map((_, i) => i).filter((i) => images.predictions[i] && (matches(images.names[i], text) || images.labels[i].some((c) => wanted.has(c))));
  const section = (title, items, kind) => items.length ? el("section", {}, el("h2", {}, title), list(kind, items)) : null;
  const parts = [section("Units", units, "tiles"), section("Layers", units.length ? [] : layers.map((layer) => link(`layer/${layer.name}`, layer.name)), "rows"),
    section("Classes", classes.slice(0, 60).map((c) => classLink(c)), "rows"),
    section("Units that speak for them", voters.slice(0, 60).map(([name, unit]) => unitTile(name, unit)), "tiles"),
    section("Images", found.slice(0, 120).map((i) => imageTile(i)), "tiles")];
  return ["Search", el("h1", {}, `“${text}”`), parts.some(Boolean) ? parts : el("p", {}, "Nothing is called so. A unit is written 4c:447.")];
}

function notFound(what) {
  return ["Not found", el("h1", {}, "Not found"), el("p", {}, `${what} is not on show. `, link("", "All layers"))];
}

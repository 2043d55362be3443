"use strict";
// Data and the pieces of which pages are made.  Text of models and data is only ever set as text.

const values = new Map();

// Each data file calls this with its one value.
function microscope(name, value) { values.set(name, value); }

// The value of a data file, null where it is not made yet.
function load(name) {
  if (values.has(name)) return Promise.resolve(values.get(name));
  if (/^(images|connections|atlas)-/.test(name) && !isThere(`data/${name}.js`)) return Promise.resolve(null);
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onload = () => resolve(values.get(name) ?? null);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
}

function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return made;
}

const link = (to, ...children) => el("a", { href: `#/${to}` }, children);
const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const layerOf = (name) => site().layers.find((layer) => layer.name === name);
const brief = (name) => name.replace("inception_", "");
const className = (c) => site().classes[c] ?? "";
const shortClass = (c) => className(c).split(",")[0];
const site = () => values.get("site");
const isThere = (part) => (values.get("status")?.there ?? []).includes(part);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const list = (kind, items) => el(`ul.${kind}`, {}, items.map((item) => el("li", {}, item)));

// A part of an image file: x, y, width and height as fractions of the file's.
function part(source, box, alt, ...above) {
  const [x, y, width, height] = box;
  const img = el("img", {
    src: source, alt, loading: "lazy", decoding: "async",
    style: `width:${100 / width}%;height:${100 / height}%;left:${-100 * x / width}%;top:${-100 * y / height}%`,
  });
  return el(`span.crop${site().size <= 96 ? ".tiny" : ""}`, {}, img, above);
}

const imageFile = (image) => `images/${String(image).padStart(6, "0")}.jpg`;
const imageName = (image) => values.get("images").names[image];
const whole = (image, ...above) => part(imageFile(image), [0, 0, 1, 1], imageName(image), above);

// What a place of a layer sees, moved inside where it reaches over the image's border.
function fieldBox(layer, place) {
  const [size, stride, offset] = layer.field, full = site().size;
  const side = Math.min(size, full);
  const begin = (i) => Math.max(0, Math.min(full - side, offset + stride * i + (size - side) / 2));
  const x = begin(place % layer.side), y = begin(Math.floor(place / layer.side));
  return [x / full, y / full, side / full, side / full];
}

const crop = (image, place, layer) => part(imageFile(image), fieldBox(layer, place), imageName(image));

// The whole image with a frame around the center of what the place sees.
function framed(image, place, layer) {
  const [, stride, offset] = layer.field, full = site().size;
  const middle = (i) => (offset + stride * i + (layer.field[0] - 1) / 2) / full;
  const side = Math.min(1, Math.max(stride, Math.min(layer.field[0], full / 4)) / full);
  const at = (i) => 100 * Math.max(0, Math.min(1 - side, middle(i) - side / 2));
  const x = at(place % layer.side), y = at(Math.floor(place / layer.side));
  return whole(image, el("span.mark", { style: `left:${x}%;top:${y}%;width:${100 * side}%;height:${100 * side}%` }));
}

// One of the images on the sheets of that name; null while it is not made.
function sheetPart(name, number, alt = "") {
  const sheet = site().sheet;
  if (!sheet) return null;
  const per = sheet.columns * sheet.rows, at = number % per;
  const file = `visualizations/${name}-${String(Math.floor(number / per)).padStart(3, "0")}.webp`;
  if (!isThere(file)) return null;
  const x = at % sheet.columns, y = Math.floor(at / sheet.columns);
  return part(file, [x / sheet.columns, y / sheet.rows, 1 / sheet.columns, 1 / sheet.rows], alt);
}

// A unit's visualization, or its opposite.
const visualization = (layer, unit) => sheetPart(layer.name, unit, unitName(layer.name, unit));
const opposite = (layer, unit) => sheetPart(`${layer.name}-opposite`, unit, `the opposite of ${unitName(layer.name, unit)}`);

// A unit as a tile: its visualization, else the image that excites it most.
function face(layer, unit) {
  const made = visualization(layer, unit);
  if (made) return made;
  const [first] = values.get("units")?.[layer.name]?.[unit] ?? [];
  if (first?.length) return crop(first[0], first[1], layer);
  return el("span.crop.empty", {}, values.get("units") ? "silent" : "…");
}

const unitPath = (name, unit) => `unit/${name}/${unit}`;
const unitName = (name, unit) => `${brief(name)}:${unit}`;

function unitTile(name, unit, note) {
  const layer = layerOf(name);
  if (!layer || unit >= layer.units) return el("span.quiet", {}, unitName(name, unit));
  return link(unitPath(name, unit), face(layer, unit), note ?? unitName(name, unit));
}

// Rows with a bar each; entries: [what, value].  most: the value of a full bar.
function bars(entries, describe, { most, negative = false, format = (v) => v.toPrecision(3) } = {}) {
  const top = most ?? Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-12);
  return el(`ul.rows${negative ? ".negative" : ""}`, {}, entries.map(([what, value]) => el("li", {},
    describe(what),
    el("span.meter", { "aria-hidden": "true" }, el("i", { style: `width:${Math.min(100, 100 * Math.abs(value) / top)}%` })),
    el("span.value", {}, format(value)))));
}

const classLink = (c) => el("a.name", { href: `#/class/${c}`, title: className(c) }, className(c));

function unitRow(name, unit) {
  const layer = layerOf(name);
  if (!layer || unit >= layer.units) return [el("span.crop.empty", {}, "–"), el("span.name.quiet", {}, unitName(name, unit))];
  return [el("a", { href: `#/${unitPath(name, unit)}`, tabindex: -1, "aria-hidden": "true", style: "flex:0 0 44px" }, face(layer, unit)),
    el("a.name", { href: `#/${unitPath(name, unit)}` }, unitName(name, unit))];
}

function imageTile(image, note) {
  return link(`image/${image}`, whole(image), note ?? imageName(image).split("/").pop());
}

// A kernel of signed bytes: blue where it excites, orange where it inhibits.
function kernel(side, text) {
  const canvas = el("canvas.kernel", { width: side, height: side, role: "img", "aria-label": `${side}×${side} weights` });
  const context = canvas.getContext("2d"), data = new Int8Array(bytes(text).buffer);
  data.forEach((value, i) => {
    context.fillStyle = value >= 0 ? `rgba(43,111,214,${value / 127})` : `rgba(220,100,40,${-value / 127})`;
    context.fillRect(i % side, Math.floor(i / side), 1, 1);
  });
  return canvas;
}

// A map of bytes over an image: what it leaves out is dark.
function shade(side, text) {
  const small = el("canvas", { width: side, height: side }), context = small.getContext("2d");
  const pixels = context.createImageData(side, side);
  bytes(text).forEach((value, i) => { pixels.data[4 * i + 3] = 0.62 * (255 - value); });
  context.putImageData(pixels, 0, 0);
  const large = el("canvas", { width: 224, height: 224 });
  const above = large.getContext("2d");
  above.imageSmoothingQuality = "high";
  above.drawImage(small, 0, 0, 224, 224);
  return large;
}

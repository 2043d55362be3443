"use strict";
// The page of `googlenet serve`: images in, predictions out, nothing from anywhere else.

const MAX_REQUESTS = 4; // at a time; the service batches them
const TOP = 5;
const PREVIEW_SIZE = 640; // longest side in pixels
const MAX_TRIES = 20; // while the service is busy

const byId = (id) => document.getElementById(id);
const waiting = []; // cards whose images have not been sent
const cards = new Map(); // from a card's element to its state
let sending = 0;
let token = sessionStorage.getItem("token") ?? "";
let modelInfo = null; // of /model

// --- add images

function add(files) {
  const added = document.createDocumentFragment(); // in order, above earlier ones
  for (const file of files) {
    const element = byId("card").content.firstElementChild.cloneNode(true);
    const card = { element, file, result: null, shown: 0 };
    cards.set(element, card);
    element.querySelector("figcaption").textContent = file.name || "pasted image";
    added.append(element);
    waiting.push(card);
  }
  byId("photos").prepend(added);
  byId("tools").hidden = cards.size === 0;
  sendMore();
}

for (const id of ["choose", "camera"]) {
  byId(id).addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = ""; // so that the same image can be chosen again
  });
}

document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) {
    event.preventDefault();
    add(event.clipboardData.files);
  }
});

// The whole window accepts drops: an image dropped beside the box would replace the page.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const files = items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile());
  if (files.length < items.length) say("Folders are skipped: drop the images in them.");
  add(files.filter(Boolean));
});

byId("clear").addEventListener("click", () => {
  waiting.length = 0;
  cards.clear();
  byId("photos").replaceChildren();
  byId("tools").hidden = true;
  say("Cleared.");
  byId("choose").focus();
});

byId("maps").addEventListener("change", () => cards.forEach(drawMap));

// --- send them, and show the results

function sendMore() {
  while (sending < MAX_REQUESTS && waiting.length && byId("token").hidden) {
    sending += 1;
    const card = waiting.shift();
    work(card).finally(() => {
      sending -= 1;
      sendMore();
    });
  }
}

async function work(card) {
  await drawPhoto(card);
  await modelLoaded;
  const limit = modelInfo?.limits.body;
  if (limit && card.file.size > limit) {
    fail(card, `This image has ${megabytes(card.file.size)}; the limit is ${megabytes(limit)}.`);
    return;
  }
  try {
    const began = performance.now();
    const response = await request(card);
    const body = await response.json();
    if (response.status === 401) {
      waiting.push(card);
      askForToken();
    } else if (response.ok) {
      showResult(card, body.results[0], performance.now() - began);
    } else {
      fail(card, sentence(body.error ?? `the service responded with status ${response.status}`));
    }
  } catch {
    fail(card, "The service is unreachable, or this file is unreadable.");
  }
}

/** The service's response, retried while it is busy. */
async function request(card) {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(`predict?top=${TOP}&cam=${modelInfo?.cam ? 1 : 0}`, {
      method: "POST",
      body: card.file,
      headers: { "content-type": "application/octet-stream", ...credentials() },
    });
    if (response.status !== 503 || tries === MAX_TRIES) return response;
    heading(card).textContent = "The service is busy …";
    const seconds = Number(response.headers.get("retry-after")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * seconds * (0.5 + Math.random())));
  }
}

function showResult(card, result, milliseconds) {
  card.result = result;
  const name = card.file.name || "pasted image";
  const labels = result.labels?.map((entry) => entry.label).join("; ");
  const said = labels === undefined ? result.label : labels || "No class";
  heading(card).textContent = result.unknown ? "Not sure" : said;
  if (result.unknown) {
    notice(card, "This image may not belong to any class of the model. Closest matches:");
  }
  const list = card.element.querySelector(".answers");
  list.replaceChildren(...result.top.map((entry, at) => row(card, entry, at)));
  card.element.querySelector(".time").textContent =
    `${result.width} × ${result.height} pixels · ${result.milliseconds.toFixed(0)} ms in the ` +
    `service, ${milliseconds.toFixed(0)} ms in total`;
  drawMap(card);
  const verdict = result.unknown ? "not sure, closest match " : "";
  say(`${name}: ${verdict}${said}, ${percent(result.probability)}`);
}

/** A class with a bar for its probability; a button if there is a map to show. */
function row(card, entry, at) {
  const mapped = at < (card.result.cam?.maps.length ?? 0);
  const line = document.createElement(mapped ? "button" : "div");
  line.className = "answer";
  const [bar, label, share] = ["bar", "label", "share"].map((name) => {
    const part = document.createElement("span");
    part.className = name;
    return part;
  });
  bar.style.width = `${100 * entry.probability}%`;
  label.textContent = entry.label;
  share.textContent = percent(entry.probability);
  line.append(bar, label, share);
  if (mapped) {
    line.type = "button";
    line.title = `Where the network looked for ${entry.label}`;
    line.addEventListener("click", () => {
      byId("maps").checked = true;
      card.shown = at;
      cards.forEach(drawMap);
    });
  }
  const item = document.createElement("li");
  item.append(line);
  return item;
}

function fail(card, text) {
  card.element.classList.add("failed");
  heading(card).textContent = "No prediction";
  notice(card, text);
  say(`${card.file.name || "pasted image"}: ${text}`);
}

// --- images

/** A preview, turned upright by its EXIF orientation as in the service. */
async function drawPhoto(card) {
  const canvas = card.element.querySelector(".photo");
  canvas.setAttribute("aria-label", card.file.name || "pasted image");
  try {
    const bitmap = await createImageBitmap(card.file, { imageOrientation: "from-image" });
    const scale = Math.min(1, PREVIEW_SIZE / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // behind transparency, as in the service
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  } catch {
    const view = card.element.querySelector(".view");
    view.classList.add("none");
    view.append("This browser cannot show a preview.");
  }
}

/** The map of the selected class over the region that the network saw. */
function drawMap(card) {
  const canvas = card.element.querySelector(".map");
  const photo = card.element.querySelector(".photo");
  const cam = card.result?.cam;
  const on = byId("maps").checked && cam;
  card.element.querySelectorAll("button.answer").forEach((button, at) => {
    button.setAttribute("aria-pressed", String(Boolean(on) && at === card.shown));
  });
  canvas.hidden = !on;
  const name = card.file.name || "pasted image";
  const of = card.result?.top[card.shown]?.label;
  photo.setAttribute("aria-label", on ? `${name}, ${described(cam.maps[card.shown], of)}` : name);
  if (!on) return;
  const [width, height] = [photo.width, photo.height];
  canvas.width = width;
  canvas.height = height;
  const [left, top, wide, high] = [
    cam.region[0] * width, cam.region[1] * height, cam.region[2] * width, cam.region[3] * height,
  ];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "rgb(0 0 0 / 45%)"; // what the network did not see
  context.fillRect(0, 0, width, height);
  context.clearRect(left, top, wide, high);
  context.drawImage(heat(cam.maps[card.shown]), left, top, wide, high);
}

/** A map as an image with one pixel per position: evidence for the class glows. */
function heat(grid) {
  const [rows, columns] = [grid.length, grid[0].length];
  const maximum = Math.max(1e-9, ...grid.flat());
  const picture = new ImageData(columns, rows);
  grid.flat().forEach((value, at) => {
    const share = rows * columns > 1 ? Math.max(0, value) / maximum : 0; // a single position shows nothing
    picture.data.set([255, 200 - 180 * share, 0, 165 * share ** 1.5], 4 * at);
  });
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** The map in words, for screen readers. */
function described(grid, label) {
  const flat = grid.flat();
  const at = flat.indexOf(Math.max(...flat));
  const third = (index, count) => Math.min(2, Math.floor((3 * (index + 0.5)) / count));
  const row = third(Math.floor(at / grid[0].length), grid.length);
  const column = third(at % grid[0].length, grid[0].length);
  const place = row === 1 && column === 1 ? "middle" : ["top", "middle", "bottom"][row] + ["left", "", "right"].map((side) => side && ` ${side}`)[column];
  return `where the network looked for ${label}: most at the ${place}`;
}

// --- text

const heading = (card) => card.element.querySelector("h2");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
const credentials = () => (token ? { authorization: `Bearer ${token}` } : {});

function notice(card, text) {
  const element = card.element.querySelector(".notice");
  element.textContent = text;
  element.hidden = false;
}

/** Announce to screen readers; messages in quick succession stay together. */
function say(text) {
  const said = byId("said");
  said.append(`${text}. `);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.replaceChildren(), 10000);
}

// --- the service

function askForToken() {
  if (!byId("token").hidden) return;
  byId("wrong").textContent = token ? "Wrong token." : "";
  byId("token").hidden = false;
  byId("secret").focus();
}

byId("token").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = byId("secret").value.trim();
  sessionStorage.setItem("token", token);
  byId("token").hidden = true;
  modelLoaded = loadModelInfo();
  await modelLoaded;
  sendMore();
});

async function loadModelInfo() {
  try {
    const response = await fetch("model", { headers: credentials() });
    if (response.status === 401) {
      askForToken();
    } else if (response.ok) {
      modelInfo = await response.json();
      const classes = modelInfo.classes.map((one) => one.name.split(",")[0]);
      const some = classes.length > 8 ? "" : `: ${classes.join(", ")}`;
      byId("model").textContent = `GoogLeNet “${modelInfo.variant}”, ${classes.length} classes${some}`;
      byId("limits").textContent = `Up to ${megabytes(modelInfo.limits.body)} per image. Images are not stored.`;
      byId("look").hidden = !modelInfo.cam;
      byId("blind").hidden = modelInfo.cam;
    }
  } catch {
    byId("model").textContent = "The service is unreachable.";
  }
}

let modelLoaded = loadModelInfo(); // requests depend on it

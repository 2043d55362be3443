"use strict";
// The page: images in by any way, answers as cards, many as a CSV file.

const MAX_CARDS = 60; // shown; of further images the answers are in the CSV file
const MAX_SAID = 5; // announced one by one

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const waiting = []; // images that have not been classified: {file, path, card}
const cards = new Set();
let rows = []; // of the CSV file
let working = false;
let generation = 0; // of the list: Clear begins a new one

// --- add images

function add(files) {
  const added = document.createDocumentFragment(); // in order, above earlier ones
  for (const file of files) {
    const path = file.webkitRelativePath || file.name || "pasted image";
    const card = cards.size < MAX_CARDS ? newCard(path) : null;
    if (card) added.append(card.element);
    waiting.push({ file, path, card });
  }
  byId("photos").prepend(added);
  byId("tools").hidden = false;
  byId("more").hidden = waiting.every(({ card }) => card);
  work();
}

function newCard(path) {
  const element = byId("card").content.firstElementChild.cloneNode(true);
  element.querySelector("figcaption").textContent = path;
  const card = { element, path, result: null, shown: 0 };
  cards.add(card);
  return card;
}

byId("choose").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = ""; // so that the same image can be chosen again
  event.target.removeAttribute("capture");
  add(files);
});
byId("choose").addEventListener("cancel", (event) => event.target.removeAttribute("capture"));

document.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  add(event.clipboardData.files);
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
  generation += 1;
  waiting.length = 0;
  cards.clear();
  rows = [];
  byId("photos").replaceChildren();
  byId("tools").hidden = true;
  byId("more").hidden = true;
  say("Cleared.");
  byId("choose").focus();
});

// --- the camera: a phone's own, or a picture of the video where there is none

byId("camera").addEventListener("click", async () => {
  if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices) {
    byId("choose").setAttribute("capture", "environment");
    byId("choose").click();
    return;
  }
  try {
    byId("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
    byId("viewfinder").showModal();
  } catch {
    status("No camera can be used: there is none, or this page may not use it.");
  }
});

byId("shutter").addEventListener("click", async () => {
  const video = byId("video");
  const canvas = new OffscreenCanvas(video.videoWidth || 1, video.videoHeight || 1);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const picture = await canvas.convertToBlob({ type: "image/png" });
  byId("viewfinder").close();
  add([new File([picture], "camera.png", { type: "image/png" })]);
});

byId("viewfinder").addEventListener("close", () => {
  for (const track of byId("video").srcObject?.getTracks() ?? []) track.stop();
  byId("video").srcObject = null;
});
byId("cancel").addEventListener("click", () => byId("viewfinder").close());

// --- classify, one after the other

async function work() {
  if (working) return;
  working = true;
  try {
    await networkStarted;
    while (waiting.length) {
      const [image, own] = [waiting.shift(), generation];
      await answer(image, () => own === generation);
      if (waiting.length) status(`${rows.length} done, ${waiting.length} to go`);
      await new Promise((done) => setTimeout(done)); // so that the page stays usable
    }
    const count = rows.length === 1 ? "1 image" : `${rows.length} images`;
    status(rows.length ? `${count} classified on this device.` : "");
  } catch {
    // The network has not started, which is said already.
  } finally {
    working = false;
  }
}

/** Classify one image; its card and row, if the list it was added to is still there. */
async function answer({ file, path, card }, wanted) {
  let result = null;
  let error = null;
  let problem = "this browser cannot read it as an image";
  try {
    const bitmap = await decodeFile(file);
    if (card) drawPhoto(card, bitmap);
    problem = "this device has too little memory for it";
    const image = pixelsOf(bitmap);
    bitmap.close();
    problem = "the network failed on it";
    result = await classifyPixels(image);
  } catch (thrown) {
    error = thrown instanceof ShapeError ? thrown.message : problem;
  }
  if (!wanted()) return;
  rows.push({ path, ...summary(result), error });
  byId("save").disabled = false;
  if (card && result) showResult(card, result);
  if (card && error) showError(card, error);
}

/** What a row of the CSV file needs; the rest, large, is let go. */
function summary(result) {
  return result && { top: result.top, labels: result.labels, unknown: result.unknown, score: result.score };
}

function showResult(card, result) {
  card.result = result;
  const names = result.labels?.map((entry) => entry.label).join("; ");
  const said = names === undefined ? result.top[0].label : names || "No class";
  heading(card).textContent = result.unknown ? "Not sure" : said;
  if (result.unknown) {
    notice(card, "This image may not belong to any class of the model. Closest matches:");
  }
  card.element.querySelector(".answers").replaceChildren(...result.top.map((entry, at) => row(card, entry, at)));
  card.element.querySelector(".time").textContent =
    `${result.width} × ${result.height} pixels · ${result.milliseconds.toFixed(0)} ms on this device`;
  drawMap(card);
  const verdict = result.unknown ? "not sure, closest match " : "";
  if (waiting.length < MAX_SAID) say(`${card.path}: ${verdict}${said}, ${percent(result.top[0].probability)}`);
}

/** A class with a bar for its probability; a button if there is a map to show. */
function row(card, entry, at) {
  const mapped = Boolean(card.result.maps?.[at]);
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

function showError(card, text) {
  card.element.classList.add("failed");
  heading(card).textContent = "No prediction";
  notice(card, `${text[0].toUpperCase()}${text.slice(1)}.`);
  say(`${card.path}: ${text}`);
}

// --- the file of all answers: the columns of `googlenet predict --out`

byId("save").addEventListener("click", () => {
  const link = document.createElement("a");
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.href = url;
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
});

function csv() {
  const numbered = Array.from({ length: TOP - 1 }, (_, i) => [`label${i + 2}`, `probability${i + 2}`]);
  const multilabel = MODEL.multilabel ? ["labels"] : [];
  const head = ["path", ...multilabel, "label", "probability", ...numbered.flat(), "unknown", "score", "error"];
  const lines = rows.map((one) => {
    const entries = Array.from({ length: TOP }, (_, i) => one.top?.[i]);
    return [
      one.path,
      ...(MODEL.multilabel ? [joined(one.labels)] : []),
      ...entries.flatMap((entry) => [entry?.label, entry && entry.probability.toFixed(6)]),
      { true: "True", false: "False" }[one.unknown], one.score?.toFixed(6), one.error,
    ];
  });
  return [head, ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
}

/** Labels in one cell, as data sets have them. */
const joined = (labels) => labels?.map(({ label }) => label.replaceAll("|", "\\|")).join("|");

function cell(value) {
  const text = String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

byId("maps").addEventListener("change", () => cards.forEach(drawMap));

// --- text

const heading = (card) => card.element.querySelector("h2");

function notice(card, text) {
  const element = card.element.querySelector(".notice");
  element.textContent = text;
  element.hidden = false;
}

function status(text) {
  byId("status").textContent = text;
}

/** Announce to screen readers; messages in quick succession stay together. */
function say(text) {
  const said = byId("said");
  said.append(`${text}. `);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.replaceChildren(), 10000);
}

networkStarted.then(
  () => status("Ready."),
  (error) => status(`The network cannot be started in this browser (${error.message}).`),
);
if (MODEL.serviceWorker && window.isSecureContext) {
  navigator.serviceWorker?.register("offline.js").catch(() => {}); // then it needs its host
}

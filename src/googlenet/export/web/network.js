"use strict";
// From an image file to the network's answers.  No request is made here but for the page's own
// files, and none at all where these are inside the page.

const MODEL = JSON.parse(document.getElementById("model").textContent);
const TOP = 5;
const MAX_ASPECT = 100; // as in Python
const STRIP_PIXELS = 1 << 22; // read at a time: some phones have no larger canvas

/** An image that Python refuses too. */
class ShapeError extends Error {}

/** One of the page's compressed files, inside the page or beside it: Uint8Array. */
async function fileBytes(name) {
  const inside = document.getElementById(`file-${name}`);
  let bytes;
  if (inside) {
    bytes = fromBase64(inside.textContent);
    inside.remove();
  } else {
    const response = await fetch(`${name}.gz?${MODEL.version}`);
    if (!response.ok) throw new Error(`${name}.gz: the server answers ${response.status}`);
    bytes = new Uint8Array(await response.arrayBuffer());
  }
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b; // some servers have unpacked it already
  if (!packed) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

/** ONNX Runtime with the network in it. */
async function startNetwork() {
  const names = ["runtime.mjs", "runtime.wasm", "network.onnx"];
  const [script, program, network] = await Promise.all(names.map(fileBytes));
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const runtime = await import(url);
  URL.revokeObjectURL(url);
  runtime.env.wasm.numThreads = 1; // more need headers that few static hosts send
  runtime.env.wasm.wasmBinary = program;
  const session = await runtime.InferenceSession.create(network, { executionProviders: ["wasm"] });
  return { Tensor: runtime.Tensor, session };
}

const networkStarted = startNetwork();
networkStarted.catch(() => {}); // reported by the page

/** An image file as the browser shows it: upright, in sRGB.  Rejects what is no image, or too long. */
async function decodeFile(file) {
  const bitmap = await createImageBitmap(file, {
    imageOrientation: "from-image",
    colorSpaceConversion: "default",
  });
  const [shorter, longer] = [bitmap.width, bitmap.height].sort((a, b) => a - b);
  if (longer <= MAX_ASPECT * shorter) return bitmap;
  bitmap.close();
  throw new ShapeError(`an image may be at most ${MAX_ASPECT} times as long as wide`);
}

/** A bitmap's pixels (height, width, 3), transparency over white. */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const data = new Uint8Array(width * height * 3);
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let top = 0, to = 0; top < height; top += rows) {
    const high = Math.min(rows, height - top);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, high);
    context.drawImage(bitmap, 0, top, width, high, 0, 0, width, high);
    const strip = context.getImageData(0, 0, width, high).data;
    for (let from = 0; from < strip.length; from += 4, to += 3) {
      data[to] = strip[from];
      data[to + 1] = strip[from + 1];
      data[to + 2] = strip[from + 2];
    }
  }
  return { data, width, height };
}

/**
 * What the network says of an image (height, width, 3): `probabilities`, calibrated, one a class;
 * `top`, the likeliest [{label, probability}]; `labels`, of a multilabel model those above its
 * threshold; `unknown` and `score`, null for a model without a threshold for it; `maps`, where it
 * looked for each of `top`, rows of numbers in `region` of the image.
 */
async function classifyPixels(image) {
  const { Tensor, session } = await networkStarted;
  const p = MODEL.preprocessing;
  const began = performance.now();
  const view = centerView(image, p);
  const input = normalized(view, p);
  const shape = [1, input.length / p.size ** 2, p.size, p.size];
  const outputs = await session.run({ [session.inputNames[0]]: new Tensor("float32", input, shape) });
  const probabilities = outputs.probabilities.data;
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const named = (index) => ({ label: MODEL.classes[index], probability: probabilities[index] });
  const indices = order.slice(0, TOP);
  const score = MODEL.unknownBelow === null ? null : outputs.score.data[0];
  return {
    probabilities,
    top: indices.map(named),
    labels: MODEL.multilabel ? order.filter((i) => probabilities[i] > MODEL.threshold).map(named) : null,
    unknown: score === null ? null : score < MODEL.unknownBelow,
    score,
    maps: MODEL.hasMaps ? indices.map((index) => mapOf(outputs, index)) : null,
    region: view.region,
    width: image.width,
    height: image.height,
    milliseconds: performance.now() - began,
  };
}

/** The class activation map of a class: rows of numbers; null where the network gave none. */
function mapOf(outputs, index) {
  const at = [...outputs.cam_classes.data].map(Number).indexOf(index);
  if (at < 0) return null;
  const [rows, columns] = outputs.cam.dims.slice(-2);
  const values = outputs.cam.data.slice(at * rows * columns, (at + 1) * rows * columns);
  return Array.from({ length: rows }, (_, row) => [...values.slice(row * columns, (row + 1) * columns)]);
}

/** The same for an image file: what this page's own programs, and export's check, call. */
async function classify(file) {
  const bitmap = await decodeFile(file);
  const image = pixelsOf(bitmap);
  bitmap.close();
  return classifyPixels(image);
}

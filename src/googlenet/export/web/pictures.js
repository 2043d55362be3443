"use strict";
// An image's card: the image, and over it the map of where the network looked.

const PREVIEW_SIZE = 640; // longest side in pixels

const byId = (id) => document.getElementById(id);

function drawPhoto(card, bitmap) {
  const canvas = card.element.querySelector(".photo");
  const scale = Math.min(1, PREVIEW_SIZE / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.setAttribute("aria-label", card.path);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // behind transparency, as for the network
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

/** The map of the selected class over the region that the network saw. */
function drawMap(card) {
  const canvas = card.element.querySelector(".map");
  const photo = card.element.querySelector(".photo");
  const map = card.result?.maps?.[card.shown];
  const on = byId("maps").checked && map;
  card.element.querySelectorAll("button.answer").forEach((button, at) => {
    button.setAttribute("aria-pressed", String(Boolean(on) && at === card.shown));
  });
  canvas.hidden = !on;
  photo.setAttribute("aria-label", on ? `${card.path}, ${described(map, card.result.top[card.shown].label)}` : card.path);
  if (!on) return;
  const { width, height } = photo;
  canvas.width = width;
  canvas.height = height;
  const region = card.result.region.map((share, at) => share * (at % 2 ? height : width));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "rgb(0 0 0 / 45%)"; // what the network did not see
  context.fillRect(0, 0, width, height);
  context.clearRect(...region);
  context.drawImage(heat(map), ...region);
}

/** A map as an image with one pixel per position: evidence for the class glows. */
function heat(grid) {
  const [high, wide] = [grid.length, grid[0].length];
  const maximum = Math.max(1e-9, ...grid.flat());
  const picture = new ImageData(wide, high);
  grid.flat().forEach((value, at) => {
    const share = high * wide > 1 ? Math.max(0, value) / maximum : 0; // a single position shows nothing
    picture.data.set([255, 200 - 180 * share, 0, 165 * share ** 1.5], 4 * at);
  });
  const canvas = new OffscreenCanvas(wide, high);
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
  const side = ["left", "", "right"][column];
  const place = row === 1 && column === 1 ? "middle" : `${["top", "middle", "bottom"][row]} ${side}`.trim();
  return `where the network looked for ${label}: most at the ${place}`;
}

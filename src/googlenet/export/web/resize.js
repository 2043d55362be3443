"use strict";
// The network's input from an image's pixels, bit for bit as Pillow resizes it in Python.
//
// Pillow resizes 8-bit images in two passes, one for each axis, with weights of 22 bits after the
// binary point, and rounds each pass to bytes (its src/libImaging/Resample.c).  A canvas
// interpolates otherwise, which changes answers.

const PRECISION_BITS = 22;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

// Each filter's weight at a distance, and the distance from which on it is 0.
const FILTERS = {
  area: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Bicubic convolution with a = -0.5. */
function cubic(signed) {
  const [a, x] = [-0.5, Math.abs(signed)];
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/**
 * The integer weights of the outputs from `first` on, `count` of them, along an axis that goes
 * from `from` to `to` pixels: [{start, weights}], one an output.
 */
function axisWeights(from, to, first, count, filter) {
  const scale = from / to;
  const stretch = Math.max(1, scale); // antialiasing: a wider filter for a smaller image
  const support = filter.support * stretch;
  const inverse = 1 / stretch;
  const found = [];
  for (let at = first; at < first + count; at += 1) {
    const center = (at + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const weights = new Float64Array(end - start);
    let sum = 0;
    for (let i = 0; i < weights.length; i += 1) {
      weights[i] = filter.weight((i + start - center + 0.5) * inverse);
      sum += weights[i];
    }
    for (let i = 0; i < weights.length; i += 1) {
      const share = (sum === 0 ? weights[i] : weights[i] / sum) * 2 ** PRECISION_BITS;
      weights[i] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    }
    found.push({ start, weights });
  }
  return found;
}

/** The one input pixel of each output: what `nearest` takes. */
function nearestWeights(from, to, first, count) {
  const scale = from / to;
  const found = [];
  let position = scale * 0.5; // summed up as Pillow does, with the same rounding
  for (let at = 0; at < first + count; at += 1) {
    const start = Math.min(from - 1, Math.trunc(position));
    if (at >= first) found.push({ start, weights: Float64Array.of(2 ** PRECISION_BITS) });
    position += scale;
  }
  return found;
}

function weightsOf(interpolation, from, to, first, count) {
  if (from === to) return nearestWeights(from, to, first, count); // Pillow leaves this axis alone
  if (interpolation === "nearest") return nearestWeights(from, to, first, count);
  return axisWeights(from, to, first, count, FILTERS[interpolation]);
}

/**
 * One pass over one axis of an image (height, width, 3).  lines: the other axis's range
 * [begin, end) that is needed; the rest is not computed.
 */
function pass(image, weights, horizontal, [begin, end]) {
  const [width, height] = horizontal ? [weights.length, end - begin] : [end - begin, weights.length];
  const data = new Uint8ClampedArray(width * height * 3);
  const rowStride = image.width * 3;
  const step = horizontal ? 3 : rowStride; // between the pixels that are summed
  const lineStep = horizontal ? rowStride : 3;
  weights.forEach(({ start, weights: taps }, at) => {
    for (let line = begin; line < end; line += 1) {
      let from = line * lineStep + start * step;
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0; i < taps.length; i += 1, from += step) {
        const weight = taps[i];
        red += image.data[from] * weight;
        green += image.data[from + 1] * weight;
        blue += image.data[from + 2] * weight;
      }
      const to = 3 * (horizontal ? (line - begin) * width + at : at * width + line - begin);
      const half = 2 ** (PRECISION_BITS - 1);
      data[to] = (red + half) >> PRECISION_BITS; // and clamped to a byte
      data[to + 1] = (green + half) >> PRECISION_BITS;
      data[to + 2] = (blue + half) >> PRECISION_BITS;
    }
  });
  return { data, width, height };
}

/** The input range that outputs need: [begin, end). */
function neededRange(weights) {
  const last = weights.map(({ start, weights: taps }) => start + taps.length);
  return [Math.min(...weights.map(({ start }) => start)), Math.max(...last)];
}

const shifted = (weights, by) => weights.map((one) => ({ ...one, start: one.start - by }));

/**
 * A window of an image (height, width, 3) that is resized to [width, height] pixels.
 *
 * window: [left, top, width, height].  rowsFirst: whether the Pillow in question resizes the rows
 * first where an image loses more than twice as many of them (13 does).
 */
function resizeWindow(image, [width, height], window, interpolation, rowsFirst) {
  const [left, top, wide, high] = window;
  const columns = weightsOf(interpolation, image.width, width, left, wide);
  const rows = weightsOf(interpolation, image.height, height, top, high);
  const [rowRange, columnRange] = [neededRange(rows), neededRange(columns)];
  const lost = image.height - height;
  if (rowsFirst && lost > 0 && lost > 2 * (image.width - width)) {
    const middle = pass(image, rows, false, columnRange);
    return pass(middle, shifted(columns, columnRange[0]), true, [0, high]);
  }
  const middle = pass(image, columns, true, rowRange);
  return pass(middle, shifted(rows, rowRange[0]), false, [0, wide]);
}

/** Python's `round`: halves to even. */
function roundHalfEven(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/** Width and height of the image itself after resizing, any padding aside. */
function resizedSize(width, height, { mode, resize }) {
  if (mode === "squash") return [resize, resize];
  const [extreme, least] = mode === "crop" ? [Math.min(width, height), resize] : [Math.max(width, height), 1];
  const factor = resize / extreme;
  return [width, height].map((side) => Math.max(least, roundHalfEven(side * factor)));
}

/**
 * The center view of an image (height, width, 3): {data, width, height} of `size` pixels, and
 * `region`, where its edges are in the image, as fractions [left, top, width, height]; those of
 * a letterbox are outside.
 *
 * p: the preprocessing of the model file, with `padding` and `rowsFirst`.
 */
function centerView(image, p) {
  const [width, height] = resizedSize(image.width, image.height, p);
  // A letterbox is a resized image in a square; elsewhere the resized image is all there is.
  const outer = p.mode === "letterbox" ? [p.resize, p.resize] : [width, height];
  const cut = outer.map((side) => Math.floor((side - p.size) / 2));
  const border = outer.map((side, axis) => Math.floor((side - [width, height][axis]) / 2));
  const begin = cut.map((at, axis) => Math.max(0, at - border[axis]));
  const end = cut.map((at, axis) => Math.min([width, height][axis], at + p.size - border[axis]));
  const window = [...begin, ...end.map((at, axis) => at - begin[axis])];
  const inner = resizeWindow(image, [width, height], window, p.interpolation, p.rowsFirst);
  const [x, y] = cut.map((at, axis) => at - border[axis]);
  const region = [x / width, y / height, p.size / width, p.size / height];
  if (inner.width === p.size && inner.height === p.size) return { ...inner, region };
  const offset = begin.map((at, axis) => at + border[axis] - cut[axis]);
  return { ...padded(inner, p, offset), region };
}

/** The image on a square of the padding color. */
function padded(inner, p, [left, top]) {
  const data = new Uint8ClampedArray(p.size * p.size * 3);
  for (let at = 0; at < data.length; at += 1) data[at] = p.padding[at % 3];
  for (let row = 0; row < inner.height; row += 1) {
    const line = inner.data.subarray(row * inner.width * 3, (row + 1) * inner.width * 3);
    data.set(line, ((row + top) * p.size + left) * 3);
  }
  return { data, width: p.size, height: p.size };
}

/** A view (size, size, 3) as the network's input: Float32Array (channels, size, size). */
function normalized(view, p) {
  const plane = view.width * view.height;
  const channels = { RGB: [0, 1, 2], BGR: [2, 1, 0], L: [0] }[p.order];
  const out = new Float32Array(channels.length * plane);
  const { data } = view;
  channels.forEach((source, channel) => {
    const [mean, scale] = [Math.fround(p.mean[channel]), Math.fround(p.scale[channel])];
    for (let at = 0; at < plane; at += 1) {
      const pixel = p.order === "L" ? luma(data, 3 * at) : data[3 * at + source];
      out[channel * plane + at] = Math.fround(pixel - mean) * scale;
    }
  });
  return out;
}

/** Pillow's conversion to gray, in its integers. */
function luma(data, at) {
  return (19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2] + 32768) >> 16;
}

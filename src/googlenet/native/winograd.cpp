// Convolutions of 3×3 and 5×5 by Winograd's minimal filtering, F(4×4, 3×3) and F(2×2, 5×5): a tile of
// the output is made of 36 products for each pair of channels in place of 144 and 100 (Lavin and
// Gray 2016, arXiv 1509.09308).
//
// The filtering interpolates at 0, ±√½, ±√2 and infinity; at the usual 0, ±1, ±2 its rounding is
// two to four times as large (Barabasz et al. 2020, arXiv 1803.10986, on the choice of points).
//
// A map is channels-last with `stride` values from one pixel to the next.  A transformed map is 36
// planes, `plane` values from one to the next; a plane has a row of `channels` for each tile.  Each
// value is made in the same way whatever is beside it, and however many threads there are.
#include <memory>

#include "vectors.h"

namespace {

constexpr float A = 0.70710678118654752f, A2 = 0.5f, A3 = A * A2;
constexpr float B = 1.41421356237309505f, B2 = 2.0f, B3 = B * B2;
constexpr int POINTS = 6, PLACES = POINTS * POINTS;

struct Tiles {
  int64_t height, width, channels, rows, columns;  // of a photo: pixels, then tiles
  int64_t first, count;                            // tiles of all photos
  int64_t stride, plane, side;                     // side: 4 pixels with 3×3, 2 with 5×5
};

// One dimension of each transform: `from` values with s between them -> values with t between them.
template <int TILE> struct Input {  // Bᵀ: of six pixels, the tile and what is around it
  static constexpr int SIDE = 6, STEP = TILE, EDGE = (SIDE - TILE) / 2;
  static INLINE void apply(const Floats* d, int s, Floats* to, int t) {
    Floats d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s];
    Floats even_a = d4 - B2 * d2, odd_a = A * (d3 - B2 * d1);
    Floats even_b = d4 - A2 * d2, odd_b = B * (d3 - A2 * d1);
    to[0] = d[0] - (A2 + B2) * d2 + d4;
    to[t] = even_a + odd_a;
    to[2 * t] = even_a - odd_a;
    to[3 * t] = even_b + odd_b;
    to[4 * t] = even_b - odd_b;
    to[5 * t] = d1 - (A2 + B2) * d3 + d[5 * s];
  }
};

template <int TILE> struct Answer {  // A: of the gradient at the pixels of the output
  static constexpr int SIDE = TILE, STEP = TILE, EDGE = 0;
  static INLINE void apply(const Floats* y, int s, Floats* to, int t) {
    Floats even_a = y[0], even_b = y[0], odd_a = A * y[s], odd_b = B * y[s];
    if (TILE == 4) {
      even_a += A2 * y[2 * s], even_b += B2 * y[2 * s];
      odd_a += A3 * y[3 * s], odd_b += B3 * y[3 * s];
    }
    to[0] = y[0];
    to[t] = even_a + odd_a;
    to[2 * t] = even_a - odd_a;
    to[3 * t] = even_b + odd_b;
    to[4 * t] = even_b - odd_b;
    to[5 * t] = y[(TILE - 1) * s];
  }
};

template <int TILE> struct Output {  // Aᵀ: of the products at six points, the pixels
  static INLINE void apply(const Floats* m, int s, Floats* to, int t) {
    Floats even_a = m[s] + m[2 * s], odd_a = m[s] - m[2 * s];
    Floats even_b = m[3 * s] + m[4 * s], odd_b = m[3 * s] - m[4 * s];
    to[0] = m[0] + even_a + even_b;
    to[t] = A * odd_a + B * odd_b;
    if (TILE == 4) {
      to[2 * t] = A2 * even_a + B2 * even_b;
      to[3 * t] = A3 * odd_a + B3 * odd_b;
    }
    to[(TILE - 1) * t] += m[5 * s];
  }
};

INLINE int64_t pixel(const Tiles& tiles, int64_t photo, int64_t i, int64_t j) {
  return ((photo * tiles.height + i) * tiles.width + j) * tiles.stride;
}

// The planes' rows of tile number `tile`, counted from the first.
template <class Kind> INLINE void transform(const Tiles& tiles, int64_t tile, const float* x,
                                            float* planes) {
  constexpr int SIDE = Kind::SIDE;
  int64_t line = (tiles.first + tile) / tiles.columns, photo = line / tiles.rows;
  int64_t top = line % tiles.rows * Kind::STEP - Kind::EDGE;
  int64_t left = (tiles.first + tile) % tiles.columns * Kind::STEP - Kind::EDGE;
  int64_t pixels[SIDE * SIDE];  // -1 outside of the map
  for (int r = 0; r < SIDE; r++)
    for (int s = 0; s < SIDE; s++) {
      int64_t i = top + r, j = left + s;
      bool inside = i >= 0 && i < tiles.height && j >= 0 && j < tiles.width;
      pixels[r * SIDE + s] = inside ? pixel(tiles, photo, i, j) : -1;
    }
  float* to = planes + tile * tiles.channels;
  each(int(tiles.channels), [&](int c, int n) INLINE_LAMBDA {
    Floats values[SIDE * SIDE], half[POINTS * SIDE];
    for (int p = 0; p < SIDE * SIDE; p++)
      values[p] = pixels[p] < 0 ? Floats{} : load(x + pixels[p] + c, n);
    for (int s = 0; s < SIDE; s++) Kind::apply(values + s, SIDE, half + s, SIDE);
    for (int r = 0; r < POINTS; r++) {
      Floats row[POINTS];
      Kind::apply(half + r * SIDE, 1, row, 1);
      for (int s = 0; s < POINTS; s++) store(to + (r * POINTS + s) * tiles.plane + c, row[s], n);
    }
  });
}

// A tile's pixels of `channels` channels from its products: 36 rows, `plane` values between them.
template <int TILE> INLINE void inverse(const Tiles& tiles, int64_t tile, const float* products,
                                        int64_t plane, int channels, const float* bias, float* y) {
  int64_t line = (tiles.first + tile) / tiles.columns, photo = line / tiles.rows;
  int64_t top = line % tiles.rows * TILE, height = tiles.height - top;
  int64_t left = (tiles.first + tile) % tiles.columns * TILE, width = tiles.width - left;
  each(channels, [&](int c, int n) INLINE_LAMBDA {
    Floats values[PLACES], half[TILE * POINTS];
    for (int p = 0; p < PLACES; p++) values[p] = load(products + p * plane + c, n);
    for (int s = 0; s < POINTS; s++) Output<TILE>::apply(values + s, POINTS, half + s, POINTS);
    Floats shift = bias ? load(bias + c, n) : Floats{};
    for (int r = 0; r < TILE && r < height; r++) {
      Floats row[TILE];
      Output<TILE>::apply(half + r * POINTS, 1, row, 1);
      for (int s = 0; s < TILE && s < width; s++)
        store(y + pixel(tiles, photo, top + r, left + s) + c, row[s] + shift, n);
    }
  });
}

// ---- products of matrices, small enough for the cache -------------------------------------------

constexpr int PANEL = 16, VECTORS = PANEL / LANES;  // columns of a panel of filters: as in Python
constexpr int ROWS = 12 / VECTORS;                  // as many as registers hold sums for
constexpr int BLOCK = 24;                           // tiles at a time, a multiple of ROWS
constexpr int PANELS = 4;                           // at a time

// ROWS rows of `channels` values times a panel, (channels, PANEL).
INLINE void multiply(const float* rows, int64_t channels, const float* panel, float* to,
                     int64_t stride) {
  Floats sums[ROWS][VECTORS] = {};
  for (int64_t k = 0; k < channels; k++) {
    Floats filters[VECTORS];
    for (int v = 0; v < VECTORS; v++) filters[v] = load(panel + k * PANEL + v * LANES, LANES);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) {
      float value = rows[r * channels + k];
      for (int v = 0; v < VECTORS; v++) sums[r][v] += value * filters[v];
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < VECTORS; v++) store(to + r * stride + v * LANES, sums[r][v], LANES);
}

// All of it, a block of tiles after the other: filters are (36, panels, channels, PANEL).
template <int TILE> void filter(const Tiles& in, const Tiles& out, const float* x,
                                const float* filters, const float* bias, float* y, int threads) {
  int64_t blocks = (in.count + BLOCK - 1) / BLOCK, panels = (out.channels + PANEL - 1) / PANEL;
  constexpr int64_t WIDTH = PANELS * PANEL;
#pragma omp parallel num_threads(threads_for(in.count * in.channels * PLACES, threads))
  {
    std::unique_ptr<float[]> seen(new float[PLACES * BLOCK * in.channels]);
    std::unique_ptr<float[]> products(new float[PLACES * BLOCK * WIDTH]);
#pragma omp for schedule(dynamic)
    for (int64_t block = 0; block < blocks; block++) {
      Tiles some = in;
      some.first += block * BLOCK;
      some.count = in.count - block * BLOCK < BLOCK ? in.count - block * BLOCK : BLOCK;
      some.plane = BLOCK * in.channels;
      for (int64_t tile = 0; tile < some.count; tile++)
        transform<Input<TILE>>(some, tile, x, seen.get());
      Tiles made = out;
      made.first = some.first;
      for (int64_t from = 0; from < panels; from += PANELS) {
        int64_t to = from + PANELS < panels ? from + PANELS : panels;
        for (int p = 0; p < PLACES; p++)
          for (int64_t panel = from; panel < to; panel++)
            for (int64_t row = 0; row < some.count; row += ROWS)
              multiply(seen.get() + (p * BLOCK + row) * in.channels, in.channels,
                       filters + (p * panels + panel) * in.channels * PANEL,
                       products.get() + (p * BLOCK + row) * WIDTH + (panel - from) * PANEL, WIDTH);
        int64_t first = from * PANEL, left = out.channels - first;
        for (int64_t tile = 0; tile < some.count; tile++)
          inverse<TILE>(made, tile, products.get() + tile * WIDTH, BLOCK * WIDTH,
                  int(left < WIDTH ? left : WIDTH), bias ? bias + first : nullptr, y + first);
      }
    }
  }
}

template <class Kind> void all(const Tiles& tiles, const float* x, float* planes, int threads) {
  threads = threads_for(tiles.count * tiles.channels * PLACES, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t tile = 0; tile < tiles.count; tile++) transform<Kind>(tiles, tile, x, planes);
}

}  // namespace

extern "C" {

void googlenet_winograd_filter(const Tiles* in, const Tiles* out, const float* x,
                               const float* filters, const float* bias, float* y, int,
                               int threads) {
  (in->side == 4 ? filter<4> : filter<2>)(*in, *out, x, filters, bias, y, threads);
}

void googlenet_winograd_input(const Tiles* tiles, const float* x, float* planes, int, int threads) {
  (tiles->side == 4 ? all<Input<4>> : all<Input<2>>)(*tiles, x, planes, threads);
}

void googlenet_winograd_answer(const Tiles* tiles, const float* dy, float* planes, int,
                               int threads) {
  (tiles->side == 4 ? all<Answer<4>> : all<Answer<2>>)(*tiles, dy, planes, threads);
}
}

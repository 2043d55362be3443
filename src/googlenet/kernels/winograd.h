// Convolutions of 3×3 and 5×5 by Winograd's minimal filtering, F(4×4, 3×3) and F(2×2, 5×5): a tile
// of the output is made of 36 products for each pair of channels in place of 144 and 100 (Lavin and
// Gray 2016, arXiv 1509.09308).
//
// The filtering interpolates at 0, ±√½, ±√2 and infinity; at the usual 0, ±1, ±2 its rounding is
// two to four times as large (Barabasz et al. 2020, arXiv 1803.10986, on the choice of points).
//
// A map is channels-last with `stride` values from one pixel to the next, in float32 or bfloat16; the
// transforms are float32 and rounded once where bfloat16 is multiplied.  Each value is made in the
// same way whatever is beside it, and however many threads there are.
#pragma once
#include <memory>

#include "vectors.h"

namespace {

constexpr float A = 0.70710678118654752f, A2 = 0.5f, A3 = A * A2;
constexpr float B = 1.41421356237309505f, B2 = 2.0f, B3 = B * B2;
constexpr int POINTS = 6, PLACES = POINTS * POINTS;

struct Tiles {
  int64_t height, width, channels, rows, columns;  // of a photo: pixels, then tiles
  int64_t count, stride, side;  // of all photos; side: 4 pixels with 3×3, 2 with 5×5
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

// Values between planes, without which they all fall into the same places of the cache.
template <class T> constexpr int SPARE = 64 / sizeof(T);

// As many as whole vectors hold.
int64_t whole(int64_t channels) { return (channels + LANES - 1) / LANES * LANES; }

INLINE int64_t pixel(const Tiles& tiles, int64_t photo, int64_t i, int64_t j) {
  return ((photo * tiles.height + i) * tiles.width + j) * tiles.stride;
}

// As `store`, but with the CPU's instruction, to which the smallest values of all are zero.
template <class T> INLINE void store_quickly(T* to, Floats x, int n) { store(to, x, n); }

#ifdef __AVX512BF16__
INLINE void store_quickly(bfloat16* to, Floats x, int n) {
  write(to, _mm512_cvtneps_pbh((__m512)x), n);
}
#endif

// Where the pixels lie of which a transform makes a tile's values; -1 outside of the map.
template <class Kind> struct Pixels {
  static constexpr int SIDE = Kind::SIDE;
  int64_t at[SIDE * SIDE];
  Pixels(const Tiles& tiles, int64_t tile) {
    int64_t line = tile / tiles.columns, photo = line / tiles.rows;
    int64_t top = line % tiles.rows * Kind::STEP - Kind::EDGE;
    int64_t left = tile % tiles.columns * Kind::STEP - Kind::EDGE;
    for (int r = 0; r < SIDE; r++)
      for (int s = 0; s < SIDE; s++) {
        int64_t i = top + r, j = left + s;
        bool inside = tile < tiles.count && i >= 0 && i < tiles.height && j >= 0 && j < tiles.width;
        at[r * SIDE + s] = inside ? pixel(tiles, photo, i, j) : -1;
      }
  }
};

// n channels of a tile at the 36 points.
template <class Kind, class T>
INLINE void transform(const Pixels<Kind>& pixels, const T* x, int n, Floats* to) {
  constexpr int SIDE = Kind::SIDE;
  Floats values[SIDE * SIDE], half[POINTS * SIDE];
  for (int p = 0; p < SIDE * SIDE; p++)
    values[p] = pixels.at[p] < 0 ? Floats{} : load(x + pixels.at[p], n);
  for (int s = 0; s < SIDE; s++) Kind::apply(values + s, SIDE, half + s, SIDE);
  for (int r = 0; r < POINTS; r++) Kind::apply(half + r * SIDE, 1, to + r * POINTS, 1);
}

// A tile's pixels of `channels` channels from its products: 36 rows, `plane` values between them.
template <int TILE, class T>
INLINE void inverse(const Tiles& tiles, int64_t tile, const float* products, int64_t plane,
                    int channels, const float* bias, T* y) {
  int64_t line = tile / tiles.columns, photo = line / tiles.rows;
  int64_t top = line % tiles.rows * TILE, height = tiles.height - top;
  int64_t left = tile % tiles.columns * TILE, width = tiles.width - left;
  each(channels, [&](int c, int n) INLINE_LAMBDA {
    Floats values[PLACES], half[TILE * POINTS];
    for (int p = 0; p < PLACES; p++) values[p] = load(products + p * plane + c, n);
    for (int s = 0; s < POINTS; s++) Output<TILE>::apply(values + s, POINTS, half + s, POINTS);
    Floats shift = bias ? load(bias + c, n) : Floats{};
    for (int r = 0; r < TILE && r < height; r++) {
      Floats row[TILE];
      Output<TILE>::apply(half + r * POINTS, 1, row, 1);
      for (int s = 0; s < TILE && s < width; s++)
        store_quickly(y + pixel(tiles, photo, top + r, left + s) + c, row[s] + shift, n);
    }
  });
}

// ---- products of matrices, small enough for the cache -------------------------------------------

// Along what is summed bfloat16's values lie in twos, which one instruction multiplies and adds.
template <class T> constexpr int TOGETHER = sizeof(float) / sizeof(T);

INLINE Floats add_products(Floats sum, const float* one, const float* lanes) {
  return sum + *one * load(lanes, LANES);
}

INLINE Floats add_products(Floats sum, const bfloat16* two, const bfloat16* lanes) {
#ifdef __AVX512BF16__
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(read<int32_t>(two, 2)),
                                  (__m512bh)read<Ints>(lanes, 2 * LANES));
#else
  Words pairs = read<Words>(lanes, 2 * LANES);
  Words mine = Words{} + read<uint32_t>(two, 2);
  return sum + (Floats)(mine << 16) * (Floats)(pairs << 16) +
         (Floats)(mine >> 16 << 16) * (Floats)(pairs >> 16 << 16);
#endif
}

INLINE void store_together(float* to, const Floats* values) { store(to, values[0], LANES); }

INLINE void store_together(bfloat16* to, const Floats* values) {
#ifdef __AVX512BF16__
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)values[1], (__m512)values[0]);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  write(to, _mm512_permutexvar_epi16(order, both), 2 * LANES);
#else
  write(to, rounded(values[0]) >> 16 | (rounded(values[1]) >> 16 << 16), 2 * LANES);
#endif
}

}  // namespace

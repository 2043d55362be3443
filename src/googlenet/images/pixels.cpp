// Images as they come out of a decoder: rows of red, green, blue bytes, `stride` bytes from one
// row to the next.  Every sum is of integers, so the results have the same bits everywhere.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

constexpr int64_t CHANNELS = 3;
constexpr int64_t GROUP = 4;   // taps that are taken at once
constexpr int64_t SLACK = 16;  // bytes after a row's end that may be read or overwritten

// ---- antialiased resizing -----------------------------------------------------------------------
//
// PyTorch's, which is Pillow's but for the precision of the coefficients: 16 bits in all.  Columns
// first, rounded to bytes, then rows; a pixel of the result has the pixels within `support` of its
// center, each by its distance.

double triangle(double x) {
  x = std::fabs(x);
  return x < 1 ? 1 - x : 0;
}

double cubic(double x) {  // Keys 1981, a = -1/2
  const double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// Along one side: which pixels make each pixel of the result, and by how much.
struct Taps {
  int64_t count;                 // of coefficients a pixel, a multiple of GROUP; unused ones are 0
  int shift;                     // coefficients are multiples of 2 to the minus this
  std::vector<int64_t> first;    // pixel; of pixels of the result, rounded up to a GROUP
  std::vector<int64_t> used;     // coefficients that are in use
  std::vector<int16_t> weights;  // (pixels of the result, count)
};

void find_taps(Taps& taps, int64_t from, int64_t to, bool bicubic) {
  const double scale = double(from) / double(to), reach = bicubic ? 2 : 1;
  const double support = scale >= 1 ? reach * scale : reach, inverse = scale >= 1 ? 1 / scale : 1;
  const int64_t most = int64_t(std::ceil(support)) * 2 + 1;
  const int64_t places = (to + GROUP - 1) / GROUP * GROUP;
  thread_local std::vector<double> exact;
  exact.assign(size_t(to * most), 0);
  taps.first.assign(size_t(places), 0);
  taps.used.assign(size_t(places), 0);
  double largest = 0;
  int64_t longest = 1;
  for (int64_t i = 0; i < to; i++) {
    const double center = scale * (double(i) + 0.5);
    const int64_t first = std::max(int64_t(center - support + 0.5), int64_t(0));
    const int64_t end = std::min(int64_t(center + support + 0.5), from);
    const int64_t used = std::min(std::max(end - first, int64_t(0)), most);
    double* weights = exact.data() + i * most;
    double total = 0;
    for (int64_t t = 0; t < used; t++) {
      const double at = (double(t + first) - center + 0.5) * inverse;
      weights[t] = bicubic ? cubic(at) : triangle(at);
      total += weights[t];
    }
    for (int64_t t = 0; t < used && total != 0; t++) {
      weights[t] /= total;
      largest = std::max(largest, weights[t]);
    }
    taps.first[size_t(i)] = first;
    taps.used[size_t(i)] = used;
    longest = std::max(longest, used);
  }
  taps.shift = 0;
  while (taps.shift < 22 && int(0.5 + largest * (1 << (taps.shift + 1))) < (1 << 15)) taps.shift++;
  taps.count = (longest + GROUP - 1) / GROUP * GROUP;
  taps.weights.assign(size_t(places * taps.count), 0);
  for (int64_t i = 0; i < to; i++)
    for (int64_t t = 0; t < taps.used[size_t(i)]; t++) {
      const double value = exact[size_t(i * most + t)] * (1 << taps.shift);
      taps.weights[size_t(i * taps.count + t)] = int16_t(value < 0 ? value - 0.5 : value + 0.5);
    }
}

inline uint8_t clamped(int32_t value) { return uint8_t(value < 0 ? 0 : value > 255 ? 255 : value); }

#ifdef __AVX2__
inline __m256i two_weights(const int16_t* weights) {
  int32_t both;
  std::memcpy(&both, weights, sizeof both);
  return _mm256_set1_epi32(both);
}

// Two rows at once, one in each half of a register; what is written ends in SLACK.
void shrink_columns(const Taps& taps, const uint8_t* one, const uint8_t* two, uint8_t* to_one,
                    uint8_t* to_two, int64_t columns) {
  // Two neighbouring pixels' bytes of each channel side by side, widened to 16 bits.
  const __m256i near = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i far = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  // Four pixels of red, green, blue and nothing as twelve bytes.
  const __m256i dense = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const __m256i half = _mm256_set1_epi32(1 << (taps.shift - 1));
  const __m128i shift = _mm_cvtsi32_si128(taps.shift);
  const int64_t *first = taps.first.data(), count = taps.count;
  const int16_t* weights = taps.weights.data();
  for (int64_t x = 0; x < columns; x += GROUP) {
    __m256i sums[GROUP];
    for (int64_t i = 0; i < GROUP; i++) {
      const uint8_t* a = one + first[x + i] * CHANNELS;
      const uint8_t* b = two + first[x + i] * CHANNELS;
      sums[i] = half;
      for (int64_t t = 0; t < count; t += GROUP, weights += GROUP) {
        const __m256i pixels = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)(a + t * CHANNELS))),
            _mm_loadu_si128((const __m128i*)(b + t * CHANNELS)), 1);
        sums[i] = _mm256_add_epi32(
            sums[i], _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, near), two_weights(weights)));
        sums[i] = _mm256_add_epi32(
            sums[i], _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, far), two_weights(weights + 2)));
      }
      sums[i] = _mm256_sra_epi32(sums[i], shift);
    }
    const __m256i found = _mm256_shuffle_epi8(
        _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                            _mm256_packs_epi32(sums[2], sums[3])), dense);
    _mm_storeu_si128((__m128i*)(to_one + x * CHANNELS), _mm256_castsi256_si128(found));
    _mm_storeu_si128((__m128i*)(to_two + x * CHANNELS), _mm256_extracti128_si256(found, 1));
  }
}
#else
void shrink_columns(const Taps& taps, const uint8_t* one, const uint8_t* two, uint8_t* to_one,
                    uint8_t* to_two, int64_t columns) {
  for (int row = 0; row < 2; row++) {
    const uint8_t* from = row ? two : one;
    uint8_t* to = row ? to_two : to_one;
    for (int64_t x = 0; x < columns; x++) {
      const int16_t* weights = taps.weights.data() + x * taps.count;
      const uint8_t* pixels = from + taps.first[size_t(x)] * CHANNELS;
      int32_t sums[CHANNELS];
      for (int32_t& sum : sums) sum = 1 << (taps.shift - 1);
      for (int64_t t = 0; t < taps.used[size_t(x)]; t++)
        for (int64_t c = 0; c < CHANNELS; c++) sums[c] += weights[t] * pixels[t * CHANNELS + c];
      for (int64_t c = 0; c < CHANNELS; c++)
        to[x * CHANNELS + c] = clamped(sums[c] >> taps.shift);
    }
  }
}
#endif

// Row y of the result from `rows`, `pitch` bytes from one to the next.
void shrink_rows(const Taps& taps, int64_t y, const uint8_t* rows, int64_t pitch, uint8_t* to,
                 int64_t bytes) {
  rows += taps.first[size_t(y)] * pitch;
  const int16_t* weights = taps.weights.data() + y * taps.count;
  const int64_t used = taps.used[size_t(y)];
  int64_t at = 0;
#ifdef __AVX2__
  const __m256i half = _mm256_set1_epi32(1 << (taps.shift - 1));
  const __m128i shift = _mm_cvtsi32_si128(taps.shift);
  for (; at + 16 <= bytes; at += 16) {
    __m256i low = half, high = half;
    for (int64_t t = 0; t < used; t += 2) {
      const uint8_t* row = rows + t * pitch + at;
      const __m128i a = _mm_loadu_si128((const __m128i*)row);
      const __m128i b = t + 1 < used ? _mm_loadu_si128((const __m128i*)(row + pitch)) : a;
      const __m256i both = two_weights(weights + t);  // the second is 0 where there is no row
      low = _mm256_add_epi32(
          low, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), both));
      high = _mm256_add_epi32(
          high, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), both));
    }
    low = _mm256_sra_epi32(low, shift);
    high = _mm256_sra_epi32(high, shift);
    // Packing works in halves: the four quarters come out as 0, 2, 1, 3.
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    words = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xD8);
    _mm_storeu_si128((__m128i*)(to + at), _mm256_castsi256_si128(words));
  }
#endif
  for (; at < bytes; at++) {
    int32_t sum = 1 << (taps.shift - 1);
    for (int64_t t = 0; t < used; t++) sum += weights[t] * rows[t * pitch + at];
    to[at] = clamped(sum >> taps.shift);
  }
}

void resize(const uint8_t* pixels, int64_t stride, int64_t width, int64_t height, bool bicubic,
            uint8_t* to, int64_t columns, int64_t rows) {
  // Kept from image to image: fresh memory costs more than the arithmetic.
  thread_local Taps across, down;
  thread_local std::vector<uint8_t> narrow, source;
  find_taps(across, width, columns, bicubic);
  find_taps(down, height, rows, bicubic);
  const int64_t bytes = columns * CHANNELS, pitch = bytes + SLACK;
  const int64_t padded = (width + across.count) * CHANNELS + SLACK;
  narrow.resize(size_t((height + 1) * pitch));
  source.assign(size_t(2 * padded), 0);
  uint8_t *one = source.data(), *two = one + padded;
  for (int64_t y = 0; y < height; y += 2) {
    const uint8_t *first = pixels + y * stride, *second = first + stride;
    if ((height - y - 2) * stride < across.count * CHANNELS + SLACK) {  // near the memory's end
      std::memcpy(one, first, size_t(width * CHANNELS));
      if (y + 1 < height) std::memcpy(two, second, size_t(width * CHANNELS));
      first = one, second = two;
    }
    uint8_t* target = narrow.data() + y * pitch;
    shrink_columns(across, first, second, target, target + pitch, columns);
  }
  for (int64_t y = 0; y < rows; y++)
    shrink_rows(down, y, narrow.data(), pitch, to + y * bytes, bytes);
}

// ---- bytes to what the network sees: (pixel - mean) * scale ------------------------------------

void normalize(const uint8_t* from, float* to, int64_t pixels, const float* mean,
               const float* scale) {
  constexpr int64_t ROUND = 8 * CHANNELS;  // values after which lanes and channels are in step
  float means[ROUND], scales[ROUND];
  for (int64_t i = 0; i < ROUND; i++) means[i] = mean[i % CHANNELS], scales[i] = scale[i % CHANNELS];
  const int64_t values = pixels * CHANNELS;
  int64_t at = 0;
  for (; at + ROUND <= values; at += ROUND)
    for (int64_t i = 0; i < ROUND; i++) to[at + i] = (float(from[at + i]) - means[i]) * scales[i];
  for (int64_t i = 0; at + i < values; i++)
    to[at + i] = (float(from[at + i]) - means[i]) * scales[i];
}

}  // namespace

// ---- what Python calls --------------------------------------------------------------------------

extern "C" {

void googlenet_resize(const uint8_t* pixels, int64_t stride, int64_t width, int64_t height,
                      int bicubic, uint8_t* to, int64_t columns, int64_t rows) {
  resize(pixels, stride, width, height, bicubic, to, columns, rows);
}

void googlenet_normalize(const uint8_t* from, float* to, int64_t pixels, const float* mean,
                         const float* scale) {
  normalize(from, to, pixels, mean, scale);
}
}

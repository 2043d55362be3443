// A window of a resized image, and images as the numbers that a network takes.
//
// The window has the bits of Pillow's resizing of the whole image (Resample.c of Pillow: two
// passes, weights of 22 bits, each pass rounded to bytes), computed for no other rows and columns.
// Compiled without contracting products and sums into one operation, which would round otherwise.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

constexpr int BITS = 32 - 8 - 2;

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// For each output pixel of the window: its first input pixel, how many, and their weights.
struct Weights {
  int taps;
  std::vector<int> first, count;
  std::vector<int32_t> values;

  Weights(int64_t in, int64_t out, int64_t from, int64_t size, int filter) {
    const double scale = (double)in / out;
    const double stretch = scale < 1.0 ? 1.0 : scale;
    const double support = (filter ? 2.0 : 1.0) * stretch;
    const double shrink = 1.0 / stretch;
    taps = (int)std::ceil(support) * 2 + 1;
    first.resize(size), count.resize(size), values.resize(size * taps);
    std::vector<double> weights(taps);
    for (int64_t at = 0; at < size; at++) {
      const double center = (from + at + 0.5) * scale;
      int begin = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
      if (begin < 0) begin = 0;
      if (end > in) end = (int)in;
      double sum = 0.0;
      for (int i = begin; i < end; i++) {
        const double x = (i - center + 0.5) * shrink;
        sum += weights[i - begin] = filter ? bicubic(x) : bilinear(x);
      }
      first[at] = begin, count[at] = end - begin;
      for (int i = 0; i < end - begin; i++) {
        const double weight = (sum != 0.0 ? weights[i] / sum : weights[i]) * (1 << BITS);
        values[at * taps + i] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
    }
  }
};

#ifdef __AVX2__

// Four bytes of two rows as eight numbers; four numbers of two rows, rounded, as four bytes each.
inline __m256i widened(const uint8_t* upper, const uint8_t* lower) {
  int32_t a, b;
  std::memcpy(&a, upper, 4), std::memcpy(&b, lower, 4);
  return _mm256_cvtepu8_epi32(_mm_unpacklo_epi32(_mm_cvtsi32_si128(a), _mm_cvtsi32_si128(b)));
}

inline __m128i narrowed(__m256i sums) {
  sums = _mm256_srai_epi32(sums, BITS);
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  return _mm_packus_epi16(words, words);
}

constexpr int ROWS = 4;  // that are resized side by side

// Each pixel's three values, and one of the next pixel's, in four lanes.  Reads a byte beyond the
// last pixel of a row and writes one.
void columns(const uint8_t* const from[ROWS], const Weights& w, uint8_t* const to[ROWS]) {
  const int size = (int)w.first.size();
  for (int at = 0; at < size; at++) {
    const int32_t* weight = &w.values[at * w.taps];
    int64_t offset = 3 * (int64_t)w.first[at];
    __m256i a = _mm256_set1_epi32(1 << (BITS - 1)), b = a;
    for (int i = 0; i < w.count[at]; i++, offset += 3) {
      const __m256i factor = _mm256_set1_epi32(weight[i]);
      a = _mm256_add_epi32(
          a, _mm256_mullo_epi32(widened(from[0] + offset, from[1] + offset), factor));
      b = _mm256_add_epi32(
          b, _mm256_mullo_epi32(widened(from[2] + offset, from[3] + offset), factor));
    }
    const uint64_t upper = _mm_cvtsi128_si64(narrowed(a)), lower = _mm_cvtsi128_si64(narrowed(b));
    const uint32_t pixels[ROWS] = {(uint32_t)upper, (uint32_t)(upper >> 32), (uint32_t)lower,
                                   (uint32_t)(lower >> 32)};
    for (int row = 0; row < ROWS; row++) std::memcpy(to[row] + 3 * at, &pixels[row], 4);
  }
}

// One output row; reads and writes up to seven bytes beyond the `length` that count.
void row(const uint8_t* from, int64_t stride, const int32_t* weight, int count, int64_t length,
         uint8_t* to) {
  for (int64_t x = 0; x < length; x += 8) {
    __m256i sum = _mm256_set1_epi32(1 << (BITS - 1));
    for (int i = 0; i < count; i++) {
      int64_t bytes;
      std::memcpy(&bytes, from + i * stride + x, 8);
      sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes)),
                                                     _mm256_set1_epi32(weight[i])));
    }
    const int64_t bytes = _mm_cvtsi128_si64(narrowed(sum));
    std::memcpy(to + x, &bytes, x + 8 <= length ? 8 : length - x);
  }
}

#endif

}  // namespace

extern "C" {

// An image of height × width RGB pixels is resized to full_height × full_width, of which the square
// of `size` from (top, left) is written to `out`.  filter: 0 bilinear, 1 bicubic.
// 0 if this CPU lacks the instructions, 1 if it is done.
int googlenet_window(const uint8_t* image, int64_t height, int64_t width, int64_t full_height,
                     int64_t full_width, int64_t top, int64_t left, int64_t size, int filter,
                     uint8_t* out) {
#ifdef __AVX2__
  const Weights across(width, full_width, left, size, filter);
  const Weights down(height, full_height, top, size, filter);
  const int64_t begin = down.first[0], end = down.first[size - 1] + down.count[size - 1];
  const int64_t length = 3 * size, padded = length + 8, stride = 3 * width;
  std::vector<uint8_t> half((end - begin + ROWS) * padded), last(stride + 1);
  std::memcpy(last.data(), image + (height - 1) * stride, stride);
  for (int64_t y = begin; y < end; y += ROWS) {
    const uint8_t* from[ROWS];
    uint8_t* to[ROWS];
    for (int i = 0; i < ROWS; i++) {
      // The byte beyond the last row is not ours to read; rows beyond it are not looked at.
      from[i] = y + i < height - 1 ? image + (y + i) * stride : last.data();
      to[i] = &half[(y - begin + i) * padded];
    }
    columns(from, across, to);
  }
  for (int64_t y = 0; y < size; y++)
    row(&half[(down.first[y] - begin) * padded], padded, &down.values[y * down.taps],
        down.count[y], length, out + y * length);
  return 1;
#else
  return 0;
#endif
}

// Channels of pixels that lie `stride` bytes apart, the next channel `step` bytes further, as planes
// of numbers: (byte − mean) · scale.
void googlenet_to_nchw(const uint8_t* image, int64_t pixels, int64_t channels, int64_t stride,
                      int64_t step, const float* mean, const float* scale, float* out) {
  for (int64_t c = 0; c < channels; c++) {
    const uint8_t* from = image + c * step;
    const float m = mean[c], s = scale[c];
    float* plane = out + c * pixels;
    if (stride == 3)
      for (int64_t i = 0; i < pixels; i++) plane[i] = ((float)from[3 * i] - m) * s;
    else
      for (int64_t i = 0; i < pixels; i++) plane[i] = ((float)from[stride * i] - m) * s;
  }
}
}

// The convolution by Winograd's filtering, which is its gradient at the map too: transformed,
// multiplied and transformed back, a few tiles after the other.
#include "winograd.h"

namespace {

constexpr int ROWS = 12 * LANES / 16;  // as many as registers hold sums for, of two vectors each
constexpr int BLOCK = 24;              // tiles at a time, a multiple of ROWS
constexpr int WIDTH = 64;              // filters at a time, a multiple of two vectors

// ROWS rows of `channels` values times V vectors of filters, each (channels / TOGETHER, LANES,
// TOGETHER).
template <int V, class T>
INLINE void multiply(const T* rows, int64_t channels, const T* filters, float* to) {
  Floats sums[ROWS][V] = {};
  for (int64_t k = 0; k < channels; k += TOGETHER<T>)
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < V; v++)
        sums[r][v] = add_products(sums[r][v], rows + r * channels + k,
                                  filters + (v * channels + k) * LANES);
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < V; v++) store(to + r * WIDTH + v * LANES, sums[r][v], LANES);
}

// All of it, a block of tiles after the other, with filters as the next function makes them.
template <int TILE, class T>
void filter(const Tiles& in, const Tiles& out, const T* x, const T* filters, const float* bias, T* y,
            int threads) {
  int64_t blocks = (in.count + BLOCK - 1) / BLOCK, made = whole(out.channels);
  int64_t plane = BLOCK * in.channels + SPARE<T>;
  constexpr int64_t PLANE = BLOCK * WIDTH + SPARE<float>;
#pragma omp parallel num_threads(threads_for(in.count * in.channels * PLACES, threads))
  {
    std::unique_ptr<T[]> seen(new T[PLACES * plane]);
    std::unique_ptr<float[]> products(new float[PLACES * PLANE]);
#pragma omp for schedule(dynamic)
    for (int64_t block = 0; block < blocks; block++) {
      int64_t first = block * BLOCK, count = in.count - first < BLOCK ? in.count - first : BLOCK;
      for (int64_t tile = 0; tile < count; tile++) {
        Pixels<Input<TILE>> pixels(in, first + tile);
        each(int(in.channels), [&](int c, int n) INLINE_LAMBDA {
          Floats values[PLACES];
          transform(pixels, x + c, n, values);
          T* to = seen.get() + tile * in.channels + c;
          for (int p = 0; p < PLACES; p++) store_quickly(to + p * plane, values[p], n);
        });
      }
      for (int64_t from = 0; from < made; from += WIDTH) {
        int64_t width = made - from < WIDTH ? made - from : WIDTH;
        for (int p = 0; p < PLACES; p++)
          for (int64_t f = 0; f < width; f += 2 * LANES)
            for (int64_t row = 0; row < count; row += ROWS)
              (width - f > LANES ? multiply<2, T> : multiply<1, T>)(
                  seen.get() + p * plane + row * in.channels, in.channels,
                  filters + (p * made + from + f) * in.channels,
                  products.get() + p * PLANE + row * WIDTH + f);
        int64_t left = out.channels - from;
        for (int64_t tile = 0; tile < count; tile++)
          inverse<TILE>(out, first + tile, products.get() + tile * WIDTH, PLANE,
                        int(left < WIDTH ? left : WIDTH), bias ? bias + from : nullptr, y + from);
      }
    }
  }
}

struct Filters {
  int64_t side, channels, made, strides[4];  // of made, channel, row, column
};

// Filters at the 36 points, (36, vectors, channels / TOGETHER, LANES, TOGETHER), by a matrix of
// (6, side).
template <class T>
void filters(const Filters& given, const float* matrix, const float* weight, T* to, int threads) {
  int side = int(given.side);
  int64_t plane = whole(given.made) * given.channels;
  threads = threads_for(given.made * given.channels * PLACES, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t made = 0; made < given.made; made += LANES) {
    int64_t left = given.made - made < LANES ? given.made - made : LANES;
    for (int64_t c = 0; c < given.channels; c += TOGETHER<T>) {
      Floats values[PLACES][TOGETHER<T>];
      for (int one = 0; one < TOGETHER<T>; one++) {
        Floats taps[5 * 5] = {}, half[POINTS * 5];
        const float* from = weight + made * given.strides[0] + (c + one) * given.strides[1];
        for (int64_t lane = 0; lane < left; lane++, from += given.strides[0])
          for (int r = 0; r < side; r++)
            for (int s = 0; s < side; s++)
              taps[r * side + s][lane] = from[r * given.strides[2] + s * given.strides[3]];
        for (int p = 0; p < POINTS; p++)
          for (int s = 0; s < side; s++) {
            Floats sum = {};
            for (int r = 0; r < side; r++) sum += matrix[p * side + r] * taps[r * side + s];
            half[p * side + s] = sum;
          }
        for (int p = 0; p < POINTS; p++)
          for (int q = 0; q < POINTS; q++) {
            Floats sum = {};
            for (int s = 0; s < side; s++) sum += matrix[q * side + s] * half[p * side + s];
            values[p * POINTS + q][one] = sum;
          }
      }
      T* at = to + made * given.channels + c * LANES;
      for (int p = 0; p < PLACES; p++) store_together(at + p * plane, values[p]);
    }
  }
}

}  // namespace

extern "C" {

// Whether products of bfloat16 are one instruction, and no faster one (AMX) is there.
int googlenet_winograd_has_bf16() {
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
  return 1;
#else
  return 0;
#endif
}

void googlenet_winograd_filters(const Filters* given, const float* matrix, const float* weight,
                                void* to, int is_bf16, int threads) {
  DISPATCH_DTYPE(filters(*given, matrix, weight, (T*)to, threads))
}

void googlenet_winograd_filter(const Tiles* in, const Tiles* out, const void* x, const void* filters,
                               const float* bias, void* y, int is_bf16, int threads) {
  DISPATCH_DTYPE((in->side == 4 ? filter<4, T> : filter<2, T>)(*in, *out, (const T*)x, (const T*)filters,
                                                       bias, (T*)y, threads))
}
}

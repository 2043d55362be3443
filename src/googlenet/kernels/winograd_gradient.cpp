// The gradient at the filters by Winograd's filtering: transformed maps and gradients, multiplied
// and summed over tiles.
#include "winograd.h"

namespace {

constexpr int VECTORS = LANES == 16 ? 2 : 3;  // as many as registers hold sums for
constexpr int AT_ONCE = 256;  // tiles, an even number: their products are summed in registers

// Values from one plane to the next of a map that is laid out.
template <class T> int64_t laid_out(const Tiles& tiles) {
  return whole(tiles.channels) * AT_ONCE + SPARE<T>;
}

// The values at the points of as many tiles as lie together, for all channels: (36, channels / LANES,
// AT_ONCE / TOGETHER, LANES, TOGETHER).
template <class Kind, class T>
INLINE void lay_out(const Tiles& tiles, int64_t tile, int64_t at, const T* x, T* to) {
  constexpr int N = TOGETHER<T>;
  int64_t plane = laid_out<T>(tiles);
  Pixels<Kind> first(tiles, tile), second(tiles, tile + N - 1);
  each(int(tiles.channels), [&](int c, int n) INLINE_LAMBDA {
    Floats values[2][PLACES];
    transform(first, x + c, n, values[0]);
    if (N == 2) transform(second, x + c, n, values[1]);
    for (int p = 0; p < PLACES; p++) {
      Floats together[2] = {values[0][p], values[1][p]};
      store_together(to + p * plane + c * AT_ONCE + at * LANES, together);
    }
  });
}

// LANES / 2 rows and V vectors of a place's sums, (filters, width): products of output gradients and inputs.
template <int V, class T>
INLINE void multiply(const T* answers, const T* seen, int64_t tiles, float* sums_of_all,
                     int64_t width, bool more) {
  constexpr int HEIGHT = LANES / 2;
  Floats sums[HEIGHT][V] = {};
  for (int64_t k = 0; k < tiles; k += TOGETHER<T>)
#pragma GCC unroll 8
    for (int r = 0; r < HEIGHT; r++)
      for (int v = 0; v < V; v++)
        sums[r][v] = add_products(sums[r][v], answers + k * LANES + r * TOGETHER<T>,
                                  seen + (v * AT_ONCE + k) * LANES);
  for (int r = 0; r < HEIGHT; r++)
    for (int v = 0; v < V; v++) {
      float* at = sums_of_all + r * width + v * LANES;
      store(at, more ? load(at, LANES) + sums[r][v] : sums[r][v], LANES);
    }
}

// A filter's taps for n channels, (side, side, channels), from its sums at the points.
INLINE void taps(const float* sums, int64_t plane, const float* matrix, int side, int n, float* to,
                 int64_t channels) {
  Floats half[5 * POINTS];
  for (int q = 0; q < POINTS; q++) {
    Floats values[POINTS];
    for (int p = 0; p < POINTS; p++) values[p] = load(sums + (p * POINTS + q) * plane, LANES);
    for (int r = 0; r < side; r++) {
      Floats sum = {};
      for (int p = 0; p < POINTS; p++) sum += matrix[p * side + r] * values[p];
      half[r * POINTS + q] = sum;
    }
  }
  for (int r = 0; r < side; r++)
    for (int s = 0; s < side; s++) {
      Floats sum = {};
      for (int q = 0; q < POINTS; q++) sum += matrix[q * side + s] * half[r * POINTS + q];
      store(to + (r * side + s) * channels, sum, n);
    }
}

// (filters, side, side, channels), from the map and the gradient at the output.
template <int TILE, class T>
void gradient(const Tiles& in, const Tiles& out, const float* matrix, const T* x, const T* dy,
              float* weights, int threads) {
  constexpr int HEIGHT = LANES / 2, SIDE = 7 - TILE;
  int64_t channels = in.channels, filters = out.channels;
  int64_t width = whole(channels), plane = whole(filters) * width + SPARE<float>;
  std::unique_ptr<T[]> seen(new T[PLACES * laid_out<T>(in)]);
  std::unique_ptr<T[]> answers(new T[PLACES * laid_out<T>(out)]);
  std::unique_ptr<float[]> sums(new float[PLACES * plane]);
#pragma omp parallel num_threads(threads_for(in.count * channels * PLACES, threads))
  {
    for (int64_t first = 0; first < in.count; first += AT_ONCE) {
      int64_t count = in.count - first < AT_ONCE ? in.count - first : AT_ONCE;
#pragma omp for schedule(static)
      for (int64_t at = 0; at < count; at += TOGETHER<T>) {
        lay_out<Input<TILE>>(in, first + at, at, x, seen.get());
        lay_out<Answer<TILE>>(out, first + at, at, dy, answers.get());
      }
#pragma omp for collapse(2) schedule(static)
      for (int p = 0; p < PLACES; p++)
        for (int64_t row = 0; row < filters; row += HEIGHT) {
          const T* mine = answers.get() + p * laid_out<T>(out) + row / LANES * LANES * AT_ONCE +
                          row % LANES * TOGETHER<T>;
          for (int64_t c = 0; c < width; c += VECTORS * LANES) {
            const T* theirs = seen.get() + p * laid_out<T>(in) + c * AT_ONCE;
            float* to = sums.get() + p * plane + row * width + c;
            auto block = width - c > 2 * LANES ? multiply<VECTORS, T>
                         : width - c > LANES   ? multiply<2, T>
                                               : multiply<1, T>;
            block(mine, theirs, count, to, width, first > 0);
          }
        }
    }
#pragma omp for schedule(static)
    for (int64_t filter = 0; filter < filters; filter++)
      each(int(channels), [&](int c, int n) INLINE_LAMBDA {
        taps(sums.get() + filter * width + c, plane, matrix, SIDE, n,
             weights + filter * SIDE * SIDE * channels + c, channels);
      });
  }
}

}  // namespace

extern "C" {

void googlenet_winograd_gradient(const Tiles* in, const Tiles* out, const float* matrix, const void* x,
                                 const void* dy, float* weights, int is_bf16, int threads) {
  DISPATCH_DTYPE((in->side == 4 ? gradient<4, T> : gradient<2, T>)(*in, *out, matrix, (const T*)x,
                                                           (const T*)dy, weights, threads))
}
}

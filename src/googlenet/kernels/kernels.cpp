// The operators of which PyTorch makes several passes through memory, in one pass each.
//
// A map is channels-last: `rows` pixels of `channels` values, `stride` values from one pixel to
// the next, so a module's branches can be written side by side into one map.  Values are float
// or bfloat16 (then computed in float and rounded once).  Every sum is taken in an order that
// depends on the shape alone, so the results have the same bits with any number of threads.
#include <cmath>
#include <vector>

#include "vectors.h"

namespace {

// ---- max pooling -------------------------------------------------------------------------------

struct Pool {
  int64_t images, height, width, channels, out_height, out_width, kernel, stride, padding;
};

struct Range { int from, to; };

// The part of window `at` that lies inside the map.
INLINE Range window(const Pool& p, int64_t at, int64_t side) {
  int64_t from = at * p.stride - p.padding, to = from + p.kernel;
  return {int(from < 0 ? 0 : from), int(to > side ? side : to)};
}

// The windows that hold pixel `at`.
INLINE Range windows(const Pool& p, int64_t at, int64_t count) {
  int64_t end = at + p.padding, last = end / p.stride;
  int64_t first = end < p.kernel ? 0 : (end - p.kernel) / p.stride + 1;
  return {int(first), int(last + 1 > count ? count : last + 1)};
}

constexpr int MAX_WINDOW = 256;  // places in a window

// What one pixel is made of: where it begins in memory, and its place in the window.
struct WindowPixels {
  int count = 0;
  int64_t at[MAX_WINDOW];
  int place[MAX_WINDOW];

  void add(int64_t pixel, int64_t row_in_window, int64_t column, const Pool& p) {
    at[count] = pixel * p.channels;
    place[count++] = int(row_in_window * p.kernel + column);
  }

  // Calls work(at, place) for each; nine, a whole window of three by three, are unrolled.
  template <class Work> INLINE void each(Work work) const {
    if (count == 9) {
#pragma GCC unroll 9
      for (int t = 0; t < 9; t++) work(at[t], place[t]);
    } else {
      for (int t = 0; t < count; t++) work(at[t], place[t]);
    }
  }
};

// The largest values and their places, of 2 · LANES channels of bfloat16, if no value is negative or
// NaN, as behind a ReLU: then they are in the order of their bits.  Whether that was so.
INLINE bool largest(const WindowPixels& pixels, const bfloat16* x, bfloat16* y, uint8_t* argmax) {
  Shorts best = Shorts{} - 1, least = {}, place = {};
  pixels.each([&](int64_t tap, int its_place) INLINE_LAMBDA {
    Shorts value = read<Shorts>(x + tap, 2 * LANES);
    least |= value;
    place = value > best ? Shorts{} + short(its_place) : place;
    best = value > best ? value : best;
  });
  if (any((least < 0) | (best > 0x7f80))) return false;
  write(y, best, 2 * LANES);
  if (argmax) write(argmax, __builtin_convertvector(place, ShortBytes), 2 * LANES);
  return true;
}

INLINE bool largest(const WindowPixels&, const float*, float*, uint8_t*) { return false; }

// The largest value of each window and, in `argmax`, its place there (row by row).  As in PyTorch
// the first of equal values counts, and the last NaN.
template <class T>
void pool_forward(const Pool& p, const T* x, T* y, uint8_t* argmax, int threads) {
  threads = threads_for(p.images * p.height * p.width * p.channels, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < p.images * p.out_height; line++) {
    int64_t image = line / p.out_height, i = line % p.out_height;
    Range rows = window(p, i, p.height);
    for (int64_t j = 0; j < p.out_width; j++) {
      Range columns = window(p, j, p.width);
      WindowPixels pixels;
      for (int h = rows.from; h < rows.to; h++)
        for (int w = columns.from; w < columns.to; w++)
          pixels.add((image * p.height + h) * p.width + w, h + p.padding - i * p.stride,
                   w + p.padding - j * p.stride, p);
      int64_t at = (line * p.out_width + j) * p.channels;
      auto compare = [&](int c, int n) INLINE_LAMBDA {
        Floats best = Floats{} - INFINITY;
        Ints place = Ints{} + pixels.place[0];
        pixels.each([&](int64_t tap, int its_place) INLINE_LAMBDA {
          Floats value = load(x + tap + c, n);
          Ints better = (value > best) | (value != value);
          best = better ? value : best;
          place = better ? Ints{} + its_place : place;
        });
        store(y + at + c, best, n);
        if (argmax) store(argmax + at + c, place, n);
      };
      int done = 0;
      if (sizeof(T) == 2)
        for (; done + 2 * LANES <= p.channels; done += 2 * LANES)
          if (!largest(pixels, x + done, y + at + done, argmax ? argmax + at + done : nullptr)) {
            compare(done, LANES);
            compare(done + LANES, LANES);
          }
      each(int(p.channels) - done, [&](int c, int n) INLINE_LAMBDA { compare(done + c, n); });
    }
  }
}

// The loss's gradient at the pool's input, added to what `dx` holds if `add`.
template <class T>
void pool_backward(const Pool& p, const T* dy, const uint8_t* argmax, T* dx, int add, int threads) {
  threads = threads_for(p.images * p.height * p.width * p.channels, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < p.images * p.height; line++) {
    int64_t image = line / p.height, h = line % p.height;
    Range rows = windows(p, h, p.out_height);
    for (int64_t w = 0; w < p.width; w++) {
      Range columns = windows(p, w, p.out_width);
      WindowPixels pixels;
      for (int i = rows.from; i < rows.to; i++)
        for (int j = columns.from; j < columns.to; j++)
          pixels.add((image * p.out_height + i) * p.out_width + j, h + p.padding - i * p.stride,
                   w + p.padding - j * p.stride, p);
      T* target = dx + (line * p.width + w) * p.channels;
      each(int(p.channels), [&](int c, int n) INLINE_LAMBDA {
        Floats sum = {};
        pixels.each([&](int64_t tap, int place) INLINE_LAMBDA {
          sum += load(argmax + tap + c, n) == place ? load(dy + tap + c, n) : Floats{};
        });
        if (add) sum += load(target + c, n);
        store(target + c, sum, n);
      });
    }
  }
}

// ---- batch normalization and ReLU --------------------------------------------------------------

// Up to SEGMENTS maps side by side: what is done to them is done in one go through memory.
constexpr int SEGMENTS = 4;

struct Maps {
  int64_t rows, count, channels[SEGMENTS];
  void* data[3][SEGMENTS];       // what they are is said where they are used
  int64_t stride[3][SEGMENTS];

  int64_t total() const {
    int64_t sum = 0;
    for (int s = 0; s < count; s++) sum += channels[s];
    return sum;
  }
};

// Calls work(segment, row, how many channels are in segments before it).
template <class Work> INLINE void each_row(const Maps& maps, int64_t from, int64_t to, Work work) {
  for (int64_t row = from; row < to; row++) {
    int before = 0;
    for (int s = 0; s < maps.count; s++) {
      work(s, row, before);
      before += int(maps.channels[s]);
    }
  }
}

template <class T> INLINE T* place(const Maps& maps, int kind, int s, int64_t row, int c) {
  return static_cast<T*>(maps.data[kind][s]) + row * maps.stride[kind][s] + c;
}

// Rows are summed in this many parts, each in its own order.
int64_t parts_of(int64_t rows) {
  int64_t parts = rows / 32;
  return parts < 1 ? 1 : parts > 128 ? 128 : parts;
}

// What batch normalization keeps of a batch: a row of each for all channels.
enum SavedStats { MEAN, VARIANCE, INVERSE, SCALE, SHIFT, STATS };

// Mean and (biased) variance of each channel of maps 0; and the scale and shift that normalize.
template <class T>
void statistics(const Maps& maps, const float* gamma, const float* beta, const double* eps,
                float* saved_stats, int threads) {
  int64_t channels = maps.total(), parts = parts_of(maps.rows);
  threads = threads_for(maps.rows * channels, threads);
  // Sums of x - x0 and its square, x0 being the part's first row: nothing cancels.
  std::vector<float> sums(parts * channels * 2);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < parts; part++) {
    int64_t from = maps.rows * part / parts, to = maps.rows * (part + 1) / parts;
    float* sum = sums.data() + part * channels * 2;
    float* square = sum + channels;
    int64_t row = from;
    for (; row < to; row += 4) {
      int many = int(to - row < 4 ? to - row : 4), before = 0;
      for (int s = 0; s < maps.count; s++) {
        const T* first = place<T>(maps, 0, s, from, 0);
        const T* here = place<T>(maps, 0, s, row, 0);
        int64_t stride = maps.stride[0][s];
        each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
          Floats origin = load(first + c, n);
          Floats a = load(sum + before + c, n), b = load(square + before + c, n);
          auto take = [&](int k) INLINE_LAMBDA {
            Floats x = load(here + k * stride + c, n) - origin;
            a += x;
            b += x * x;
          };
          if (many == 4) { take(0); take(1); take(2); take(3); }
          else for (int k = 0; k < many; k++) take(k);
          store(sum + before + c, a, n);
          store(square + before + c, b, n);
        });
        before += int(maps.channels[s]);
      }
    }
  }
  // The parts are joined in double, a part after the other for all channels.
  std::vector<double> mean(channels), squares(channels);
  std::vector<float> firsts(channels);
  auto each_part = [&](auto work) {
    for (int64_t part = 0; part < parts; part++) {
      int64_t from = maps.rows * part / parts;
      each_row(maps, from, from + 1, [&](int s, int64_t row, int before) INLINE_LAMBDA {
        const T* x = place<T>(maps, 0, s, row, 0);
        each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
          store(firsts.data() + before + c, load(x + c, n), n);
        });
      });
      const float* sum = sums.data() + part * channels * 2;
      double count = double(maps.rows * (part + 1) / parts - from);
      for (int64_t c = 0; c < channels; c++)
        work(c, count, firsts[c] + sum[c] / count, sum[c], sum[channels + c]);
    }
  };
  each_part([&](int64_t c, double count, double its_mean, double, double) INLINE_LAMBDA {
    mean[c] += count * its_mean;
  });
  for (double& sum : mean) sum /= double(maps.rows);
  each_part([&](int64_t c, double count, double its_mean, double a, double b) INLINE_LAMBDA {
    squares[c] += b - a * a / count + count * (its_mean - mean[c]) * (its_mean - mean[c]);
  });
  int64_t at = 0;
  for (int s = 0; s < maps.count; s++)
    for (int64_t end = at + maps.channels[s]; at < end; at++) {
      double variance = squares[at] / double(maps.rows);
      double inverse = 1 / std::sqrt((variance < 0 ? 0 : variance) + eps[s]);
      double scale = gamma[at] * inverse;
      saved_stats[MEAN * channels + at] = float(mean[at]);
      saved_stats[VARIANCE * channels + at] = float(variance);
      saved_stats[INVERSE * channels + at] = float(inverse);
      saved_stats[SCALE * channels + at] = float(scale);
      saved_stats[SHIFT * channels + at] = float(beta[at] - mean[at] * scale);
    }
}

// maps 1 = relu(scale · maps 0 + shift), or relu(maps 0) without a scale.
template <class T>
void activate(const Maps& maps, const float* scale, const float* shift, int threads) {
  threads = threads_for(maps.rows * maps.total(), threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < threads; part++)
    each_row(maps, maps.rows * part / threads, maps.rows * (part + 1) / threads,
             [&](int s, int64_t row, int before) INLINE_LAMBDA {
      const T* from = place<T>(maps, 0, s, row, 0);
      T* to = place<T>(maps, 1, s, row, 0);
      each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
        Floats x = load(from + c, n);
        if (scale) x = x * load(scale + before + c, n) + load(shift + before + c, n);
        store(to + c, relu(x), n);
      });
    });
}

// maps 2 = the gradient at the ReLU's input from maps 0, that at its output, which is maps 1.
template <class T> void relu_backward(const Maps& maps, int threads) {
  threads = threads_for(maps.rows * maps.total(), threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < threads; part++)
    each_row(maps, maps.rows * part / threads, maps.rows * (part + 1) / threads,
             [&](int s, int64_t row, int) INLINE_LAMBDA {
      const T* gradient = place<T>(maps, 0, s, row, 0);
      const T* output = place<T>(maps, 1, s, row, 0);
      T* to = place<T>(maps, 2, s, row, 0);
      each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
        store(to + c, load(output + c, n) <= 0 ? Floats{} : load(gradient + c, n), n);
      });
    });
}

// maps 2 = the gradient at batch normalization's input from maps 0, that at the output of the
// ReLU after it; maps 1 is the normalization's input, `saved_stats` what `statistics` found.
// gradients: of gamma and of beta, a row each.
template <class T>
void norm_backward(const Maps& maps, const float* saved_stats, float* gradients, int threads) {
  int64_t channels = maps.total(), parts = parts_of(maps.rows);
  threads = threads_for(maps.rows * channels, threads);
  const float *mean = saved_stats + MEAN * channels, *inverse = saved_stats + INVERSE * channels;
  const float *scale = saved_stats + SCALE * channels, *shift = saved_stats + SHIFT * channels;
  // g: the gradient at the ReLU's input; sums of g and of g · (x − mean).
  std::vector<float> sums(parts * channels * 2);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < parts; part++) {
    int64_t from = maps.rows * part / parts, to = maps.rows * (part + 1) / parts;
    float* sum = sums.data() + part * channels * 2;
    float* product = sum + channels;
    for (int64_t row = from; row < to; row += 4) {
      int many = int(to - row < 4 ? to - row : 4), before = 0;
      for (int s = 0; s < maps.count; s++) {
        const T* gradient = place<T>(maps, 0, s, row, 0);
        const T* input = place<T>(maps, 1, s, row, 0);
        int64_t g_stride = maps.stride[0][s], x_stride = maps.stride[1][s];
        each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
          int all = before + c;
          Floats a = load(sum + all, n), b = load(product + all, n);
          Floats by = load(scale + all, n), plus = load(shift + all, n), middle = load(mean + all, n);
          auto take = [&](int k) INLINE_LAMBDA {
            Floats x = load(input + k * x_stride + c, n);
            Floats g = x * by + plus <= 0 ? Floats{} : load(gradient + k * g_stride + c, n);
            a += g;
            b += g * (x - middle);
          };
          if (many == 4) { take(0); take(1); take(2); take(3); }
          else for (int k = 0; k < many; k++) take(k);
          store(sum + all, a, n);
          store(product + all, b, n);
        });
        before += int(maps.channels[s]);
      }
    }
  }
  // dx = scale · (g − Σg/rows − (x − mean) · inverse² · Σg(x − mean)/rows)
  std::vector<double> all_g(channels), all_products(channels);
  for (int64_t part = 0; part < parts; part++) {
    const float* sum = sums.data() + part * channels * 2;
    for (int64_t c = 0; c < channels; c++) all_g[c] += sum[c], all_products[c] += sum[channels + c];
  }
  std::vector<float> slope(channels), constant(channels);
  for (int64_t c = 0; c < channels; c++) {
    double a = all_g[c], b = all_products[c], squared = double(inverse[c]) * inverse[c];
    gradients[c] = float(b * inverse[c]);
    gradients[channels + c] = float(a);
    slope[c] = float(-scale[c] * squared * b / double(maps.rows));
    constant[c] = float(-scale[c] * a / double(maps.rows));
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < threads; part++)
    each_row(maps, maps.rows * part / threads, maps.rows * (part + 1) / threads,
             [&](int s, int64_t row, int before) INLINE_LAMBDA {
      const T* gradient = place<T>(maps, 0, s, row, 0);
      const T* input = place<T>(maps, 1, s, row, 0);
      T* to = place<T>(maps, 2, s, row, 0);
      each(int(maps.channels[s]), [&](int c, int n) INLINE_LAMBDA {
        int all = before + c;
        Floats x = load(input + c, n), by = load(scale + all, n);
        Floats g = x * by + load(shift + all, n) <= 0 ? Floats{} : load(gradient + c, n);
        Floats dx = g * by + (x - load(mean + all, n)) * load(slope.data() + all, n);
        store(to + c, dx + load(constant.data() + all, n), n);
      });
    });
}

// ---- local response normalization --------------------------------------------------------------

struct Response {
  int64_t size;
  float alpha, beta, k;  // beta is 0.5 or 0.75
};

// base[c] = k + alpha/size · Σ x² over the window of c, and power[c] = base[c]^−beta.
// `squares` has room for the zeros beyond the first and the last channel.
template <class T>
INLINE void response(const Response& r, const T* from, int channels, float* x, float* squares,
                     float* base, float* power) {
  int before = int(r.size / 2);
  each(channels, [&](int c, int n) INLINE_LAMBDA {
    Floats value = load(from + c, n);
    store(x + c, value, n);
    store(squares + before + c, value * value, n);
  });
  float share = r.alpha / float(r.size);
  for (int c = 0; c < channels; c++) base[c] = squares[c];
  for (int t = 1; t < r.size; t++)
    for (int c = 0; c < channels; c++) base[c] += squares[c + t];
  for (int c = 0; c < channels; c++) {
    base[c] = r.k + share * base[c];
    float root = 1 / std::sqrt(base[c]);
    power[c] = r.beta == 0.5f ? root : root * std::sqrt(root);
  }
}

template <class T>
void lrn_forward(const Response& r, const T* x, T* y, int64_t rows, int64_t channels, int threads) {
  threads = threads_for(rows * channels, threads);
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> room(4 * channels + r.size);
    float *wide = room.data(), *base = wide + channels, *power = base + channels;
    float* squares = power + channels;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
      response(r, x + row * channels, int(channels), wide, squares, base, power);
      each(int(channels), [&](int c, int n) INLINE_LAMBDA {
        store(y + row * channels + c, load(wide + c, n) * load(power + c, n), n);
      });
    }
  }
}

// dx_j = g_j · d_j^−beta − 2 · alpha · beta / size · x_j · Σ_i g_i · x_i · d_i^(−beta−1), d the
// base, i the channels whose windows hold j.
template <class T>
void lrn_backward(const Response& r, const T* x, const T* dy, T* dx, int64_t rows,
                  int64_t channels, int threads) {
  threads = threads_for(rows * channels, threads);
  float factor = 2 * r.alpha * r.beta / float(r.size);
  int before = int((r.size - 1) / 2);  // the mirrored window
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> room(6 * channels + 2 * r.size);
    float *wide = room.data(), *base = wide + channels, *power = base + channels;
    float *across = power + channels, *squares = across + channels;
    float* ratio = squares + channels + r.size;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
      response(r, x + row * channels, int(channels), wide, squares, base, power);
      each(int(channels), [&](int c, int n) INLINE_LAMBDA {
        Floats direct = load(dy + row * channels + c, n) * load(power + c, n);
        store(power + c, direct, n);
        store(ratio + before + c, direct * load(wide + c, n) / load(base + c, n), n);
      });
      for (int c = 0; c < channels; c++) across[c] = ratio[c];
      for (int t = 1; t < r.size; t++)
        for (int c = 0; c < channels; c++) across[c] += ratio[c + t];
      each(int(channels), [&](int c, int n) INLINE_LAMBDA {
        Floats back = factor * load(wide + c, n) * load(across + c, n);
        store(dx + row * channels + c, load(power + c, n) - back, n);
      });
    }
  }
}

}  // namespace

// ---- what Python calls: `is_bf16` says whether the maps are bfloat16 ------------------------------

extern "C" {

void googlenet_pool_forward(const Pool* p, const void* x, void* y, uint8_t* argmax, int is_bf16,
                            int threads) {
  DISPATCH_DTYPE(pool_forward(*p, (const T*)x, (T*)y, argmax, threads))
}

void googlenet_pool_backward(const Pool* p, const void* dy, const uint8_t* argmax, void* dx, int add,
                             int is_bf16, int threads) {
  DISPATCH_DTYPE(pool_backward(*p, (const T*)dy, argmax, (T*)dx, add, threads))
}

void googlenet_statistics(const Maps* maps, const float* gamma, const float* beta,
                          const double* eps, float* saved_stats, int is_bf16, int threads) {
  DISPATCH_DTYPE(statistics<T>(*maps, gamma, beta, eps, saved_stats, threads))
}

void googlenet_activate(const Maps* maps, const float* scale, const float* shift, int is_bf16,
                        int threads) {
  DISPATCH_DTYPE(activate<T>(*maps, scale, shift, threads))
}

void googlenet_relu_backward(const Maps* maps, int is_bf16, int threads) {
  DISPATCH_DTYPE(relu_backward<T>(*maps, threads))
}

void googlenet_norm_backward(const Maps* maps, const float* saved_stats, float* gradients, int is_bf16,
                             int threads) {
  DISPATCH_DTYPE(norm_backward<T>(*maps, saved_stats, gradients, threads))
}

void googlenet_lrn_forward(const Response* r, const void* x, void* y, int64_t rows,
                           int64_t channels, int is_bf16, int threads) {
  DISPATCH_DTYPE(lrn_forward(*r, (const T*)x, (T*)y, rows, channels, threads))
}

void googlenet_lrn_backward(const Response* r, const void* x, const void* dy, void* dx,
                            int64_t rows, int64_t channels, int is_bf16, int threads) {
  DISPATCH_DTYPE(lrn_backward(*r, (const T*)x, (const T*)dy, (T*)dx, rows, channels, threads))
}
}

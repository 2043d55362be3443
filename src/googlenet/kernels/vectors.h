// What the kernels share: vectors of as many values as the CPU's registers hold.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif
#define VECTOR(type, name) typedef type name __attribute__((vector_size(LANES * sizeof(type))))
VECTOR(float, Floats);
VECTOR(int32_t, Ints);
VECTOR(uint32_t, Words);
VECTOR(uint16_t, Halves);
// Twice as many: bfloat16 as it lies in memory.
typedef int16_t Shorts __attribute__((vector_size(2 * LANES * sizeof(int16_t))));
typedef uint8_t ShortBytes __attribute__((vector_size(2 * LANES)));
VECTOR(uint8_t, Bytes);
struct bfloat16 { uint16_t bits; };
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

// n of LANES values; n is a constant but for the last channels of a pixel.
template <class V, class T> INLINE V read(const T* from, int n) {
  V value = {};
  std::memcpy(&value, from, n * sizeof(T));
  return value;
}

template <class V, class T> INLINE void write(T* to, const V& value, int n) {
  std::memcpy(to, &value, n * sizeof(T));
}

// Conversions between 32, 16 and 8 bits: GCC makes many instructions of the general form.
#if defined(__AVX512F__)
INLINE Words widen(Halves x) { return (Words)_mm512_cvtepu16_epi32((__m256i)x); }
INLINE Words widen(Bytes x) { return (Words)_mm512_cvtepu8_epi32((__m128i)x); }
INLINE Halves to_halves(Words x) { return (Halves)_mm512_cvtepi32_epi16((__m512i)x); }
INLINE Bytes to_bytes(Words x) { return (Bytes)_mm512_cvtepi32_epi8((__m512i)x); }
#else
#ifdef __AVX2__
INLINE Words widen(Halves x) { return (Words)_mm256_cvtepu16_epi32((__m128i)x); }
INLINE Words widen(Bytes x) { return (Words)_mm256_cvtepu8_epi32(_mm_loadl_epi64((__m128i*)&x)); }
#else
INLINE Words widen(Halves x) { return __builtin_convertvector(x, Words); }
INLINE Words widen(Bytes x) { return widen(__builtin_convertvector(x, Halves)); }
#endif
INLINE Halves to_halves(Words x) { return __builtin_convertvector(x, Halves); }
INLINE Bytes to_bytes(Words x) { return __builtin_convertvector(to_halves(x), Bytes); }
#endif

INLINE Floats load(const float* from, int n) { return read<Floats>(from, n); }
INLINE Floats load(const bfloat16* from, int n) { return (Floats)(widen(read<Halves>(from, n)) << 16); }
INLINE Ints load(const uint8_t* from, int n) { return (Ints)widen(read<Bytes>(from, n)); }

INLINE void store(float* to, Floats x, int n) { write(to, x, n); }
INLINE void store(uint8_t* to, Ints x, int n) { write(to, to_bytes((Words)x), n); }

INLINE Words rounded(Floats x) {  // to bfloat16 in the upper half: nearest, ties to even; NaN stays
  Words bits = (Words)x;
  return x != x ? bits | 0x400000 : bits + 0x7fff + ((bits >> 16) & 1);
}

INLINE void store(bfloat16* to, Floats x, int n) { write(to, to_halves(rounded(x) >> 16), n); }

INLINE bool any(Shorts x) {
  int64_t words[sizeof x / sizeof(int64_t)], all = 0;
  std::memcpy(words, &x, sizeof x);
  for (int64_t word : words) all |= word;
  return all != 0;
}

INLINE Floats relu(Floats x) { return x <= 0 ? Floats{} : x; }  // NaN passes

// Calls work(first channel, how many) for all channels, LANES at a time.
template <class Work> INLINE void each(int channels, Work work) {
  int c = 0;
  for (; c + LANES <= channels; c += LANES) work(c, LANES);
  if (c < channels) work(c, channels - c);
}

// What Python calls says with `is_bf16` whether maps are bfloat16.
#define DISPATCH_DTYPE(call_with)                      \
  if (is_bf16) { typedef bfloat16 T; call_with; } \
  else { typedef float T; call_with; }

int threads_for(int64_t values, int threads) { return values < (1 << 15) ? 1 : threads; }

}  // namespace

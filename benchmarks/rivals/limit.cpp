// The practical limit of a CPU: the noisy mean field by Euler, written for its vector unit by hand.
//
// Phases are counted in turns, in [-1/2, 1/2], so that wrapping is a rounding. A row of vectors
// stays in the first-level cache for all steps; one pass over it adds the noise, moves, and takes
// the sine and cosine of the next step. A vector holds oscillators of one member ("along") or
// members of one oscillator ("across": no sum crosses lanes and no size needs padding).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>
#if defined(__AVX__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
constexpr int CHAINS = 4;  // blocks of random words made at a time, which hides their latency
#define INLINE static inline __attribute__((always_inline))
constexpr float TURN = 0.15915494309189535f;
typedef float F __attribute__((vector_size(W * 4)));
typedef int32_t I __attribute__((vector_size(W * 4)));
typedef uint32_t U __attribute__((vector_size(W * 4)));

struct Task {
  float *phase;            // [member][size], radians
  const float *frequency;  // rad/s
  int members, size, steps;
  float strength, dt, kick;  // kick: deviation of an increment, radians
  int law;                   // 0 none, 1 normal, 2 two points
  uint32_t seed;
};

INLINE F splat(float x) { return x - F{}; }
INLINE U words(uint32_t x) { return x - U{}; }
INLINE F smaller(F a, F b) { return a < b ? a : b; }
INLINE F larger(F a, F b) { return a > b ? a : b; }
INLINE F magnitude(F x) { return (F)((I)x & 0x7fffffff); }
INLINE F masked(F x, I keep) { return (F)((I)x & keep); }

INLINE F nearest(F x) {
#if defined(__AVX512F__)
  return (F)_mm512_roundscale_ps((__m512)x, 8);
#elif defined(__AVX2__)
  return (F)_mm256_round_ps((__m256)x, 8);
#else
  return (x + 12582912.0f) - 12582912.0f;
#endif
}

INLINE F root(F x) {
#if defined(__AVX512F__)
  return (F)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (F)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < W; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

// sin 2πt for |t| ≤ 1/4 turn, absolute error 2e-7: t·P(t²).
INLINE F quarter(F t) {
  const F q = t * t;
  F p = q * 39.5367060f - 76.5497823f;
  p = p * q + 81.6010041f;
  p = p * q - 41.3416550f;
  return t * (p * q + 6.28318516f);
}

INLINE F sine(F t) { return quarter(larger(smaller(t, 0.5f - t), -0.5f - t)); }
INLINE F cosine(F t) { return quarter(0.25f - magnitude(t)); }

// −2 ln u for 0 < u ≤ 1, minimax in the mantissa.
INLINE F minus_two_log(F u) {
  const I bits = (I)u, exponent = (bits - 0x3F3504F3) >> 23;
  const F f = (F)(bits - (exponent << 23)) - 1.0f;
  F p = f * -0.17444708943367004f + 0.28733691573143005f;
  p = p * f - 0.2990453541278839f;
  p = p * f + 0.33124786615371704f;
  p = p * f - 0.39913666248321533f;
  p = p * f + 0.5000414848327637f;
  p = p * f - 0.6666837334632874f;
  p = p * f + 0.9999997615814209f;
  p = p * f - 2.0f;
  return f * p - __builtin_convertvector(exponent, F) * 1.3862943611198906f;
}

template <int R> INLINE U rotated(U x) {
#if defined(__AVX512F__)
  return (U)_mm512_rol_epi32((__m512i)x, R);
#elif defined(__AVX2__)
  if (R == 16 || R == 24) {  // whole bytes: one shuffle
    const __m256i half = R == 16 ? _mm256_set_epi64x(0x0d0c0f0e09080b0a, 0x0504070601000302,
                                                     0x0d0c0f0e09080b0a, 0x0504070601000302)
                                 : _mm256_set_epi64x(0x0c0f0e0d080b0a09, 0x0407060500030201,
                                                     0x0c0f0e0d080b0a09, 0x0407060500030201);
    return (U)_mm256_shuffle_epi8((__m256i)x, half);
  }
#endif
  return (x << R) | (x >> (32 - R));
}

template <int R> INLINE void mix(U *x, U *y) {
  for (int k = 0; k < CHAINS; k++) x[k] += y[k];
  for (int k = 0; k < CHAINS; k++) y[k] = rotated<R>(y[k]) ^ x[k];
}

INLINE void inject(U *x, U *y, uint32_t a, uint32_t b) {
  for (int k = 0; k < CHAINS; k++) x[k] += a, y[k] += b;
}

// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw 2011).
INLINE void threefry(const uint32_t *key, U *x, U *y) {
  inject(x, y, key[0], key[1]);
  mix<13>(x, y), mix<15>(x, y), mix<26>(x, y), mix<6>(x, y);
  inject(x, y, key[1], key[2] + 1);
  mix<17>(x, y), mix<29>(x, y), mix<16>(x, y), mix<24>(x, y);
  inject(x, y, key[2], key[0] + 2);
  mix<13>(x, y), mix<15>(x, y), mix<26>(x, y), mix<6>(x, y);
  inject(x, y, key[0], key[1] + 3);
  mix<17>(x, y), mix<29>(x, y), mix<16>(x, y), mix<24>(x, y);
  inject(x, y, key[1], key[2] + 4);
  mix<13>(x, y), mix<15>(x, y), mix<26>(x, y), mix<6>(x, y);
  inject(x, y, key[2], key[0] + 5);
}

// Box–Muller: two normals of the deviation `scale` from a block of two words.
INLINE void normals(U x, U y, F scale, F &first, F &second) {
  const F u = (__builtin_convertvector((I)(x >> 1), F) + 0.5f) * 0x1p-31f;
  const F turns = __builtin_convertvector((I)y, F) * 0x1p-32f;
  const F radius = scale * root(minus_two_log(u));
  first = radius * cosine(turns), second = radius * sine(turns);
}

template <bool ACROSS> struct Row {
  const Task &task;
  const int count, half;  // vectors, an even number; the second half shares blocks with the first
  std::vector<F> room;
  std::vector<U> blocks;
  F *x, *sin, *cos, *turn;
  I drop[2];  // lanes of the last two vectors that hold no oscillator
  U lane, *first, *second;  // random words, a block for each pair of vectors

  explicit Row(const Task &task)
      : task(task),
        count(ACROSS ? (task.size + 1) / 2 * 2 : (task.size + 2 * W - 1) / (2 * W) * 2),
        half(count / 2), room(4 * count), blocks(2 * (half + CHAINS)), x(room.data()),
        sin(x + count), cos(sin + count), turn(cos + count),
        first(blocks.data()), second(first + half + CHAINS) {
    for (int i = 0; i < W; i++) lane[i] = i;
    for (int k = 0; k < 2; k++)
      for (int i = 0; i < W; i++) {
        const int vector = count - 2 + k;
        drop[k][i] = (ACROSS ? vector : vector * W + i) >= task.size ? -1 : 0;
      }
    const float scale = task.dt * TURN;
    for (int i = 0; i < task.size; i++)
      for (int j = 0; j < (ACROSS ? W : 1); j++)
        ((float *)turn)[ACROSS ? i * W + j : i] = task.frequency[i] * scale;
  }

  template <bool READ> void copy(int member) {
    for (int j = 0; j < (ACROSS ? W : 1) && member + j < task.members; j++) {
      float *row = task.phase + (size_t)(member + j) * task.size;
      for (int i = 0; i < task.size; i++) {
        float &mine = ((float *)x)[ACROSS ? i * W + j : i];
        if (READ) mine = row[i] * TURN, mine -= std::nearbyint(mine);
        else row[i] = mine / TURN;
      }
    }
  }

  static F total(F sum) {
    if (ACROSS) return sum;
    float all = 0;
    for (int i = 0; i < W; i++) all += sum[i];
    return splat(all);
  }

  // The words of all pairs of vectors: a block for each, or a bit of a block for each of 32.
  void draw(const uint32_t *key, int member, int pairs) {
    for (int i = 0; i < pairs; i += CHAINS) {
      U a[CHAINS], b[CHAINS];
      for (int k = 0; k < CHAINS; k++) {
        a[k] = ACROSS ? words(i + k) : lane + (uint32_t)((i + k) * W);
        b[k] = ACROSS ? lane + (uint32_t)member : words(member);
      }
      threefry(key, a, b);
      for (int k = 0; k < CHAINS; k++) first[i + k] = a[k], second[i + k] = b[k];
    }
  }

  template <bool MOVE, int LAW> inline void pass(F &sums, F &sumc) {
    const F pulls = sums, pullc = sumc, kick = splat(task.kick * TURN);
    F s[2] = {}, c[2] = {};
    for (int i = 0; i < half; i++) {
      F kicks[2] = {};
      if (LAW == 1) normals(first[i], second[i], kick, kicks[0], kicks[1]);
      if (LAW == 2) {
        const U one = first[i / 32] << (i % 32), other = second[i / 32] << (i % 32);
        kicks[0] = (F)((U)kick | (one & 0x80000000u));
        kicks[1] = (F)((U)kick | (other & 0x80000000u));
      }
#pragma GCC unroll 2
      for (int k = 0; k < 2; k++) {
        const int at = i + k * half;
        F now = x[at];
        if (MOVE) {
          now += turn[at] + (pulls * cos[at] - pullc * sin[at]);
          if (LAW) now += kicks[k];
          now -= nearest(now);
          x[at] = now;
        }
        s[k] += sin[at] = sine(now), c[k] += cos[at] = cosine(now);
      }
    }
    sums = s[0] + s[1], sumc = c[0] + c[1];
    for (int k = 0; k < 2; k++) {
      sums -= masked(sin[count - 2 + k], drop[k]), sumc -= masked(cos[count - 2 + k], drop[k]);
    }
    const float pull = task.strength * task.dt * TURN / task.size;
    sums = total(sums) * pull, sumc = total(sumc) * pull;
  }

  template <int LAW> void run(int member) {
    copy<true>(member);
    F sums{}, sumc{};
    pass<false, 0>(sums, sumc);
    for (uint32_t step = 0; step < (uint32_t)task.steps; step++) {
      const uint32_t key[3] = {task.seed, step, task.seed ^ step ^ 0x1BD11BDAu};
      if (LAW) draw(key, member, LAW == 1 ? half : (half + 31) / 32);
      pass<true, LAW>(sums, sumc);
    }
    copy<false>(member);
  }
};

template <bool ACROSS> static void share(const Task &task, int begin, int end) {
  Row<ACROSS> row(task);
  for (int member = begin; member < end; member += ACROSS ? W : 1) {
    if (task.law == 0) row.template run<0>(member);
    else if (task.law == 1) row.template run<1>(member);
    else row.template run<2>(member);
  }
}

extern "C" void run(float *phase, const float *frequency, int members, int size, int steps,
                    int threads, int across, float strength, float dt, float kick, int law,
                    uint32_t seed) {
  const Task task{phase, frequency, members, size, steps, strength, dt, kick, law, seed};
  const int rows = (members + W - 1) / W;  // whole vectors of members for each thread
  std::vector<std::thread> pool;
  for (int k = 0; k < threads; k++) {
    const int begin = W * (int)((int64_t)rows * k / threads);
    const int end = std::min(members, W * (int)((int64_t)rows * (k + 1) / threads));
    pool.emplace_back(across ? share<true> : share<false>, std::cref(task), begin, end);
  }
  for (auto &thread : pool) thread.join();
}

"""The kernels of `numba_by_hand`; imported only where numba is.

Without a vector library under it, numba makes a scalar call of every sine, cosine and logarithm.
These are polynomials, which it turns into vector code: some ten times as fast. A block of members
stays in the cache for all steps, `[oscillator, member]`.
"""

import math

import numpy as np
from numba import njit, prange

from tauax.numerics.logarithm import SERIES
from tauax.numerics.trig import QUARTER_SINE

_F, _I, _U = np.float32, np.int32, np.uint32
_HALF, _PI, _TURN = _F(math.pi / 2), _F(math.pi), _F(2 * math.pi)
_TURNS = _F(1 / (2 * math.pi))
_S1, _S2, _S3, _S4 = (_F(x) for x in QUARTER_SINE)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (_F(x) for x in SERIES)
_OCTAVE, _ROOT_HALF, _UNIT = _F(-2 * math.log(2.0)), _I(0x3F3504F3), _F(2.0**-24)
_ONE, _HALF_WEIGHT = _F(1), _F(0.5)


@njit(inline="always")
def _quarter(x):
    """sin x for |x| ≤ π/2."""
    q = x * x
    return x + x * q * (_S1 + q * (_S2 + q * (_S3 + q * _S4)))


@njit(inline="always")
def _sine(x):
    return _quarter(max(min(x, _PI - x), -_PI - x))


@njit(inline="always")
def _cosine(x):
    return _quarter(_HALF - abs(x))


@njit(inline="always")
def _wrapped(x):
    return x - _TURN * np.rint(x * _TURNS)


@njit(inline="always")
def _rotated(x, bits):
    return _U(_U(x << _U(bits)) | _U(x >> _U(32 - bits)))


@njit(inline="always")
def _hash(x):
    x = _U(x ^ _U(x >> _U(16)))
    x = _U(x * _U(0x7FEB352D))
    x = _U(x ^ _U(x >> _U(15)))
    x = _U(x * _U(0x846CA68B))
    return _U(x ^ _U(x >> _U(16)))


@njit(fastmath=True)
def _seed(state, first):
    """The state of xoroshiro64*, one generator for each pair of normals."""
    for i in range(state.shape[1]):
        state[0, i] = _hash(_U(_U(2) * _U(first + i) + _U(1)))
        state[1, i] = _hash(_U(_U(2) * _U(first + i) + _U(2)))


@njit(fastmath=True)
def _words(state, out):
    for i in range(out.size):
        a, b = state[0, i], state[1, i]
        out[i] = _U(a * _U(0x9E3779BB))
        b = _U(b ^ a)
        state[0, i] = _U(_rotated(a, 26) ^ b ^ _U(b << _U(9)))
        state[1, i] = _rotated(b, 13)


@njit(fastmath=True)
def _normals(state, word, unit, bits, octave, z, kick):
    """Box–Muller on pairs: z = kick·N(0, 1); `bits` is the memory of `unit`."""
    half = word.size
    _words(state, word)
    for i in range(half):
        unit[i] = _ONE - _F(_I(word[i] >> _U(8))) * _UNIT
    for i in range(half):
        power = _I(_I(bits[i] - _ROOT_HALF) >> _I(23))
        octave[i] = _F(power) * _OCTAVE
        bits[i] = _I(bits[i] - _I(power << _I(23)))
    _words(state, word)
    for i in range(half):
        f = unit[i] - _ONE
        high = _L4 + f * (_L5 + f * (_L6 + f * (_L7 + f * _L8)))
        log = octave[i] + f * (_L0 + f * (_L1 + f * (_L2 + f * (_L3 + f * high))))
        radius = kick * np.sqrt(max(log, _F(0)))
        angle = _F(_I(word[i] >> _U(8))) * (_UNIT * _TURN) - _PI
        z[i] = radius * _cosine(angle)
        z[half + i] = radius * _sine(angle)


@njit(fastmath=True)
def _signs(state, word, z, kick):
    """z = ±kick, each by a bit."""
    half = word.size
    _words(state, word)
    for i in range(half):
        z[i] = kick if word[i] >> _U(31) else -kick
        z[half + i] = kick if (word[i] >> _U(30)) & _U(1) else -kick


@njit(fastmath=True)
def _draw(law, state, word, unit, bits, octave, z, kick):
    if law == 1:
        _normals(state, word, unit, bits, octave, z, kick)
    elif law == 2:
        _signs(state, word, z, kick)


@njit(fastmath=True)
def _sincos(x, s, c):
    for i in range(x.size):
        s[i] = _sine(x[i])
        c[i] = _cosine(x[i])


@njit(fastmath=True)
def _sum(waves, pull, out):
    """pull·Σ_j waves_j for each member of the block."""
    out[:] = _F(0)
    for i in range(waves.shape[0]):
        row = waves[i]
        for b in range(out.size):
            out[b] += row[b]
    for b in range(out.size):
        out[b] *= pull


@njit(fastmath=True)
def _network(waves, starts, columns, values, fields):
    """Σ_j w_ij waves_j by rows of CSR, four terms at a time to spare loads and stores."""
    for i in range(fields.shape[0]):
        out, stop = fields[i], starts[i + 1]
        out[:] = _F(0)
        fours = starts[i] + (stop - starts[i]) // 4 * 4
        for k in range(starts[i], fours, 4):
            v0, v1, v2, v3 = values[k], values[k + 1], values[k + 2], values[k + 3]
            w0, w1 = waves[columns[k]], waves[columns[k + 1]]
            w2, w3 = waves[columns[k + 2]], waves[columns[k + 3]]
            for b in range(out.size):
                out[b] += v0 * w0[b] + v1 * w1[b] + v2 * w2[b] + v3 * w3[b]
        for k in range(fours, stop):
            wave, value = waves[columns[k]], values[k]
            for b in range(out.size):
                out[b] += value * wave[b]


@njit(fastmath=True)
def _push(out, base, z, part, turn, s, c, fs, fc):
    """out = base + part·(ω·dt + field) + z, wrapped; in place it would not be vector code."""
    for i in range(out.shape[0]):
        row = i if fs.shape[0] > 1 else 0
        o, x, kick, sin, cos = out[i], base[i], z[i], s[i], c[i]
        pull_s, pull_c, own = fs[row], fc[row], turn[i]
        for b in range(out.shape[1]):
            drift = own + pull_s[b] * cos[b] - pull_c[b] * sin[b]
            o[b] = _wrapped(x[b] + part * drift + kick[b])


@njit(parallel=True, fastmath=True, cache=True)
def blocks(phase, turn, pull, starts, columns, values, kick, law, heun, steps, block):
    """The mean field (no `values`) or a network, blocks of members side by side."""
    members, size = phase.shape
    for number in prange((members + block - 1) // block):
        begin = number * block
        width = min(block, members - begin)
        flat, half, shape = size * width, (size * width + 1) // 2, (size, width)
        x = np.empty(shape, np.float32)
        for b in range(width):
            for i in range(size):
                x[i, b] = _wrapped(phase[begin + b, i])
        s, c, ahead = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        middle, zero = np.empty_like(x), np.zeros_like(x)
        fields = (size if values.size else 1, width)
        fs, fc = np.empty(fields, np.float32), np.empty(fields, np.float32)
        pairs = np.zeros(2 * half, np.float32)
        z = pairs[:flat].reshape(shape)
        state, word = np.empty((2, half), np.uint32), np.empty(half, np.uint32)
        unit, octave = np.empty(half, np.float32), np.empty(half, np.float32)
        bits = unit.view(np.int32)
        _seed(state, number * ((size * block + 1) // 2))
        for _ in range(steps):
            _draw(law, state, word, unit, bits, octave, pairs, kick)
            for stage in range(2 if heun else 1):
                _sincos((ahead if stage else x).reshape(-1), s.reshape(-1), c.reshape(-1))
                if values.size:
                    _network(s, starts, columns, values, fs)
                    _network(c, starts, columns, values, fc)
                else:
                    _sum(s, pull, fs[0])
                    _sum(c, pull, fc[0])
                if heun and stage == 0:
                    _push(middle, x, z, _HALF_WEIGHT, turn, s, c, fs, fc)
                    _push(ahead, x, z, _ONE, turn, s, c, fs, fc)
                elif heun:
                    _push(x, middle, zero, _HALF_WEIGHT, turn, s, c, fs, fc)
                else:
                    _push(ahead, x, z, _ONE, turn, s, c, fs, fc)
                    x, ahead = ahead, x
        for b in range(width):
            for i in range(size):
                phase[begin + b, i] = x[i, b]

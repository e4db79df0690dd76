"""The kernels of `numba`; imported only where numba is."""

import numpy as np
from numba import njit, prange


def compressed(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows without their zeros: starts, columns and values of CSR."""
    rows, columns = np.nonzero(weights)
    starts = np.searchsorted(rows, np.arange(len(weights) + 1))
    return starts, np.ascontiguousarray(columns), weights[rows, columns]


@njit(parallel=True, fastmath=True, cache=True)
def mean_field(phase, frequency, strength, dt, kick, steps):
    """Euler of every member by itself, in place."""
    members, size = phase.shape
    for member in prange(members):
        theta = phase[member]
        sin, cos = np.empty_like(theta), np.empty_like(theta)
        for _ in range(steps):
            total_sin, total_cos = np.float32(0), np.float32(0)
            for i in range(size):
                sin[i], cos[i] = np.sin(theta[i]), np.cos(theta[i])
                total_sin += sin[i]
                total_cos += cos[i]
            field_sin = strength * total_sin / np.float32(size)
            field_cos = strength * total_cos / np.float32(size)
            for i in range(size):
                theta[i] += dt * (frequency[i] + field_sin * cos[i] - field_cos * sin[i])
            if kick > 0:
                for i in range(size):
                    theta[i] += kick * np.float32(np.random.standard_normal())  # noqa: NPY002


@njit(fastmath=True, cache=True)
def full(phase, frequency, columns, strength, dt, kick, steps):
    """The same with full weights, transposed: products of matrices, by all cores, for all members.

    The loops are serial: threads of numba and of the products would wait for each other.
    """
    members, size = phase.shape
    sin, cos = np.empty_like(phase), np.empty_like(phase)
    field_sin, field_cos = np.empty_like(phase), np.empty_like(phase)
    for _ in range(steps):
        for member in range(members):
            for i in range(size):
                sin[member, i], cos[member, i] = np.sin(phase[member, i]), np.cos(phase[member, i])
        np.dot(sin, columns, field_sin)
        np.dot(cos, columns, field_cos)
        for member in range(members):
            for i in range(size):
                torque = (
                    field_sin[member, i] * cos[member, i] - field_cos[member, i] * sin[member, i]
                )
                phase[member, i] += dt * (frequency[i] + strength * torque)
        if kick > 0:
            for member in range(members):
                for i in range(size):
                    phase[member, i] += kick * np.float32(np.random.standard_normal())  # noqa: NPY002


@njit(parallel=True, fastmath=True, cache=True)
def network(phase, frequency, starts, columns, values, strength, dt, kick, steps):
    """The same with Σ_j w_ij sin(θ_j − θ_i) along the rows of a network."""
    members, size = phase.shape
    for member in prange(members):
        theta = phase[member]
        sin, cos = np.empty_like(theta), np.empty_like(theta)
        for _ in range(steps):
            for i in range(size):
                sin[i], cos[i] = np.sin(theta[i]), np.cos(theta[i])
            for i in range(size):
                field_sin, field_cos = np.float32(0), np.float32(0)
                for place in range(starts[i], starts[i + 1]):
                    field_sin += values[place] * sin[columns[place]]
                    field_cos += values[place] * cos[columns[place]]
                torque = strength * (field_sin * cos[i] - field_cos * sin[i])
                theta[i] += dt * (frequency[i] + torque)
            if kick > 0:
                for i in range(size):
                    theta[i] += kick * np.float32(np.random.standard_normal())  # noqa: NPY002

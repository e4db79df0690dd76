"""Shared fixtures: 64-bit mode for one test, and the kernel's shape annotations checked."""

import gc

import jax
import jaxtyping
import pytest

# Not the public constructors and verbs: their own messages are what the user must see.
KERNEL = ["numerics", "_scan", "readouts", "state", "steppers"]
jaxtyping.install_import_hook([f"tauax.{module}" for module in KERNEL], "beartype.beartype")


# Tracing makes many objects and few cycles: looking for these less often saves a tenth of the time.
gc.set_threshold(200_000, 50, 50)


@pytest.fixture
def x64():
    """64-bit mode inside one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Thousands of compiled programs take gigabytes, and no module needs those of another."""
    yield
    jax.clear_caches()
    gc.collect()

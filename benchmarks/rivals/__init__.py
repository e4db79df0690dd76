"""Other programs for the same problems: libraries, and C++ by hand as the limit of a CPU.

A module is a rival: `NAME`, `NEEDS` (what must be installed, imported in `make` only), and
`make(problem)`, a `Side`, or None for a problem that it cannot do; `missing()`, where something
else than modules may be lacking.
"""

# By name: they are imported once jax has its devices.
RIVALS = tuple(
    f"benchmarks.rivals.{name}"
    for name in (
        "numba_",
        "numba_by_hand",
        "diffrax_",
        "torch_",
        "cpp",
        "brainmass_",
        "jaxkuramoto_",
        "jitcsde_",
        "kuramoto_",
        "xgi_",
    )
)

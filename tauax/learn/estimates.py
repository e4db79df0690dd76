"""What the estimators of gradients return."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tauax._checks import fault


class GradientEstimate(eqx.Module):
    """A gradient and how far it is known, each in the structure of what `where` picked.

    **Attributes:** `gradient`; `standard_error`, its own; `value`, the mean of what was
    differentiated; `samples`, how many independent estimates were averaged. Of finite differences
    also `truncation`, the estimated error by the length of the step, and `truncation_error`, its
    standard error; `correlation` of the two ends over the keys, of which common noise makes use:
    their difference has 1 − correlation times the variance that it has with separate keys. None of
    `girsanov`. `reason`, what there is against the estimate, empty if nothing is known.
    """

    gradient: Any
    standard_error: Any
    value: Float[Array, ""]
    samples: int = eqx.field(static=True)
    truncation: Any = None
    truncation_error: Any = None
    correlation: Any = None
    reason: str = eqx.field(static=True, default="")

    def z(self, gradient: Any) -> Any:
        """How far another gradient is from this one, in standard errors of this one.

        **Raises:** `ValueError` for another structure or other shapes.
        """
        ours, theirs = (jax.tree.structure(one) for one in (self.gradient, gradient))
        shapes = [[np.shape(x) for x in jax.tree.leaves(y)] for y in (self.gradient, gradient)]
        if ours != theirs or shapes[0] != shapes[1]:
            raise fault(
                f"a gradient of the shapes {shapes[1]}",
                f"{shapes[0]}, in the structure of this one",
                "give the gradient by the leaves that where= picks",
            )
        return jax.tree.map(_z, gradient, self.gradient, self.standard_error)


def _z(other: Array, gradient: Array, error: Array) -> Array:
    """The difference in standard errors; 0 where there is no difference."""
    difference = other - gradient
    return jnp.where(difference == 0, 0.0, difference / jnp.where(difference == 0, 1.0, error))

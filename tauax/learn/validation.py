"""When a fit has learned enough: a second loss, that no gradient is taken of."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array

from tauax._checks import check_count, fault
from tauax.learn.problem import arrays_of, count_of


def _examples(data: Any) -> Any:
    return None if data is None else arrays_of("the data of Validation", data)


class Validation(eqx.Module):
    """Early stopping: a fit ends once its validation loss no longer falls.

    The validation loss is evaluated before step 0, `every`, 2 `every`, … and at the end, always
    with the same key. A start ends when `patience` evaluations in a row brought none that is lower
    than all before, and a fit returns the numbers of the lowest. What brings no more than an
    improvement by chance is not told apart: let a loss with noise average over members.

        tx.fit(loss, model, data=training, validation=tx.Validation(held_out, patience=5), …)

    **Arguments:** `data`, for a fit with data: other examples, of which `loss(model, key, data)`,
    all at once, is the validation loss; or `loss`, a function of its own, `loss(model, key)`;
    `every`, in steps; `patience`, in evaluations.

    **Raises:** `ValueError` or `TypeError` for both or neither of `data` and `loss`, data that are
    not arrays of as many examples, or numbers below 1.

    Source: Goodfellow, Bengio & Courville (2016), algorithm 7.1.
    """

    data: Any = eqx.field(converter=_examples, default=None)
    loss: Callable | None = eqx.field(kw_only=True, default=None)
    every: int = eqx.field(static=True, kw_only=True, default=10)
    patience: int = eqx.field(static=True, kw_only=True, default=5)

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        check_count("patience", self.patience, 1)
        if (self.data is None) == (self.loss is None):
            raise fault(
                f"a Validation with {'neither data nor' if self.loss is None else 'data and'} loss",
                "one of them",
                "pass tx.Validation(data) to a fit with data, else tx.Validation(loss=function)",
            )
        if self.data is not None:
            count_of("the data of Validation", self.data)
        elif not callable(self.loss):
            fix = "pass a function such as def loss(model, key)"
            raise fault(f"loss={self.loss!r}", "a function", fix, TypeError)

    def __call__(self, loss: Callable, model: Any, key: Any) -> Any:
        """The validation loss, given the loss of the fit."""
        return loss(model, key, self.data) if self.loss is None else self.loss(model, key)

    def record(self, step: Array | int) -> Any:
        """The number of evaluations before a step at which there is one."""
        return (step + self.every - 1) // self.every

"""Which anchor tau crystals are to be at, and when."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_shape, fault, is_concrete
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import AbstractLoss
from tauax.monitors.base import AbstractMonitor, checked_codes, nearest_code
from tauax.monitors.trace import Trace
from tauax.readouts import as_crystals, readout
from tauax.solution import Solution
from tauax.state import State
from tauax.thresholds import Soft, StraightThrough, Thresholds


@readout
def log_memberships(model, state: State) -> Array:
    """ln of how far the field belongs to each level, `[*batch, ..., level]`, lowest level first.

    With a_k = (h − c_k)/T the share of a level between two cuts is σ(a_k) − σ(a_{k+1}), and its
    logarithm ln σ(a_k) + ln σ(−a_{k+1}) + ln(1 − e^{a_{k+1} − a_k}): an ordered logit (McCullagh
    1980), exact and with a derivative however far the field is from the level.

    **Raises:** `TypeError` for a model without a field or soft thresholds; `ValueError` for
    thresholds with a dwell time.
    """
    system = as_crystals(model.at(state.now))
    bank = system.thresholds
    temperature = _temperature(bank)
    field = system.field(state)
    cuts = bank.cuts_at(state.buffers.anchors).astype(field.dtype)
    above = (field[..., None] - cuts) / temperature.astype(field.dtype)
    rises, falls = jax.nn.log_sigmoid(above), jax.nn.log_sigmoid(-above)
    levels = [falls[..., 0]]
    for low, high in pairwise(range(above.shape[-1])):
        gap = above[..., low] - above[..., high]
        apart = gap > 0  # cuts that follow the field may coincide
        between = jnp.log(-jnp.expm1(-jnp.where(apart, gap, 1.0)))
        smallest = jnp.log(jnp.finfo(field.dtype).tiny)
        levels.append(rises[..., low] + falls[..., high] + jnp.where(apart, between, smallest))
    return jnp.stack([*levels, rises[..., -1]], axis=-1)


def _temperature(bank: Thresholds) -> Array:
    """T of a bank that gives levels a share each."""
    if not isinstance(bank.decision, Soft | StraightThrough):
        raise fault(
            f"thresholds with the decision {type(bank.decision).__name__}, which is 0 or 1",
            "soft ones, for which a field belongs to every level to some extent",
            "build the crystals with tx.Thresholds((-0.3, 0.3), decision=tx.Soft(0.05))",
            TypeError,
        )
    if bank.dwell is not None:
        raise fault(
            "thresholds with a dwell time, which hold a level whatever the field is",
            "thresholds without",
            "leave out dwell= while fitting, and put it back afterwards",
        )
    return bank.decision.temperature


class AnchorCrossEntropy(AbstractLoss):
    """−E ⟨ln q_t(c_t)⟩ over records t: how surely soft anchors are at given codes at given times.

    q_t(c) is the share of `tx.anchor`'s thresholds for the level c: σ((h − c_k)/T) − σ((h −
    c_{k+1})/T). It is 0 where all are certain and right, ln 3 for shares of a third, and grows
    like (distance to the cut)/T where they are wrong, so the gradient never vanishes there.

    **Arguments:** `target`, `[record]` for all entities or `[record, entity]`, codes such as 1, 0
    and −1 of FLOW+, SYNC and FLOW−, at the steps 0, every, 2·every, … from the first that counts;
    `codes`, all that the thresholds have; `every`, in steps.

    For `tx.TauCrystals` with thresholds `decision=tx.Soft(T)`, or `tx.StraightThrough(T)`, of
    which the soft shares count. A mean over members, not the square of one: value and gradient are
    right on average for one member too.

    **Raises:** `ValueError` for codes that do not exist, or of another number of records than the
    run has; `TypeError` for a model without soft thresholds.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    codes: tuple[float, ...] = eqx.field(
        static=True, converter=checked_codes, default=(-1.0, 0.0, 1.0)
    )
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        if self.target.ndim not in (1, 2) or self.target.size == 0:
            expected = "codes of shape (records,) or (records, entities)"
            shape = self.target.shape
            raise fault(f"AnchorCrossEntropy.target of shape {shape}", expected, "give one a time")
        if is_concrete(self.target):
            found = np.asarray(self.target)
            strange = ~np.isin(found, np.asarray(self.codes, found.dtype))
            if strange.any():
                place = tuple(map(int, np.argwhere(strange)[0]))
                where = ", ".join(map(str, place))
                names = ", ".join(f"{code:g}" for code in self.codes)
                raise fault(
                    f"AnchorCrossEntropy.target[{where}] = {found[place]:g}",
                    f"one of the codes {names}",
                    "1 is FLOW+, 0 SYNC, −1 FLOW−; other thresholds are said by codes=",
                )

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"share": Trace(log_memberships, every=self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["share"].value
        own = found.shape[len(solution.state.axes) :]
        if own[-1] != len(self.codes):
            raise fault(
                f"thresholds with {own[-1]} levels",
                f"{len(self.codes)}, one for each of codes={self.codes}",
                "pass all codes of the thresholds, (−K/2, …, K/2) for K cuts",
            )
        fix = "give a code for each record; that follows from steps, after and every"
        check_shape("AnchorCrossEntropy.target", self.target, [own[:1], own[:-1]], fix)
        place = nearest_code(self.target, self.codes)
        place = place.reshape(self.target.shape + (1,) * (len(own) - self.target.ndim))
        place = jnp.broadcast_to(place, (*found.shape[:-1], 1))
        return -jnp.take_along_axis(found, place, axis=-1).mean()

"""Time scales: how the oscillators of several scales lie on one axis, and what links the scales."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_numbers, check_shape, fault
from tauax._types import FINITE, numeric
from tauax.numerics.fusion import cross, product
from tauax.numerics.reduce import mean
from tauax.numerics.trig import sincos

NAMES = ("micro", "meso", "macro", "ultra")


class Layout(NamedTuple):
    """Oscillators in the order scale, entity, crystal.

    **Attributes:** `names` of the scales; `crystals`, how many each entity has of each scale;
    `entities`, how many there are, None for a single one without an axis.
    """

    names: tuple[str, ...]
    crystals: tuple[int, ...]
    entities: int | None

    @property
    def size(self) -> int:
        """Number of oscillators."""
        return sum(self.crystals) * (self.entities or 1)

    @property
    def per_entity(self) -> tuple[int, ...]:
        """The shape of what each entity has one of."""
        return () if self.entities is None else (self.entities,)

    def blocks(self, values: Array) -> list[Array]:
        """`[..., oscillator]` as one `[..., entity, crystal]` per scale."""
        sizes = [count * (self.entities or 1) for count in self.crystals]
        ends = np.cumsum(sizes).tolist()
        return [
            values[..., end - size : end].reshape(*values.shape[:-1], self.entities or 1, count)
            for end, size, count in zip(ends, sizes, self.crystals, strict=True)
        ]

    def means(self, values: Array) -> list[Array]:
        """The mean over the crystals, one array of the shape `per_entity` per scale."""
        return [mean(block).reshape(self.per_entity) for block in self.blocks(values)]

    def joined(self, blocks: Sequence[Array]) -> Array:
        """One `[..., entity, crystal]` per scale as `[..., oscillator]`."""
        return jnp.concatenate([x.reshape(*x.shape[:-2], -1) for x in blocks], axis=-1)

    def spread(self, values: Array) -> Array:
        """One value per scale, `[scale]` or `[entity, scale]`, as one per oscillator."""
        if values.shape == (self.size,):
            return values
        return self.joined(
            [
                jnp.broadcast_to(values[..., scale][..., None], (self.entities or 1, count))
                for scale, count in enumerate(self.crystals)
            ]
        )

    def position(self, scale: str) -> int:
        """The number of a scale, from its name."""
        if scale not in self.names:
            raise fault(
                f"a scale named {scale!r}", f"one of {', '.join(self.names)}", "use one of these"
            )
        return self.names.index(scale)

    def check(self, name: str, values: Array, each: bool = False) -> None:
        """Raise unless there is one value per scale, per entity and scale, or per oscillator."""
        scales = len(self.names)
        allowed = [(scales,), (*self.per_entity, scales)][: 1 + len(self.per_entity)]
        if each and (self.size,) not in allowed:
            allowed.append((self.size,))
        fix = f"give one value for each of the scales {', '.join(self.names)}"
        check_shape(name, values, allowed, fix)


def layout(names: Sequence[str], crystals: int | Sequence[int], entities: int | None) -> Layout:
    """The layout of so many crystals per scale, checked."""
    names = tuple(names)
    if not names or len(set(names)) != len(names) or not all(isinstance(x, str) for x in names):
        raise fault(
            f"scales={names!r}", "names that differ, at least one", f"pass scales={NAMES[:2]}"
        )
    counts = crystals if isinstance(crystals, Sequence) else (crystals,) * len(names)
    if len(counts) != len(names):
        raise fault(
            f"crystals={crystals!r} for the scales {', '.join(names)}",
            f"one number or {len(names)} of them",
            "give how many crystals each scale has",
        )
    counts = tuple(check_count("crystals", count, 1) for count in counts)
    if entities is not None:
        entities = check_count("entities", entities, 1)
    return Layout(names, counts, entities)


class ScaleLink(eqx.Module):
    """C_a = K ⟨sin(nθ_b − mθ_a − α)⟩: scale b acts on scale a of the same entity.

    The mean is over the crystals of the source. A single pair with a fixed source locks to
    θ̇_a = (n/m)·ω_b if |mω_a − nω_b| < mK, as an oscillator does to a `Tone`.

    **Arguments:** `target` a and `source` b, names of scales; `strength` K in rad/s and `lag` α in
    radians, one number each; `turns` n of the source and `cycles` m of the target, positive
    integers: 10 for a source ten times slower.

    **Raises:** `ValueError` for values that are not finite, scales that are not of the model or the
    same; `ValueError` or `TypeError` for turns or cycles that are not positive integers.
    """

    target: str = eqx.field(static=True)
    source: str = eqx.field(static=True)
    strength: Array = eqx.field(converter=numeric, metadata=FINITE)
    lag: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    turns: int = eqx.field(static=True, default=1)
    cycles: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_numbers(self)
        check_count("turns", self.turns, 1)
        check_count("cycles", self.cycles, 1)
        if self.target == self.source:
            raise fault(
                f"a link from {self.source!r} to itself",
                "two scales",
                "couple the crystals of one scale by within=tx.MeanField(...)",
            )

    def __call__(self, target: Array, source: Array) -> Array:
        """The torque on the target, from wrapped phases `[..., entity, crystal]` of both."""
        sin, cos = sincos(product(source, self.turns) - self.lag)
        own_sin, own_cos = sincos(product(target, self.cycles))
        mean_sin, mean_cos = mean(sin)[..., None], mean(cos)[..., None]
        return product(self.strength, cross(mean_sin, own_cos, mean_cos, own_sin))

    def check(self, layout: Layout) -> None:
        """Raise unless the link fits a model of such scales."""
        layout.position(self.target)
        layout.position(self.source)
        for name in ("strength", "lag"):
            fix = "give one number; for one per member use tx.per_member"
            check_shape(f"ScaleLink.{name}", getattr(self, name), [()], fix)

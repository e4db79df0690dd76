"""Two interleaved half-moons, told apart by a layer of oscillators that learns.

    python examples/classify.py --figure moons.png

The two coordinates of a point set the frequencies of a dozen coupled oscillators and pull their
phases. After two seconds a linear read-out of where the phases are relative to their mean field
says which moon it is. Frequencies, couplings, what the point does and the read-out are learned
together by gradient descent through the simulation. For comparison the same read-out is trained on
the coordinates themselves, which draws a straight line between the moons.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import tauax as tx

DT, STEPS, RATE = 0.1, 20, 2e-2  # seconds, steps of a run, learning rate


class Classifier(eqx.Module):
    """The log-odds of the second moon: a linear read-out of a layer, or of the points themselves.

    **Arguments:** `layer`, or None for a linear classifier; `weights`, `[feature]`; `bias`.
    """

    layer: tx.OscillatorLayer | None
    weights: Array
    bias: Array

    def __call__(self, points: Array) -> Array:
        features = points if self.layer is None else self.layer(points)
        return features @ self.weights + self.bias


def moons(count: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points `[point, 2]` on two interleaved half-circles, with noise, and which one each is on."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    angle = rng.uniform(0.0, np.pi, count)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    second = np.stack([1.0 - circle[:, 0], 0.5 - circle[:, 1]], axis=-1)
    points = np.where(label[:, None], second, circle) - np.array([0.5, 0.25])
    points = points + noise * rng.normal(size=points.shape)
    return points.astype(np.float32), label


def classifier(oscillators: int, key: Array) -> Classifier:
    """With a layer of so many oscillators, nothing learned yet."""
    layer = tx.OscillatorLayer.random(2, oscillators, key=key, dt=DT, steps=STEPS)
    return Classifier(layer, jnp.zeros(layer.outputs), jnp.zeros(()))


def loss(model: Classifier, points: Array, label: Array) -> Array:
    """The mean negative log-likelihood."""
    return optax.sigmoid_binary_cross_entropy(model(points), label).mean()


@eqx.filter_jit
def trained(model: Classifier, points: Array, label: Array, rounds: int):
    """The classifier after so many gradient steps on all points, and the loss before each."""
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, rounds))
    numbers, rest = eqx.partition(model, eqx.is_inexact_array)

    def descend(carry, _):
        numbers, memory = carry
        value, slope = jax.value_and_grad(
            lambda numbers: loss(eqx.combine(numbers, rest), points, label)
        )(numbers)
        change, memory = optimizer.update(slope, memory, numbers)
        return (eqx.apply_updates(numbers, change), memory), value

    begin = (numbers, optimizer.init(numbers))
    (numbers, _), losses = jax.lax.scan(descend, begin, None, length=rounds)
    return eqx.combine(numbers, rest), losses


def accuracy(model: Classifier, points: Array, label: Array) -> float:
    """The share of points put on the right moon."""
    return float(((model(points) > 0) == label).mean())


def draw(path: Path, model: Classifier, points: np.ndarray, label: np.ndarray) -> None:
    """A map of the probability of the second moon, with the held-out points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x, y = np.meshgrid(np.linspace(-2.1, 2.1, 80), np.linspace(-1.5, 1.5, 60))
    grid = jnp.asarray(np.stack([x.ravel(), y.ravel()], axis=-1), jnp.float32)
    figure, axes = plt.subplots(figsize=(5, 3.6))
    probability = jax.nn.sigmoid(model(grid)).reshape(x.shape)
    image = axes.pcolormesh(x, y, probability, cmap="RdBu", vmin=0, vmax=1, shading="nearest")
    for one, colour in ((0, "darkred"), (1, "navy")):
        axes.scatter(*points[label == one].T, s=6, color=colour)
    figure.colorbar(image, label="probability of the second moon")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Train both classifiers, and print how well each does on points it has not seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shown = "(default: %(default)s)"
    parser.add_argument("--oscillators", type=int, default=12, help=f"in the layer {shown}")
    parser.add_argument("--points", type=int, default=256, help=f"to learn from {shown}")
    parser.add_argument("--rounds", type=int, default=300, help=f"gradient steps {shown}")
    parser.add_argument("--noise", type=float, default=0.12, help=f"around the moons {shown}")
    parser.add_argument("--seed", type=int, default=0, help=f"of all that is random {shown}")
    parser.add_argument("--figure", type=Path, help="save a map of what was learned there")
    options = parser.parse_args(arguments)
    points, label = moons(options.points, options.noise, options.seed)
    unseen, truth = moons(1_000, options.noise, options.seed + 1_000_003)
    begin = {
        "linear": Classifier(None, jnp.zeros(2), jnp.zeros(())),
        "oscillators": classifier(options.oscillators, jax.random.key(options.seed)),
    }
    print(f"{options.points} points to learn from, {len(unseen)} held out")
    for name, start in begin.items():
        model, losses = trained(start, points, label, options.rounds)
        rate = accuracy(model, unseen, truth)
        print(f"{name:>12}: loss {losses[0]:.3f} → {losses[-1]:.3f}, held-out accuracy {rate:.1%}")
    if options.figure is not None:
        draw(options.figure, model, unseen, truth)


if __name__ == "__main__":
    main()

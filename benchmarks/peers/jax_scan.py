"""Many wine networks at once in JAX: ``jit(vmap(lax.scan))`` over steps and epochs.

FILE holds rows, and the batch order and first weights of every repeat (see rows_file in
../cohort.py). Networks are taken 200 at a time; compiling is timed apart. After every epoch each is
judged by loss and accuracy on the rows held out, inside the same compiled function. JAX takes the
processor for one device, whose second core it leaves idle for most of the time; with --devices it
takes it for several, and each has its share of the networks. Prints one JSON document.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from peak import peak_bytes

AT_ONCE = 200
Weights = list[tuple[jax.Array, jax.Array]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--rates", required=True, help="JSON: the rates of each repeat")
    parser.add_argument("--networks", type=int, required=True)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many")
    args = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", args.devices)
    given = dict(np.load(args.file))
    rates = np.array(json.loads(args.rates), np.float32)
    places = np.arange(args.networks)
    shares = [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]
    if len(shares[0]) % args.devices or len(shares[-1]) != len(shares[0]):
        parser.error(f"--networks: no even shares of {AT_ONCE} or of {args.devices} devices")

    each = NamedSharding(Mesh(np.array(jax.devices()), ("networks",)), PartitionSpec("networks"))
    function = jax.jit(jax.vmap(one_network(given)), in_shardings=each, out_shardings=each)
    started = time.perf_counter()
    compiled = function.lower(*arguments(given, rates, shares[0])).compile()
    compiling = time.perf_counter() - started

    def curves(networks: np.ndarray) -> Any:
        placed = jax.device_put(arguments(given, rates, networks), each)
        return jax.tree.map(np.asarray, compiled(*placed))

    curves(shares[0])
    seconds = []
    for _ in range(args.rounds):
        started = time.perf_counter()
        _, losses, accuracies = [curves(networks) for networks in shares][0]
        seconds.append(time.perf_counter() - started)
    answer = {
        "seconds": statistics.median(seconds),
        "compile_seconds": compiling,
        "peak_bytes": peak_bytes(),
        "valid_losses": losses[: len(rates), -1].tolist(),
        "valid_accuracies": accuracies[: len(rates), -1].tolist(),
    }
    print(json.dumps(answer))


def arguments(given: Any, rates: np.ndarray, networks: np.ndarray) -> tuple[Weights, Any, Any]:
    """First weights, rates and batch orders: the networks of one repeat differ in their rate."""
    repeats = networks // len(rates)
    layers = sum(name.startswith("weight") for name in given)
    weights = [
        (given[f"weight{number}"][repeats], given[f"bias{number}"][repeats])
        for number in range(layers)
    ]
    return weights, rates[networks % len(rates)], given["orders"][repeats]


def one_network(given: Any) -> Callable[[Weights, jax.Array, jax.Array], Any]:
    """A function that trains one: (weights, rate, orders) to its curves."""
    inputs, truth = given["train_inputs"], given["train_truth"]
    valid_inputs, valid_truth = given["valid_inputs"], given["valid_truth"]

    def train(weights: Weights, rate: jax.Array, orders: jax.Array) -> Any:
        def step(weights: Weights, batch: tuple[jax.Array, jax.Array]) -> tuple[Weights, Any]:
            loss, gradient = jax.value_and_grad(loss_of)(weights, *batch)
            return jax.tree.map(lambda w, g: w - rate * g, weights, gradient), loss

        def epoch(weights: Weights, order: jax.Array) -> tuple[Weights, Any]:
            weights, losses = lax.scan(step, weights, (inputs[order], truth[order]))
            output = logits(weights, valid_inputs)
            right = jnp.mean((output > 0) == valid_truth)
            return weights, (jnp.mean(losses), cross_entropy(output, valid_truth), right)

        return lax.scan(epoch, weights, orders)[1]

    inputs, truth, valid_inputs, valid_truth = map(
        jnp.asarray, (inputs, truth, valid_inputs, valid_truth)
    )
    return train


def logits(weights: Weights, rows: jax.Array) -> jax.Array:
    """The answers of the network, (rows,)."""
    *hidden, (weight, bias) = weights
    for w, b in hidden:
        rows = jax.nn.relu(rows @ w.T + b)
    return (rows @ weight.T + bias)[:, 0]


def loss_of(weights: Weights, rows: jax.Array, truth: jax.Array) -> jax.Array:
    return cross_entropy(logits(weights, rows), truth)


def cross_entropy(output: jax.Array, truth: jax.Array) -> jax.Array:
    """The mean binary cross-entropy of logits."""
    return jnp.mean(jnp.logaddexp(0, output) - truth * output)


if __name__ == "__main__":
    main()

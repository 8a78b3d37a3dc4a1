"""Wine networks one by one in scikit-learn, as many at a time as there are cores, by joblib.

FILE holds rows (see rows_file in ../cohort.py). ``MLPClassifier`` by plain stochastic gradient
descent, which is not judged on rows held out. It gets no more training rows than fill its batches,
so that it takes as many steps as the others. Starting joblib's processes is not timed. Prints one
JSON document.
"""

import argparse
import json
import time
import warnings
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from sklearn.neural_network import MLPClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--rates", required=True, help="JSON: the rate of each network")
    parser.add_argument("--hidden", required=True, help="JSON: units of each hidden layer")
    parser.add_argument("--cores", type=int, required=True)
    args = parser.parse_args()
    rates = json.loads(args.rates)
    file = np.load(args.file)
    epochs, steps, batch_size = file["orders"].shape[1:]
    rows = [file[f"train_{what}"][: steps * batch_size] for what in ("inputs", "truth")]
    held_out = [file[f"valid_{what}"] for what in ("inputs", "truth")]
    options = {"hidden_layer_sizes": json.loads(args.hidden), "batch_size": batch_size}

    def task(rate: float, seed: int, epochs: int) -> Any:
        given = {"learning_rate_init": rate, "random_state": seed, "max_iter": epochs}
        return joblib.delayed(accuracy)(rows, held_out, options | given)

    with joblib.Parallel(n_jobs=args.cores) as parallel:
        parallel(task(rates[0], 0, 1) for _ in range(2 * args.cores))
        started = time.perf_counter()
        accuracies = parallel(task(rate, seed, epochs) for seed, rate in enumerate(rates))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "valid_accuracies": accuracies}))


def accuracy(
    rows: list[np.ndarray], held_out: list[np.ndarray], options: Mapping[str, Any]
) -> float:
    """Train one network, in all its epochs, and judge it."""
    warnings.simplefilter("ignore")  # of networks that are stopped before they converge
    patience = options["max_iter"] + 1
    net = MLPClassifier(solver="sgd", momentum=0, alpha=0, n_iter_no_change=patience, **options)
    return float(net.fit(*rows).score(*held_out))


if __name__ == "__main__":
    main()

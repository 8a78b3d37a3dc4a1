"""secchi's side of cohort.py, in a process of its own like its peers.

An experiment over rates, in memory. The same with one repeat of one epoch comes before, timed
apart, as compiling is of a peer that compiles. Prints one JSON document.
"""

import argparse
import json
import statistics
import time

from peak import peak_bytes

from secchi import MLP, Experiment, TableData, Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--rates", required=True, help="JSON: the rates of each repeat")
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--hidden", required=True, help="JSON: units of each hidden layer")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many")
    args = parser.parse_args()
    rates, hidden = json.loads(args.rates), json.loads(args.hidden)
    wine = TableData.from_csv(args.table, "quality", sep=";", above=5, scale="zscore")

    def experiment(repeats: int, epochs: int) -> Experiment:
        training = Training(
            "sgd", lr=0.01, batch_size=args.batch_size, epochs=epochs, weight_decay=0.0
        )
        return Experiment(wine, MLP(hidden), training, vary={"lr": rates}, repeats=repeats)

    started = time.perf_counter()
    experiment(1, 1).run()
    first = time.perf_counter() - started
    seconds = []
    for _ in range(args.rounds):
        started = time.perf_counter()
        result = experiment(args.repeats, args.epochs).run()
        seconds.append(time.perf_counter() - started)
    peak = peak_bytes()
    final = result.final[result.final["repeat"] == 0].set_index("lr").loc[rates]
    answer = {
        "seconds": statistics.median(seconds),
        "first_seconds": first,
        "peak_bytes": peak,
        "valid_losses": final["valid_loss"].tolist(),
        "valid_accuracies": final["valid_accuracy"].tolist(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

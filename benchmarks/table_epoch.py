"""One epoch on a table against a loop in plain PyTorch with its DataLoader.

The white wines (or, where they are not there, scikit-learn's diabetes table, repeated to as many
rows), z-scored; a network 11-16-32-32-1 that predicts the quality; stochastic gradient descent. The
peer is the loop that an expert writes: ``DataLoader`` over a ``TensorDataset``, and
``torch.optim.SGD``. Both begin with the same weights and take the same batches in the same order;
where their losses differ, the benchmark fails. Neither is judged after an epoch. They take turns in
one process. Secchi keeps a step as small as these on one core whatever torch may use; with several
cores the peer shares its steps out.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from common import cores, fail, print_table, ratio, say, whole_number
from secchi.data.task import Labels, Task
from secchi.seeding import stream
from secchi.training.loop import train
from secchi.training.rows import ArrayInputs, Batches, Rows
from secchi.training.spec import Training

WINE = Path(__file__).resolve().parents[2] / "shared" / "data" / "wine" / "winequality-white.csv"
ROWS = 4898
BATCH_SIZES = (64, 512)
WANTED = {64: 1.5, 512: 4.0}
LR = 0.01


class Table(NamedTuple):
    """Inputs and what is true of them."""

    name: str
    rows: Rows


class Turn(NamedTuple):
    """Seconds of each epoch, and the training loss of the last one."""

    seconds: list[float]
    loss: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=whole_number, default=10, help="of one turn")
    parser.add_argument("--rounds", type=whole_number, default=5)
    args = parser.parse_args()
    table = wine_or_diabetes()
    rows = []
    for size in BATCH_SIZES:
        seconds: dict[tuple[str, int], float] = {}
        for threads in sorted({1, cores()}):
            say(f"batches of {size}, cores: {threads}")
            torch.set_num_threads(threads)
            for name, value in zip(("secchi", "plain"), measure(table, size, args), strict=True):
                seconds[name, threads] = value
        for threads in sorted({1, cores()}):
            rows.append(
                line(size, str(threads), seconds["secchi", threads], seconds["plain", threads])
            )
        best = [min(v for k, v in seconds.items() if k[0] == name) for name in ("secchi", "plain")]
        rows.append([*line(size, "best", *best)[:-1], share(table, size, best[0])])
    print_table(
        f"One epoch of {ROWS:,} rows of {table.name}, 11-16-32-32-1, sgd; median of "
        f"{args.rounds * args.epochs} epochs in {args.rounds} turns",
        ["batch", "cores", "secchi, ms", "plain, ms", "faster", "wanted", "preparing"],
        rows,
    )


def line(size: int, cores_used: str, ours: float, theirs: float) -> list[str]:
    wanted = f"{WANTED[size]:.1f}x"
    times = [f"{1000 * ours:.2f}", f"{1000 * theirs:.2f}"]
    return [str(size), cores_used, *times, ratio(theirs, ours), wanted, ""]


def share(table: Table, size: int, epoch: float) -> str:
    """How much of an epoch goes into making its batches."""
    return f"{preparing(table, size) / epoch:.0%}"


def measure(table: Table, size: int, args: argparse.Namespace) -> tuple[float, float]:
    """Median seconds of an epoch, secchi's and the peer's, turn by turn."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(args.rounds + 1):
        mine, other = secchi(table, size, args.epochs), plain(table, size, args.epochs)
        if not math.isclose(mine.loss, other.loss, rel_tol=1e-3):
            fail(f"secchi's loss is {mine.loss}, that of the plain loop {other.loss}")
        if number:  # the first turn warms up
            ours += mine.seconds
            theirs += other.seconds
    return statistics.median(ours), statistics.median(theirs)


# ---------------------------------------------------------------- both sides


def network() -> nn.Sequential:
    torch.manual_seed(0)
    widths = (11, 16, 32, 32, 1)
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def secchi(table: Table, size: int, epochs: int) -> Turn:
    training = Training("sgd", lr=LR, batch_size=size, epochs=epochs, weight_decay=0)
    history = train(network(), table.rows, None, training)
    return Turn([epoch.seconds for epoch in history.epochs], history.epochs[-1].train_loss)


class Order(Sampler[int]):
    """The order that secchi takes the rows in, drawn before an epoch."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.epoch = 0

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        order = stream(0, f"batch order of epoch {self.epoch}").permutation(self._rows)
        return iter(order.tolist())


def plain(table: Table, size: int, epochs: int) -> Turn:
    data = tensors(table.rows)
    order = Order(len(data[0]))
    loader = DataLoader(TensorDataset(*data), batch_size=size, sampler=order)
    net, loss_of = network().train(), nn.MSELoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    seconds = []
    for order.epoch in range(epochs):
        started = time.perf_counter()
        total = 0.0
        for inputs, truth in loader:
            optimizer.zero_grad()
            loss = loss_of(net(inputs)[:, 0], truth)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        seconds.append(time.perf_counter() - started)
    return Turn(seconds, total / len(data[0]))


def tensors(rows: Rows) -> tuple[Tensor, Tensor]:
    inputs = rows.inputs.take(slice(None))
    return torch.from_numpy(inputs), torch.from_numpy(rows.labels.values[0])


def preparing(table: Table, size: int) -> float:
    """Median seconds that secchi takes to make the batches of an epoch, and nothing of them."""
    batches = Batches(table.rows, "cpu", seed=0)
    seconds = []
    for epoch in range(50):
        started = time.perf_counter()
        batches.arrange(stream(0, f"batch order of epoch {epoch}").permutation(ROWS), epoch)
        for start in range(0, ROWS, size):
            batches.at(slice(start, min(start + size, ROWS)), "")
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


# ---------------------------------------------------------------- the table


def wine_or_diabetes() -> Table:
    if WINE.is_file():
        values = np.genfromtxt(WINE, delimiter=";", skip_header=1)
        return table_of("white wine", values[:, :-1], values[:, -1])
    from sklearn.datasets import load_diabetes

    inputs, truth = load_diabetes(return_X_y=True)
    inputs = np.concatenate([inputs, inputs[:, :1] ** 2], axis=1)  # eleven columns
    repeats = -(-ROWS // len(inputs))
    truth = truth / truth.std()
    return table_of(
        "diabetes", np.tile(inputs, (repeats, 1))[:ROWS], np.tile(truth, repeats)[:ROWS]
    )


def table_of(name: str, inputs: NDArray[np.float64], truth: NDArray[np.float64]) -> Table:
    scaled = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)).astype(np.float32)
    labels = Labels(Task.regress("quality"), (truth.astype(np.float32),))
    return Table(name, Rows(ArrayInputs(scaled), labels))


if __name__ == "__main__":
    main()

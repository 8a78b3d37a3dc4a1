"""secchi's side of body.py, in a process of its own like its peers.

A whole body trained by ``Learner.fit``; the first epoch warms up and does not count. The seconds of
the training half of each epoch are taken from what a person sees: a line at the end of each epoch,
and progress after each step. Prints one JSON document.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from secchi import FeatureCache, ImageData, Learner
from secchi.console import Console


class Times(Console):
    """Shows lines on standard error, and notes when epochs and steps ended."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.halves: list[float] = []
        self._begun = self._stepped = 0.0

    def line(self, text: str) -> None:
        """A line of an epoch ends its other half, validation, and begins the next epoch."""
        super().line(text)
        if self._stepped > self._begun:
            self.halves.append(self._stepped - self._begun)
        self._begun = time.perf_counter()

    @contextlib.contextmanager
    def progress(
        self, title: str, what: str = "pictures"
    ) -> Iterator[Callable[[int, int], None] | None]:
        """What the loop calls after every step of training."""
        yield self._step if title == "training" else None

    def _step(self, done: int, total: int) -> None:
        self._stepped = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="after the one that warms up")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--freeze-to", default=0, metavar="GROUP", help="first group that trains")
    parser.add_argument("--compile", action="store_true", help="let torch compile the network")
    args = parser.parse_args()

    console = Times()
    learn = Learner(
        ImageData.from_path(args.data, size=224),
        precision=args.precision,
        compile=args.compile,
        cache=FeatureCache(args.cache),
        console=console,
    )
    learn.freeze_to(args.freeze_to)
    history = learn.fit(args.lr, 1 + args.epochs, batch_size=args.batch_size)
    answer = {
        "pictures": len(learn.data.train),
        "epoch_seconds": console.halves,
        "train_losses": [epoch.train_loss for epoch in history.epochs],
        "steps": history.steps,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

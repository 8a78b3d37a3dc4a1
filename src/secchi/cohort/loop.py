"""Networks trained together: in step where they can be, else one after the other."""

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.lanes.train import jobs_of
from secchi.cohort.member import Member
from secchi.cohort.plan import Plan, plan
from secchi.cohort.stacked.cuts import train_stacks
from secchi.features.runtimes import cores

Done = Callable[[int, Curve], None]
"""Told the place of a network and its curve."""


def train_members(
    members: Sequence[Member],
    metrics: Sequence[str],
    *,
    threads: int | None = None,
    device: str = "cpu",
    done: Done | None = None,
) -> list[Curve]:
    """Train networks; each comes to what it comes to alone.

    Those of one structure go in step: see :func:`secchi.cohort.structure.structure`. What a network
    comes to does not depend on those beside it: on a processor to the last bit, on a GPU to
    rounding.

    Args:
        members: The networks.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        threads: How many cores are used; None: all that this process may.
        device: Where: ``"cpu"`` or ``"cuda"``.
        done: Told of each network as it ends, in the thread that called.

    Returns:
        A curve for each, in their order.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line(noise=0)))
    >>> rates = [Training("sgd", lr=lr, epochs=30, weight_decay=0) for lr in (0.1, 0.2, 1e6)]
    >>> curves = train_members([Member(table, MLP([]), each, 0) for each in rates], ["mae"])
    >>> [curve.outcome.name for curve in curves]
    ['COMPLETED', 'COMPLETED', 'DIVERGED']
    """
    curves: dict[int, Curve] = {}

    def finish(place: int, curve: Curve) -> None:
        curves[place] = curve
        if done:
            done(place, curve)

    found = plan(members, metrics)
    if device == "cpu":
        in_step = _on_cores(members, found, metrics, threads or cores())
    else:
        in_step = train_stacks(members, found, metrics, device)
    # Closed where something is raised here, which ends what still runs.
    with contextlib.closing(in_step):
        for place, curve in in_step:
            finish(place, curve)
    for place, _ in found.alone:
        finish(place, train_alone(members[place], metrics, device))
    return [curves[place] for place in range(len(members))]


def _on_cores(
    members: Sequence[Member], found: Plan, metrics: Sequence[str], threads: int
) -> Generator[tuple[int, Curve], None, None]:
    """The networks of a plan that go in step, as they end.

    An interruption ends the jobs that run at their next pause.
    """
    jobs = [job for places in found.cohorts for job in jobs_of(members, places, metrics, threads)]
    jobs.sort(key=lambda job: job.work, reverse=True)  # or a core may end long after the others
    stopped = threading.Event()
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        waiting: set[Future[list[tuple[int, Curve]]]] = {pool.submit(job, stopped) for job in jobs}
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in ended:
                yield from one.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)

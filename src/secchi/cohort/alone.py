"""One network trained on its own, by the loop that trains every other."""

from collections.abc import Sequence

from secchi.cohort.curve import Curve
from secchi.cohort.member import Member
from secchi.training.evaluation import score_names
from secchi.training.execution import Execution
from secchi.training.loop import train


def train_alone(member: Member, metrics: Sequence[str], device: str = "cpu") -> Curve:
    """Train one network through :func:`secchi.training.loop.train`, as a learner does on a table.

    This is what training with others has to give too.

    Args:
        member: The network.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        device: Where: ``"cpu"`` or ``"cuda"``.

    Raises:
        DataError: As the loop does.
        SpecError: Likewise.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line(noise=0)))
    >>> curve = train_alone(Member(table, MLP([]), Training("sgd", lr=0.1, epochs=30), 0), ["mae"])
    >>> len(curve.metrics["mae"]), bool(curve.metrics["mae"][-1] < curve.metrics["mae"][0])
    (30, True)
    """
    table = member.table
    history = train(
        table.network(member.model, member.seed),
        table.rows("train"),
        table.rows("valid"),
        member.training,
        metrics=metrics,
        execution=Execution(device, table.precision),
        units=table.units,
        equal_batches=True,
    )
    return Curve.of(history, score_names(table.task, metrics))

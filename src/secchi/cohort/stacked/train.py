"""Networks trained side by side as tensors of torch, on a GPU or, more slowly, a processor.

Every step is one computation for all members of a stack: (members, rows, units). A member is the
network that it would be alone, to rounding: nothing of one gets into another, but how many there
are can change the last bits, since products of many matrices at once are rounded by how many they
are. A member that diverges is named so, and one that is done leaves.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secchi.cohort.curve import Curve, Numbers
from secchi.cohort.member import Member
from secchi.cohort.stacked.dropout import StackedDropout
from secchi.cohort.stacked.gradients import Gradients, StackedClip, StackedPenalties
from secchi.cohort.stacked.losses import StackedLoss
from secchi.cohort.stacked.members import Stacked
from secchi.cohort.stacked.metrics import stacked_scores
from secchi.cohort.stacked.network import StackedNetwork
from secchi.cohort.stacked.optimizers import StackedOptimizer
from secchi.cohort.stacked.progress import StackedProgress
from secchi.cohort.stacked.rows import StackedBatch, StackedOrders, StackedRows
from secchi.training.steps import pieces

JUDGED_NUMBERS = 2**26
"""Numbers of the widest layer that are held at once where networks are judged: 256 MiB."""


def train_stack(
    members: Sequence[Member], metrics: Sequence[str], device: str = "cuda"
) -> list[Curve]:
    """Train networks side by side.

    Orders, first weights and masks of dropout are those of :func:`secchi.training.loop.train` on a
    processor, whatever the device.

    Args:
        members: Of one structure, as :func:`secchi.cohort.structure.structure` has it; of that,
            activations, inputs and the number of validation rows can differ too.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        device: Where: ``"cuda"`` or ``"cpu"``.

    Returns:
        One a member, in their order.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line(noise=0)))
    >>> rates = [Training("sgd", lr=lr, epochs=30, weight_decay=0) for lr in (0.1, 1e6)]
    >>> members = [Member(table, MLP([]), training, seed=0) for training in rates]
    >>> [curve.outcome.name for curve in train_stack(members, [], "cpu")]
    ['COMPLETED', 'DIVERGED']
    """
    # Neighbours with the same activation are bent in one call.
    order = sorted(range(len(members)), key=lambda place: members[place].model.activation)
    stack = _Stack([members[place] for place in order], metrics, device)
    curves = dict(zip(order, stack.train(), strict=True))
    return [curves[place] for place in range(len(members))]


class _Stack:
    """Members that are not done, and all that they have, side by side."""

    def __init__(self, members: Sequence[Member], metrics: Sequence[str], device: str) -> None:
        tables = list(dict.fromkeys(member.table for member in members))
        numbers = {table: number for number, table in enumerate(tables)}
        of = [numbers[member.table] for member in members]
        dtype = torch.float64 if tables[0].precision == "fp64" else torch.float32
        self._metrics = metrics
        self._device = device
        self._epochs = members[0].training.epochs
        self._learned = StackedRows(tables, "train", device)
        self._judged = StackedRows(tables, "valid", device)
        self._progress = StackedProgress(members, metrics)
        self._orders = StackedOrders(members, of, self._learned.labels, device)
        self._steps = self._orders.steps
        self._network = StackedNetwork(members, dtype, device)
        self._dropout = StackedDropout(members, dtype, device)
        self._loss = StackedLoss(members, device)
        self._penalties = StackedPenalties(members, dtype, device)
        self._clip = StackedClip(members, dtype, device)
        self._optimizer = StackedOptimizer(members, self._epochs * self._steps, self._steps, device)
        self._parts: tuple[Stacked, ...] = (
            self._orders,
            self._network,
            self._dropout,
            self._loss,
            self._penalties,
            self._clip,
            self._optimizer,
        )

    @torch.no_grad()
    def train(self) -> list[Curve]:
        """Train every member to its end."""
        for epoch in range(self._epochs):
            train_loss = self._learn(epoch)
            if not len(self._progress.here):
                break
            numbers = {"train_loss": train_loss, **self._judge()}
            self._keep(self._progress.add(epoch, numbers, (epoch + 1) * self._steps))
        return self._progress.complete(self._epochs * self._steps)

    def _keep(self, going: NDArray[np.bool_]) -> None:
        """Members that are done leave."""
        if not going.all():
            for part in self._parts:
                part.keep(np.flatnonzero(going).tolist())

    def _learn(self, epoch: int) -> Numbers:
        """Take the steps of an epoch; the training loss of those that come through it.

        Whether a member diverged is known on the device alone until the epoch is over, which spares
        waiting for it after every step. Until then its numbers are computed and are nobody's.
        """
        order = self._orders.draw(epoch)
        members = len(self._progress.here)
        sound = torch.ones(members, dtype=torch.bool, device=self._device)
        taken = torch.zeros(members, dtype=torch.int64, device=self._device)
        losses, weights = torch.zeros(2, members, dtype=torch.float64, device=self._device)
        for step in range(self._steps):
            batch = self._learned.at(self._orders.tables, order.at(step))
            dropped = self._dropout.draw(f"step {step} of epoch {epoch}", self._orders.batch)
            loss, gradients = self._gradients(batch, dropped)
            sound &= loss.isfinite() & self._clip.clip(gradients)
            self._optimizer.step(self._network.parameters, gradients, self._network.weights)
            weight = batch.weights.sum(dim=1).double()
            losses += loss.double() * weight
            weights += weight
            taken += sound
        going = sound.cpu().numpy()
        self._progress.lose(going, epoch, epoch * self._steps + taken.cpu().numpy())
        self._keep(going)
        return np.asarray((losses / weights).cpu().numpy()[going])

    def _gradients(
        self, batch: StackedBatch, dropped: Mapping[int, Tensor]
    ) -> tuple[Tensor, Gradients]:
        """The loss of a batch, (members,), and the gradients that move the weights."""
        parameters = self._network.parameters
        with torch.enable_grad():
            for parameter in parameters.values():
                parameter.requires_grad_()
            outputs = self._network.outputs(batch.inputs, dropped)
            each = self._loss.each(self._loss.in_units(outputs), batch.truth)
            loss = (each * batch.weights).sum(dim=1) / batch.weights.sum(dim=1)
            # No member's loss depends on another's weights: the gradient of the sum is each's own.
            found = torch.autograd.grad(loss.sum(), list(parameters.values()))
        gradients = dict(zip(parameters, found, strict=True))
        self._penalties.add(gradients, self._network.weights)
        return loss.detach(), gradients

    def _judge(self) -> dict[str, Numbers]:
        """The validation loss and the metrics of every member."""
        tables = self._orders.tables
        size = max(1, JUDGED_NUMBERS // (len(tables) * self._network.widest))
        outputs, truth, weights = [], [], []
        for cut in pieces(self._judged.rows, size):
            places = torch.arange(cut.start, cut.stop, device=self._device)
            batch = self._judged.at(tables, places.expand(len(tables), -1))
            outputs.append(self._loss.in_units(self._network.outputs(batch.inputs)))
            truth.append(batch.truth)
            weights.append(batch.weights)
        answers, true, counts = (torch.cat(parts, dim=1) for parts in (outputs, truth, weights))
        each = self._loss.each(answers, true, smoothed=False).where(counts > 0, 0)
        loss = (each * counts).sum(dim=1) / counts.sum(dim=1)
        labels = [self._judged.labels[table] for table in tables.tolist()]
        return {
            "valid_loss": loss.double().cpu().numpy(),
            **stacked_scores(self._metrics, labels, answers, true, counts),
        }

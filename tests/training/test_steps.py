"""One step: the gradient of the mean loss over its rows, however they are cut up."""

import weakref
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secchi.data.task import Kind, Target, Task
from secchi.training.losses import TaskLoss, task_losses
from secchi.training.optimizers import Optimizer, one_group
from secchi.training.spec import Training
from secchi.training.steps import Batch, forward, gradient_step, pieces

PET = Target.classify("pet", ["cat", "dog", "mouse"])
TASK = Task((PET, Target("weight", Kind.REGRESSION)))


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, TASK.outputs))


def batch_of(rows: int, *, weighted: bool = False, mixed: bool = False, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 5, generator=generator)
    values = (
        torch.randint(0, 3, (rows,), generator=generator),
        torch.randn(rows, generator=generator),
    )
    weights = torch.randint(0, 4, (rows,), generator=generator).float() if weighted else None
    own = torch.rand(rows, generator=generator) if mixed else None
    return Batch(inputs, values, weights, own)


def step(
    batches: list[Batch], micro: int, smoothing: float = 0.0
) -> tuple[float, dict[str, Tensor]]:
    """The loss of a step, and the gradients that it leaves."""
    net = network()
    optimizer = Optimizer(Training(), one_group(net))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)  # of an earlier step
    smoothed = TaskLoss(TASK, Training(label_smoothing=smoothing))
    loss = gradient_step(net, optimizer, smoothed, batches, total=weight(batches), micro=micro)
    return loss.item(), gradients(net)


def weight(batches: list[Batch]) -> float:
    """Of all truths that count, those of both rows where rows are mixed."""
    terms = [term for batch in batches for term in batch.terms()]
    return sum(
        len(term.values[0]) if term.weights is None else term.weights.sum().item() for term in terms
    )


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def of_mean(batch: Batch, smoothing: float = 0.0) -> tuple[float, dict[str, Tensor]]:
    """The same, as one writes it by hand: the weighted mean over all rows at once."""
    net = network()
    outputs = net(batch.inputs)
    loss_of = TaskLoss(TASK, Training(label_smoothing=smoothing))
    each = loss_of(outputs, batch.values)
    weights = torch.ones(len(each)) if batch.weights is None else batch.weights
    if batch.own is None:
        loss = (each * weights).sum() / weights.sum()
    else:
        before = [values.roll(1, 0) for values in batch.values]
        others = loss_of(outputs, before)
        mine, theirs = weights * batch.own, weights.roll(1, 0) * (1 - batch.own)
        loss = (mine * each + theirs * others).sum() / (mine + theirs).sum()
    loss.backward()
    return loss.item(), gradients(net)


def joined(batches: list[Batch]) -> Batch:
    weights = [batch.weights for batch in batches]
    return Batch(
        torch.cat([batch.inputs for batch in batches]),
        tuple(torch.cat(values) for values in zip(*[b.values for b in batches], strict=True)),
        torch.cat([w for w in weights if w is not None]) if weights[0] is not None else None,
    )


def assert_same(
    found: tuple[float, dict[str, Tensor]], expected: tuple[float, dict[str, Tensor]]
) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(2, 40),
    micro=st.integers(1, 50),
    weighted=st.booleans(),
    mixed=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.3]),
)
def test_any_number_of_rows_at_once_gives_the_gradient_of_the_mean(
    rows: int, micro: int, weighted: bool, mixed: bool, smoothing: float
) -> None:
    batch = batch_of(rows, weighted=weighted, mixed=mixed)
    if batch.weights is not None:
        batch.weights[0] = 1  # one row counts at least
        batch.weights[-1] = 1
    assert_same(step([batch], micro, smoothing), of_mean(batch, smoothing))


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    micro=st.integers(1, 15),
    weighted=st.booleans(),
)
def test_several_batches_are_one_step_over_all_their_rows(
    sizes: list[int], micro: int, weighted: bool
) -> None:
    batches = [batch_of(size, weighted=weighted, seed=i) for i, size in enumerate(sizes)]
    together = joined(batches)
    if together.weights is not None and not together.weights.any():
        return  # the test below
    assert_same(step(batches, micro), of_mean(together))


def test_rows_that_do_not_count_give_no_gradient() -> None:
    nothing = batch_of(4, weighted=True)._replace(weights=torch.zeros(4))
    loss, found = step([nothing], 3)
    assert loss == 0.0
    assert not any(gradient.any() for gradient in found.values())
    some = batch_of(4, seed=1)._replace(weights=torch.ones(4))
    assert_same(step([nothing, some], 3), of_mean(some))


def test_mixed_rows_cost_their_shares_of_both_truths() -> None:
    batch = batch_of(6)
    own = torch.tensor([1.0, 0.0, 0.25, 0.5, 0.75, 0.9])
    outputs = network()(batch.inputs)
    mine = task_losses(TASK, outputs, batch.values)
    # The partner of a row is the one before it, of the first the last.
    order = [5, 0, 1, 2, 3, 4]
    theirs = task_losses(TASK, outputs, [values[order] for values in batch.values])
    expected = (own * mine + (1 - own) * theirs).mean().item()
    loss, _ = step([batch._replace(own=own)], 4)
    assert loss == pytest.approx(expected, rel=1e-6)
    unmixed, _ = step([batch._replace(own=torch.ones(6))], 4)
    assert unmixed == pytest.approx(mine.mean().item(), rel=1e-6)


def test_the_loss_carries_no_graph() -> None:
    net = network()
    optimizer = Optimizer(Training(), one_group(net))
    loss = gradient_step(net, optimizer, TaskLoss(TASK), [batch_of(4)], total=4.0, micro=4)
    assert loss.ndim == 0
    assert not loss.requires_grad


def test_a_batch_is_forgotten_before_the_next_one_is_made() -> None:
    held: list[weakref.ref[Tensor]] = []

    def batches() -> Iterator[Batch]:
        for seed in range(3):
            assert [ref for ref in held if ref() is not None] == []
            yield remembered(batch_of(4, weighted=True, mixed=True, seed=seed))

    def remembered(batch: Batch) -> Batch:
        tensors = [batch.inputs, *batch.values, batch.weights, batch.own]
        held.extend(weakref.ref(tensor) for tensor in tensors if tensor is not None)
        return batch

    net = network()
    optimizer = Optimizer(Training(), one_group(net))
    gradient_step(net, optimizer, TaskLoss(TASK), batches(), total=12.0, micro=3)
    assert len(held) == 15


@given(rows=st.integers(0, 200), size=st.integers(1, 50), least=st.integers(1, 4))
def test_pieces_are_all_rows_in_their_order(rows: int, size: int, least: int) -> None:
    cut = [list(range(rows)[piece]) for piece in pieces(rows, size, least)]
    assert sum(cut, []) == list(range(rows))
    assert all(len(piece) == max(size, least) for piece in cut[:-1])
    if cut and rows >= least:
        assert least <= len(cut[-1]) < max(size, least) + least
    if least == 1:
        assert len(cut) == -(-rows // size)


def test_a_row_that_is_left_over_joins_the_others_where_one_is_too_few() -> None:
    def lengths(rows: int, size: int) -> list[int]:
        return [piece.stop - piece.start for piece in pieces(rows, size, least=2)]

    assert lengths(9, 4) == [4, 5]
    assert lengths(10, 4) == [4, 4, 2]
    assert lengths(5, 1) == [2, 3]
    assert lengths(1, 4) == [1]


def test_bf16_computes_under_autocast_and_gives_float32() -> None:
    seen = []
    net = network()
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    inputs = batch_of(4).inputs
    half, full = forward(net, inputs, "bf16"), forward(net, inputs)
    assert seen == [torch.bfloat16, torch.float32]
    assert half.dtype == full.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)

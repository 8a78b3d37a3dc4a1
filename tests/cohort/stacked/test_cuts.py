"""Networks cut into stacks that a device has the memory for."""

from typing import Any

import numpy as np
import pytest
import torch

from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.member import Member
from secchi.cohort.plan import plan
from secchi.cohort.stacked import cuts
from secchi.cohort.stacked.cuts import stack_bytes, train_stacks
from secchi.cohort.stacked.train import train_stack
from secchi.models.mlp import MLP
from secchi.training.spec import Training

PLAIN = Training("sgd", lr=0.1, batch_size=8, epochs=3, weight_decay=0.0)


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


def several(table: Any, count: int = 20) -> list[Member]:
    return [
        Member(table, MLP([3 + n % 3]), PLAIN.but(seed=n % 2, lr=0.01 * n), 0)
        for n in range(1, count + 1)
    ]


def assert_close(ours: Curve, theirs: Curve) -> None:
    np.testing.assert_allclose(ours.train_loss, theirs.train_loss, 1e-9)
    np.testing.assert_allclose(ours.valid_loss, theirs.valid_loss, 1e-9)
    assert ours[3:] == theirs[3:]


def stacks_seen(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[int]:
    """How many networks each stack that is trained has; larger ones do not fit."""
    sizes: list[int] = []

    def train(members: Any, metrics: Any, device: str) -> list[Curve]:
        if most is not None and len(members) > most:
            raise torch.OutOfMemoryError("made up")
        sizes.append(len(members))
        return train_stack(members, metrics, device)

    monkeypatch.setattr(cuts, "train_stack", train)
    return sizes


def trained(members: list[Member]) -> dict[int, Curve]:
    curves = list(train_stacks(members, plan(members), [], "cpu"))
    assert len(dict(curves)) == len(curves)
    return dict(curves)


def test_cohorts_that_a_stack_can_mix_are_joined(
    make_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = stacks_seen(monkeypatch)
    members = [
        Member(make_table(columns=4), MLP([3]), PLAIN, 0),
        Member(make_table(columns=2, valid=10), MLP([5], "tanh"), PLAIN, 0),
        Member(make_table(), MLP([3], "elu"), PLAIN, 0),
        Member(make_table(), MLP([3]), PLAIN.but(epochs=2), 0),
    ]
    assert len(plan(members).cohorts) == 4
    for place, curve in trained(members).items():
        assert_close(curve, train_alone(members[place], []))
    assert sorted(sizes) == [1, 3]


def test_stacks_are_cut_to_the_memory(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    members, sizes = several(table), stacks_seen(monkeypatch)
    monkeypatch.setattr(cuts, "STACK_BYTES", stack_bytes(members) // 3)
    curves = trained(members)
    assert len(sizes) > 2
    assert sum(sizes) == len(members)
    for place, member in enumerate(members):
        assert_close(curves[place], train_alone(member, []))


def test_where_there_is_no_memory_halves_are_trained(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = stacks_seen(monkeypatch, most=6)
    assert sorted(trained(several(table))) == list(range(20))
    assert sizes == [5, 5, 5, 5]


def test_one_network_that_does_not_fit_is_told_of(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks_seen(monkeypatch, most=0)
    with pytest.raises(torch.OutOfMemoryError):
        trained(several(table))


def test_a_stack_takes_more_for_more_wider_and_longer(make_table: Any) -> None:
    table = make_table()
    plain = stack_bytes(several(table, 10))
    assert stack_bytes(several(table, 20)) == pytest.approx(2 * plain, rel=0.2)
    assert stack_bytes([*several(table, 9), Member(table, MLP([500]), PLAIN, 0)]) > 10 * plain
    assert stack_bytes(several(make_table(precision="fp32"), 10)) == plain / 2

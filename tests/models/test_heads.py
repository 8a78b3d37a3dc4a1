"""The head, and how its outputs are read."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from secchi.data.task import Kind, Target, Task
from secchi.errors import DataError
from secchi.models.heads import SCALE, Head, head_for, log_probabilities

TARGETS = [
    Target.classify("tame", ["no", "yes"]),
    Target.classify("pet", ["cat", "dog", "mouse"]),
    Target.classify("alone", ["it"]),
    Target("seen", Kind.MULTILABEL, ("sky", "sea")),
]


def test_a_fresh_head_knows_nothing() -> None:
    outputs = Head(5, 3)(torch.randn(4, 5))
    assert outputs.shape == (4, 3)
    assert not outputs.any()


def test_the_linear_layer_sees_features_of_one_length_around_the_center() -> None:
    head = Head(8, 8)
    features = 100 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 7
    head.fit_center([features.numpy()])
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(8))
        seen = head(features)
    torch.testing.assert_close(seen.square().mean(dim=1).sqrt(), torch.full((50,), SCALE))
    assert seen.mean(dim=0).abs().max() < 0.2 * SCALE


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_the_center_does_not_depend_on_how_the_features_are_cut(lengths: list[int]) -> None:
    features = np.random.default_rng(0).normal(size=(sum(lengths), 4)).astype(np.float32)
    head = Head(4, 1)
    head.fit_center(np.split(features, np.cumsum(lengths)[:-1]))
    np.testing.assert_allclose(head.center, features.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_the_center_of_large_features_is_exact() -> None:
    """Sums of float32 lose the small part of large numbers; the mean is taken in float64."""
    head = Head(1, 1)
    head.fit_center([np.full((4096, 1), 1e6 + 0.5, np.float32)] * 50)
    assert head.center.item() == 1e6 + 0.5


def test_a_picture_at_the_center_gets_the_bias() -> None:
    head = Head(4, 2)
    torch.nn.init.ones_(head.linear.bias)
    assert head(torch.zeros(1, 4)).tolist() == [[1.0, 1.0]]


def test_a_head_for_a_task_has_its_outputs() -> None:
    head = head_for(Task((*TARGETS, Target("price", Kind.REGRESSION))), inputs=7)
    assert (head.inputs, head.outputs) == (7, 1 + 3 + 1 + 2 + 1)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_exclusive_probabilities_sum_to_one_and_stay_finite(
    target: Target, data: st.DataObject
) -> None:
    shape = (3, target.outputs)
    logits = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32)))
    log = log_probabilities(target, torch.from_numpy(logits))
    assert log.shape == (3, len(target.classes))
    assert torch.isfinite(log).all()
    assert (log <= 0).all()
    if target.exclusive:
        torch.testing.assert_close(log.exp().sum(dim=1), torch.ones(3))


def test_one_logit_speaks_for_the_second_class() -> None:
    log = log_probabilities(TARGETS[0], torch.tensor([[math.log(3)]]))
    torch.testing.assert_close(log.exp(), torch.tensor([[0.25, 0.75]]))


def test_labels_are_independent() -> None:
    log = log_probabilities(TARGETS[3], torch.tensor([[0.0, math.log(3)]]))
    torch.testing.assert_close(log.exp(), torch.tensor([[0.5, 0.75]]))


def test_numbers_have_no_probabilities() -> None:
    with pytest.raises(DataError, match="no probabilities"):
        log_probabilities(Target("price", Kind.REGRESSION), torch.zeros(1, 1))


def test_shares_of_classes_add_up_to_one() -> None:
    shares = Target("votes", Kind.DISTRIBUTION, ("left", "right"))
    found = log_probabilities(shares, torch.tensor([[0.0, math.log(3)]])).exp()
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75]]))

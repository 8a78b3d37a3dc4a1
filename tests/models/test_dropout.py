"""Dropout whose masks do not depend on its rate."""

import pytest
import torch
from torch import nn

from secchi.models.dropout import Dropout


def kept(p: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(3)
    return Dropout(p)(torch.ones(200, 50, dtype=dtype))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_it_drops_its_share_and_scales_the_rest(p: float) -> None:
    given = kept(p)
    # Three standard deviations of 10,000 draws.
    assert (given == 0).float().mean().item() == pytest.approx(p, abs=0.015)
    assert given[given > 0].unique().tolist() == pytest.approx([1 / (1 - p)])


def test_what_is_drawn_depends_neither_on_the_rate_nor_on_the_precision() -> None:
    half, most = kept(0.5) > 0, kept(0.9) > 0
    assert (half | most).equal(half)
    assert half.equal(kept(0.5, torch.float64) > 0)
    torch.manual_seed(3)
    assert half.equal(torch.rand(200, 50) >= 0.5)


def test_gradients_go_through_what_is_kept() -> None:
    rows = torch.ones(4, 5, requires_grad=True)
    given = Dropout(0.5)(rows)
    given.sum().backward()
    assert rows.grad is not None
    assert rows.grad.equal(given.detach())


def test_it_rests_in_evaluation_and_is_known_as_dropout() -> None:
    layer = Dropout(0.25)
    assert isinstance(layer, nn.Dropout)
    assert repr(layer) == repr(nn.Dropout(0.25))
    rows = torch.randn(3, 4)
    before = torch.get_rng_state()
    assert layer.eval()(rows) is rows
    assert torch.get_rng_state().equal(before)


def test_masks_are_drawn_where_the_rows_are() -> None:
    assert Dropout(0.5)(torch.ones(3, device="meta")).device.type == "meta"

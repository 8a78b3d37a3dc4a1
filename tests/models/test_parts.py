"""Activations by name, and their curves."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import activation as torchs

from secchi.errors import SpecError
from secchi.models.parts import (
    ACTIVATION_NAMES,
    activation,
    activation_curves,
    activation_name,
)


@pytest.mark.parametrize("name", torchs.__all__)
def test_every_activation_of_torch_is_known_or_refused_with_a_reason(name: str) -> None:
    refused = ("Threshold", "GLU", "MultiheadAttention", "LogSoftmax", "Softmin")
    if name in refused or name.startswith("Softmax"):
        with pytest.raises(SpecError, match=f"'{name}' is no activation of a hidden layer: it"):
            activation_name(name)
    else:
        assert type(activation(activation_name(name))) is getattr(nn, name)


@pytest.mark.parametrize("name", [name for name in ACTIVATION_NAMES if name != "identity"])
def test_names_are_those_of_torchs_functions(name: str) -> None:
    assert callable(getattr(functional, name))


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_an_activation_works_on_each_number_by_itself(name: str) -> None:
    module = activation(name).eval()
    rows = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([module(number.view(1, 1)).squeeze() for number in rows.flatten()])
    torch.testing.assert_close(module(rows), alone.view(4, 6))


@pytest.mark.parametrize("name", ["Leaky_ReLU", "LeakyReLU", "leaky_relu", "leakyrelu"])
def test_ways_to_write_a_name(name: str) -> None:
    assert activation_name(name) == "leaky_relu"


def test_a_slip_gets_a_hint() -> None:
    with pytest.raises(SpecError, match="activation is 'Sigmoyd'.*did you mean .*sigmoid"):
        activation("Sigmoyd")
    with pytest.raises(SpecError, match="activation is None, which is none of identity, relu"):
        activation_name(None)  # type: ignore[arg-type]


def test_curves_and_slopes_are_those_of_the_formulas() -> None:
    curves = activation_curves(["sigmoid", "relu", "tanh", "relu"], lo=-2, hi=8)
    assert curves.names == ("sigmoid", "relu", "tanh")
    x = curves.x
    assert (x[0], x[-1]) == (-2, 8)
    sigmoid = 1 / (1 + np.exp(-x))
    values = [sigmoid, np.maximum(x, 0), np.tanh(x)]
    slopes = [sigmoid * (1 - sigmoid), (x > 0).astype(float), 1 - np.tanh(x) ** 2]
    np.testing.assert_allclose(curves.values, values, atol=1e-12)
    np.testing.assert_allclose(curves.derivatives, slopes, atol=1e-12)


def test_the_middle_of_a_range_around_zero_is_zero() -> None:
    assert 0.0 in activation_curves("relu").x


def test_a_random_slope_has_its_mean_and_no_generator_moves() -> None:
    before = torch.get_rng_state()
    curves = activation_curves("rrelu")
    torch.testing.assert_close(torch.get_rng_state(), before)
    assert curves.derivatives[0, 0] == pytest.approx((1 / 8 + 1 / 3) / 2)


def test_curves_as_json_and_as_text() -> None:
    curves = activation_curves(["hardtanh"])
    document = json.loads(json.dumps(curves.to_dict()))
    assert document["curves"]["hardtanh"]["value"] == curves.values[0].tolist()
    assert document["curves"]["hardtanh"]["derivative"] == curves.derivatives[0].tolist()
    assert str(curves).splitlines()[1].split() == ["hardtanh", "-1.00", "1.00", "1.00", "75%"]


def test_curves_that_cannot_be_have_all_faults_at_once() -> None:
    with pytest.raises(SpecError) as error:
        activation_curves(["rely", "softmax"], lo=1, hi=1)
    assert len(error.value.faults) == 3
    with pytest.raises(SpecError, match="no activation is named"):
        activation_curves([])

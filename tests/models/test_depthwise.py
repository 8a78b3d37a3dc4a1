import copy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from timm import create_model
from timm.layers import Conv2dSame
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.depthwise import DepthwiseConv2d, speed_up

NETWORKS = {"tf_efficientnet_lite0": 16, "mobilenetv3_small_050": 11, "convnext_atto": 12}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Layers this small only make threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Case(NamedTuple):
    """A convolution and the size of its input."""

    channels: int = 4
    kernel: int = 3
    stride: int = 1
    padding: int | str | tuple[int, int] = 0
    bias: bool = False
    batch: int = 2
    height: int = 8
    width: int = 9
    channels_last: bool = True

    def layers(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """A convolution of torch's or timm's, and its twin after speed_up."""
        torch.manual_seed(0)
        kind = Conv2dSame if self.padding == "SAME" else nn.Conv2d
        options: dict[str, Any] = {"groups": self.channels, "bias": self.bias}
        padding = 0 if self.padding == "SAME" else self.padding
        plain = kind(self.channels, self.channels, self.kernel, self.stride, padding, **options)
        fast = copy.deepcopy(plain)
        assert speed_up(fast) == 1
        return plain, fast

    def pictures(self, requires_grad: bool = True) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        shape = (self.batch, self.channels, self.height, self.width)
        pixels = torch.randn(shape, generator=generator)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return pixels.contiguous(memory_format=layout).requires_grad_(requires_grad)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kernel = draw(st.sampled_from([3, 5, 7, 9]))
    stride = draw(st.sampled_from([1, 2, 3]))
    sides = st.integers(0, kernel - 1)
    paddings = [st.just("SAME"), sides, st.tuples(sides, sides)]
    case = Case(
        channels=draw(st.integers(2, 20)),
        kernel=kernel,
        stride=stride,
        padding=draw(st.one_of(*paddings, *([st.just("same")] if stride == 1 else []))),
        bias=draw(st.booleans()),
        batch=draw(st.integers(1, 3)),
        height=draw(st.integers(1, 20)),
        width=draw(st.integers(1, 20)),
        channels_last=draw(st.booleans()),
    )
    if not isinstance(case.padding, str):
        down, across = case.padding if isinstance(case.padding, tuple) else (case.padding,) * 2
        assume(min(case.height + 2 * down, case.width + 2 * across) >= kernel)
    return case


def gradients(layer: nn.Conv2d, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients by the input, the weights and the bias."""
    output = layer(pictures)
    generator = torch.Generator().manual_seed(2)
    # Rounded to bf16, so that only the layer rounds.
    upstream = torch.randn(output.shape, generator=generator).bfloat16().to(output.dtype)
    return output, list(torch.autograd.grad(output, [pictures, *layer.parameters()], upstream))


def distance(given_: Tensor, wanted: Tensor) -> float:
    """How far apart, relative to the length of what is wanted."""
    gap = (given_.double() - wanted.double()).norm()
    return (gap / wanted.double().norm().clamp(min=1e-6)).item()


def backward_of(output: Tensor) -> str:
    return type(output.grad_fn).__name__


# ---------------------------------------------------------------- the numbers


@given(cases())
@settings(max_examples=150, deadline=None)
def test_in_fp32_outputs_are_equal_and_gradients_are_torchs(case: Case) -> None:
    plain, fast = case.layers()
    wanted, wanted_gradients = gradients(plain, case.pictures())
    output, given_gradients = gradients(fast, case.pictures())
    assert backward_of(output) == "_DepthwiseBackward"
    assert torch.equal(output, wanted)
    for given_, right in zip(given_gradients, wanted_gradients, strict=True):
        assert (given_.shape, given_.dtype) == (right.shape, right.dtype)
        assert distance(given_, right) < 1e-5


@given(cases())
@settings(max_examples=100, deadline=None)
def test_under_autocast_gradients_are_as_close_to_the_truth_as_torchs(case: Case) -> None:
    plain, fast = case.layers()
    pictures = case.pictures().detach().bfloat16().float()
    with torch.no_grad():
        for parameter in (*plain.parameters(), *fast.parameters()):
            parameter.copy_(parameter.bfloat16())

    def fresh() -> Tensor:
        return pictures.clone(memory_format=torch.preserve_format).requires_grad_()

    _, truth = gradients(plain, fresh())
    with torch.autocast("cpu", torch.bfloat16):
        wanted, torchs = gradients(plain, fresh())
        output, given_gradients = gradients(fast, fresh())
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, wanted)
    for given_, torchs_own, right in zip(given_gradients, torchs, truth, strict=True):
        assert given_.dtype == torch.float32
        assert distance(given_, right) < 1e-2
        # bf16 keeps eight bits, so a lucky result of torch's is no measure. Nor is one that is not
        # a number: torch 2.15 reads what nobody wrote where a picture is smaller than the stride.
        bound = 2 * distance(torchs_own.nan_to_num(), right)
        assert distance(given_, right) < max(bound, 4e-3)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 3), (5, 2), (7, 3)])
def test_pictures_smaller_than_the_stride_get_finite_gradients(kernel: int, stride: int) -> None:
    case = Case(20, kernel, stride, kernel // 2, height=4, width=stride - 1)
    _, fast = case.layers()
    for _ in range(20):
        # Freed at once, so that the next tensors lie where these did.
        [torch.full((2**power,), float("nan")) for power in range(6, 17)]
        with torch.autocast("cpu", torch.bfloat16):
            _, found = gradients(fast, case.pictures())
        assert all(gradient.isfinite().all() for gradient in found)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, 1), (3, 2, 1), (3, 2, "SAME"), (3, 3, 0), (5, 1, 2), (5, 2, "SAME"), (7, 2, 3)],
)
def test_gradients_are_those_of_finite_differences(
    kernel: int, stride: int, padding: int | str, channels_last: bool
) -> None:
    case = Case(2, kernel, stride, padding, True, 2, 7, 8, channels_last)
    layer = case.layers()[1].double()
    pictures = case.pictures().detach().double().requires_grad_()
    assert backward_of(layer(pictures)) == "_DepthwiseBackward"
    assert torch.autograd.gradcheck(
        lambda *tensors: torch.func.functional_call(
            layer, {"weight": tensors[1], "bias": tensors[2]}, tensors[0]
        ),
        (pictures, *layer.parameters()),
        fast_mode=True,
    )


def test_gradients_of_gradients_are_those_of_finite_differences() -> None:
    case = Case(2, 5, 2, "SAME", height=6, width=7)
    layer = case.layers()[1].double()
    pictures = case.pictures().detach().double().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x, weight: torch.func.functional_call(layer, {"weight": weight}, x),
        (pictures, layer.weight),
        fast_mode=True,
    )


def test_a_backward_pass_inside_autocast_does_not_round_an_fp32_forward_pass() -> None:
    _, layer = Case(8, 5, 1, 2).layers()
    pictures = Case(8, 5, 1, 2).pictures()
    (wanted,) = torch.autograd.grad(layer(pictures).square().sum(), pictures)
    loss = layer(pictures).square().sum()
    with torch.autocast("cpu", torch.bfloat16):
        (given_,) = torch.autograd.grad(loss, pictures)
    assert torch.equal(given_, wanted)


@pytest.mark.parametrize("frozen", ["the input", "the weights"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_gets_its_own(frozen: str) -> None:
    case = Case(6, 5, 2, "SAME")
    plain, fast = case.layers()
    found = []
    for layer in (plain, fast):
        pictures = case.pictures(requires_grad=frozen != "the input")
        layer.weight.requires_grad_(frozen != "the weights")
        layer(pictures).square().sum().backward()
        found.append((pictures.grad, layer.weight.grad))
    for wanted, given_ in zip(*found, strict=True):
        assert (wanted is None) == (given_ is None)
        assert wanted is None or distance(given_, wanted) < 1e-5


@pytest.mark.parametrize("padding", [1, "SAME"])
def test_no_pictures_and_a_picture_alone_go_through(padding: int | str) -> None:
    plain, fast = Case(4, 3, 2, padding).layers()
    empty = torch.empty(0, 4, 8, 8, requires_grad=True)
    fast(empty).sum().backward()
    assert empty.grad is not None
    assert empty.grad.shape == empty.shape
    assert fast.weight.grad is not None
    assert not fast.weight.grad.any()
    alone = torch.randn(4, 8, 8, requires_grad=True)
    (output, found), (wanted, right) = gradients(fast, alone), gradients(plain, alone)
    assert torch.equal(output, wanted)
    assert all(map(torch.equal, found, right))


# ---------------------------------------------------------------- where it is torch's own


def test_without_a_gradient_wanted_it_is_torchs_own_convolution() -> None:
    for padding in (2, "SAME"):
        case = Case(6, 5, 2, padding)
        plain, fast = case.layers()
        with torch.no_grad():
            assert torch.equal(fast(case.pictures()), plain(case.pictures()))
        with torch.inference_mode():
            assert torch.equal(fast(case.pictures()), plain(case.pictures()))
        fast.requires_grad_(False)
        assert fast(case.pictures(requires_grad=False)).grad_fn is None


def test_on_another_device_it_is_torchs_own_convolution() -> None:
    fast = Case(4, 3, 2, 1).layers()[1].to("meta")
    output = fast(torch.empty(2, 4, 8, 8, device="meta"))
    assert (output.shape, output.device.type) == ((2, 4, 4, 4), "meta")
    assert backward_of(output) == "ConvolutionBackward0"


def test_in_another_type_it_is_torchs_own_convolution() -> None:
    plain, fast = Case(4, 3, 1, 1).layers()
    pictures = Case(4).pictures()
    with torch.autocast("cpu", torch.float16):
        output, wanted = fast(pictures), plain(pictures)
    assert backward_of(output) == "ConvolutionBackward0"
    assert torch.equal(output, wanted)


def test_autocast_leaves_float64_as_it_is() -> None:
    plain, fast = (layer.double() for layer in Case(4, 5, 1, 2).layers())
    pictures = Case(4).pictures().detach().double()
    with torch.autocast("cpu", torch.bfloat16):
        output, wanted = fast(pictures), plain(pictures)
    assert output.dtype == torch.float64
    assert torch.equal(output, wanted)


def test_types_that_do_not_fit_are_refused_as_torch_refuses_them() -> None:
    plain, fast = Case(4).layers()
    with pytest.raises(RuntimeError) as torchs:
        plain(Case(4).pictures().double())
    with pytest.raises(RuntimeError) as own:
        fast(Case(4).pictures().double())
    assert str(own.value) == str(torchs.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("padding", [2, "SAME"])
def test_a_traced_model_is_written_in_standard_operators(padding: int | str) -> None:
    _, fast = Case(4, 5, 2, padding).layers()
    traced = torch.jit.trace(fast, Case(4).pictures(), check_trace=False)
    assert "^_Depthwise" not in str(traced.graph)


# ---------------------------------------------------------------- the modules


def test_the_same_parameters_under_the_same_names() -> None:
    network = create_model("mobilenetv3_small_050", num_classes=3)
    parameters, state = dict(network.named_parameters()), network.state_dict()
    modules = dict(network.named_modules())
    speed_up(network)
    assert all(parameters[name] is p for name, p in network.named_parameters())
    assert all(modules[name] is m for name, m in network.named_modules())
    assert list(network.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    create_model("mobilenetv3_small_050", num_classes=3).load_state_dict(network.state_dict())


@pytest.mark.parametrize("padding", [2, "SAME"])
def test_a_copy_is_as_fast_and_has_weights_of_its_own(padding: int | str) -> None:
    _, fast = Case(4, 5, 2, padding).layers()
    twin = copy.deepcopy(fast)
    pictures = Case(4).pictures()
    output = twin(pictures)
    assert backward_of(output) == "_DepthwiseBackward"
    assert torch.equal(output, fast(pictures))
    nn.init.zeros_(twin.weight)
    assert fast.weight.any()


def test_hooks_stay() -> None:
    seen = []
    layer = nn.Conv2d(4, 4, 3, groups=4)
    layer.register_forward_hook(lambda *_: seen.append(1))
    speed_up(nn.Sequential(layer))
    layer(Case(4).pictures())
    assert seen == [1]


def test_a_convolution_that_stands_in_two_places_counts_once_and_a_second_call_changes_none() -> (
    None
):
    layer = nn.Conv2d(4, 4, 3, groups=4, padding=1)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    assert speed_up(network) == 1
    assert speed_up(network) == 0


class _Another(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 1, groups=4),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(4, 4, 4, groups=4),
        nn.Conv2d(4, 4, (3, 5), groups=4),
        nn.Conv2d(4, 4, 3, stride=(1, 2), groups=4),
        nn.Conv2d(4, 4, 3, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=(1, 3), groups=4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4),
        Conv2dSame(4, 4, 3, dilation=2, groups=4),
        nn.ConvTranspose2d(4, 4, 3, groups=4),
        nn.Conv1d(4, 4, 3, groups=4),
        _Another(4, 4, 3, groups=4),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, groups=4)),
    ],
    ids=str,
)
def test_any_other_convolution_is_left_alone(layer: nn.Module) -> None:
    kind = type(layer)
    assert speed_up(nn.Sequential(layer)) == 0
    assert type(layer) is kind


def test_one_that_is_not_depthwise_cannot_be_made_and_all_its_faults_are_said() -> None:
    with pytest.raises(SpecError) as caught:
        DepthwiseConv2d(4, 8, (3, 4), stride=(1, 2), padding=7)
    words = ("groups", "kernel_size", "stride", "padding")
    assert [fault.split()[0] for fault in caught.value.faults] == list(words)


# ---------------------------------------------------------------- whole networks


def network_and_loss(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(3)
    network = create_model(name, num_classes=5)
    # Running statistics that keep the signal alive through random weights.
    pictures = torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        network.train()(pictures)
    return network.eval().to(memory_format=torch.channels_last), pictures


def loss_and_gradients(network: nn.Module, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    loss = nn.functional.cross_entropy(network(pictures).float(), torch.arange(len(pictures)))
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters)
    return loss.detach(), dict(zip(names, found, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_has_the_loss_and_gradients_that_it_had(name: str) -> None:
    network, pictures = network_and_loss(name)
    loss, wanted = loss_and_gradients(network, pictures)
    with torch.autocast("cpu", torch.bfloat16):
        rounded_loss, rounded = loss_and_gradients(network, pictures)
    assert speed_up(network) == NETWORKS[name]

    same_loss, given_ = loss_and_gradients(network, pictures)
    assert torch.equal(same_loss, loss)
    assert max(distance(given_[key], wanted[key]) for key in wanted) < 1e-4

    with torch.autocast("cpu", torch.bfloat16):
        same_loss, given_ = loss_and_gradients(network, pictures)
    assert torch.equal(same_loss, rounded_loss)
    whole, own, torchs = (
        torch.cat([found[key].flatten() for key in wanted]) for found in (wanted, given_, rounded)
    )
    assert distance(own, whole) < 1.1 * distance(torchs, whole)


# ---------------------------------------------------------------- memory

_PEAK = """
import torch
torch.set_num_threads(1)
from secchi.models.depthwise import DepthwiseConv2d
layer = DepthwiseConv2d(64, 64, {kernel}, stride={stride}, padding={kernel} // 2, groups=64)
pictures = torch.randn(4, 64, 192, 192).contiguous(memory_format=torch.channels_last)
pictures = pictures.{dtype}().requires_grad_()
layer = layer.{dtype}()
def peak():
    # Not getrusage, whose peak begins at that of the process that started this one.
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
small = pictures[:1, :, :32, :32].detach().requires_grad_()
layer(small).sum().backward()
output = layer(pictures)
upstream = torch.ones_like(output)
before = peak()
output.backward(upstream)
print((peak() - before) / (pictures.numel() * pictures.element_size()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kernel", "stride", "dtype"), [(7, 1, "float"), (5, 2, "bfloat16")])
def test_the_backward_pass_takes_a_few_times_the_memory_of_the_input(
    kernel: int, stride: int, dtype: str
) -> None:
    code = _PEAK.format(kernel=kernel, stride=stride, dtype=dtype)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 3.5

"""Depthwise convolutions whose backward pass is fast on a processor.

A depthwise convolution does little arithmetic, but for some of its gradients torch's library for
processors (oneDNN) has only kernels made for dense convolutions, which take ten to a hundred
times as long as they need to. Training a network such as EfficientNet then spends most of its
time there. :func:`speed_up` gives a network's depthwise convolutions another backward pass, with
the same gradients to rounding, out of the kernels that are fast.

**The gradient by the input.** With the outputs ``y[o] = sum_j x[o s + j - p] w[j]`` of a
convolution of stride ``s`` and padding ``p`` (written for one dimension), it is

    ``dx[i] = sum_j dy[(i + p - j) / s] w[j]``   over those ``j`` for which ``s`` divides:

a plain forward convolution of ``dy``, spread out with ``s - 1`` zeros between its values, with the
kernel turned round.

**The gradient by the weights** of a kernel of size ``k`` is

    ``dw[j] = sum_o dy[o] x[o s + j - p]``,

a separate sum for every ``j``. The columns of a large kernel can therefore be had three at a time,
each strip as the gradient of a kernel of width three on an input shifted by some columns. oneDNN's
depthwise kernel for this gradient takes any height, but no width above three.
"""

# Milliseconds of one thread (AMD EPYC with AVX-512 and bf16, torch 2.15, channels last, 16
# pictures of 56 x 56 with 144 channels): torch's own gradient and the one here.
#
#                     by the input               by the weights
#                bf16         fp32            bf16         fp32
#   k  s      torch  here   torch  here    torch  here   torch  here
#   3  1        3.4   2.1     5.7   5.4      5.8   8.2     6.8   9.5
#   3  2         72   2.9     3.0   6.7      0.8   3.0     2.2   4.9
#   3  3        131   2.3     2.3   6.0      0.6   1.8     1.4   4.4
#   5  1        6.3   3.9      10   8.1      175    18      59    24
#   5  2        117   4.6     3.9   8.7       58   8.3      17    13
#   5  3        137   4.5     2.9   8.2       51   5.7       9    12
#   7  1         11   7.0      14    12      168    32     102    41
#   7  2        170   8.1     4.7    14       56    14      28    22
#   9  1         17    13      19    19      231    35     161    48
#   9  2        226    15     6.4    20       76    15      44    24
#
# Contiguous inputs and other sizes give the same picture. Hence two rules: torch's own gradient by
# the input for a stride above one in fp32, and its own gradient by the weights for a kernel of
# three.

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secchi.errors import SpecError

_DTYPES = (torch.bfloat16, torch.float32, torch.float64)

_STRIP = 3
"""Columns of a kernel whose gradient oneDNN gives fast."""

_Padding = tuple[int, int]
"""Rows of zeros above and below a picture, columns left and right of it."""


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution: one square kernel of odd size for every channel.

    The same as :class:`torch.nn.Conv2d`, in outputs to the bit and in gradients to rounding, with
    a backward pass that is fast on a processor in fp32 and bf16 (autocast too). Anywhere else
    (another device, another type, no gradient wanted, a model being traced) it *is*
    :class:`torch.nn.Conv2d`.

    :func:`speed_up` makes them from a network's own convolutions.

    Args:
        args: Those of :class:`torch.nn.Conv2d`.
        options: Those of :class:`torch.nn.Conv2d`.

    Raises:
        SpecError: It is none of those that :func:`speed_up` takes.

    Attributes:
        same: Whether the padding follows from the size of the input as TensorFlow's ``SAME`` does,
            in place of ``padding``.

    >>> layer = DepthwiseConv2d(8, 8, 5, stride=2, padding=2, groups=8)
    >>> layer(torch.ones(1, 8, 14, 14)).shape
    torch.Size([1, 8, 7, 7])
    """

    same: bool = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if faults := _faults(self):
            raise SpecError("no depthwise convolution", faults)

    def forward(self, input: Tensor) -> Tensor:
        """Pictures (pictures, channels, height, width) to pictures with as many channels."""
        if self.same:
            from timm.layers.padding import pad_same

            input = pad_same(input, list(self.kernel_size), list(self.stride))
        tensors = [input, self.weight] + ([] if self.bias is None else [self.bias])
        dtype = _type_to_compute_in(tensors)
        if dtype not in _DTYPES or input.dim() != 4 or not _trains_on_processor(tensors):
            return super().forward(input)
        input, weight, *rest = (tensor.to(dtype) for tensor in tensors)
        bias, stride = rest[0] if rest else None, self.stride[0]
        output: Tensor = _Depthwise.apply(input, weight, bias, stride, _rows_and_columns(self))
        return output


def speed_up(network: nn.Module) -> int:
    """Give a network's depthwise convolutions a backward pass that is fast on a processor.

    The modules stay the objects that they are, with their parameters, hooks and names; only their
    class changes, to :class:`DepthwiseConv2d`. Taken are ``torch.nn.Conv2d`` and timm's
    ``Conv2dSame`` with one square kernel of odd size, 3 or larger, for every channel, the same
    stride both ways, no dilation, and padding with zeros by less than the kernel's size. Anything
    else, subclasses of these two included, is left alone.

    Args:
        network: Changed in place.

    Returns:
        The number of convolutions that changed; zero when called again.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8))
    >>> speed_up(network), speed_up(network)
    (1, 0)
    """
    same = _timms_same()
    count = 0
    for module in network.modules():
        kind = type(module)
        if kind not in (nn.Conv2d, same):
            continue
        assert isinstance(module, nn.Conv2d)
        if _faults(module):
            continue
        module.__class__ = DepthwiseConv2d
        assert isinstance(module, DepthwiseConv2d)
        module.same = kind is same
        count += 1
    return count


def _timms_same() -> type[nn.Module] | None:
    """Return timm's convolution, or None where timm was not imported, so no network can hold it."""
    layers = sys.modules.get("timm.layers")
    found: type[nn.Module] | None = getattr(layers, "Conv2dSame", None)
    return found


def _faults(module: nn.Conv2d) -> list[str]:
    """What keeps a convolution from being one that this module has a faster way to."""
    channels, kernel, stride = module.in_channels, module.kernel_size, module.stride
    rules = {
        f"groups is {module.groups} for {channels} channels in and {module.out_channels} out; "
        "all three are one number, at least 2": (
            1 < module.groups == channels == module.out_channels
        ),
        f"kernel_size is {kernel}; it is square, odd and at least 3": (
            kernel[0] == kernel[1] >= 3 and kernel[0] % 2 == 1
        ),
        f"stride is {stride}; it is the same both ways": stride[0] == stride[1],
        f"dilation is {module.dilation}; there is none": module.dilation == (1, 1),
        f"padding_mode is {module.padding_mode!r}; it is 'zeros'": module.padding_mode == "zeros",
        f"padding is {module.padding}; it is less than the kernel": (
            max(_rows_and_columns(module)) < min(kernel)
        ),
    }
    return [rule for rule, kept in rules.items() if not kept]


def _rows_and_columns(module: nn.Conv2d) -> _Padding:
    """The padding that a convolution of odd size has itself.

    >>> _rows_and_columns(nn.Conv2d(4, 4, 5, padding="same"))
    (2, 2)
    """
    if isinstance(module.padding, str):
        half = module.kernel_size[0] // 2 if module.padding == "same" else 0
        return half, half
    down, across = module.padding
    return down, across


def _type_to_compute_in(tensors: Iterable[Tensor]) -> torch.dtype | None:
    """What ``conv2d`` would compute in, under autocast too; None where the tensors differ."""

    def cast(dtype: torch.dtype) -> torch.dtype:
        # Autocast leaves float64 as it is.
        lower = torch.is_autocast_enabled("cpu") and dtype != torch.float64
        return torch.get_autocast_dtype("cpu") if lower else dtype

    types = {cast(tensor.dtype) for tensor in tensors}
    return types.pop() if len(types) == 1 else None


def _trains_on_processor(tensors: Iterable[Tensor]) -> bool:
    """Whether a gradient is wanted, of tensors that are on the processor."""
    return (
        torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in tensors)
        and all(tensor.device.type == "cpu" for tensor in tensors)
        # A model that is written down for another runtime is written in standard operators.
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and not torch.compiler.is_exporting()
    )


class _Depthwise(torch.autograd.Function):
    """The convolution with the backward pass of this module; all tensors are of one type."""

    @staticmethod
    def forward(
        input: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: _Padding
    ) -> Tensor:
        return functional.conv2d(input, weight, bias, stride, padding, groups=weight.shape[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(input, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        given = (input, weight, ctx.stride, ctx.padding)
        grad = grads[0].contiguous(memory_format=_layout(input))
        wanted = ctx.needs_input_grad
        # What autocast had to change was changed before; here it would round fp32.
        with torch.autocast("cpu", enabled=False):
            by_input = _input_gradient(grad, *given) if wanted[0] else None
            by_weight = _weight_gradient(grad, *given) if wanted[1] else None
            by_bias = grad.sum((0, 2, 3)) if wanted[2] else None
        return by_input, by_weight, by_bias, None, None


def _input_gradient(
    grad: Tensor, input: Tensor, weight: Tensor, stride: int, padding: _Padding
) -> Tensor:
    if stride > 1 and input.dtype != torch.bfloat16:
        return _torchs_gradient(0, grad, input, weight, stride, padding)
    pictures, channels, height, width = input.shape
    size = weight.shape[-1]
    turned = weight.flip(2, 3)
    above, before = size - 1 - padding[0], size - 1 - padding[1]
    if stride == 1:
        return functional.conv2d(grad, turned, padding=(above, before), groups=channels)
    shape = (pictures, channels, height + size - 1, width + size - 1)
    spread = torch.empty(shape, dtype=grad.dtype, memory_format=_layout(input)).zero_()
    rows, columns = grad.shape[2:]
    spread[:, :, above:, before:][:, :, ::stride, ::stride][:, :, :rows, :columns] = grad
    return functional.conv2d(spread, turned, groups=channels)


def _weight_gradient(
    grad: Tensor, input: Tensor, weight: Tensor, stride: int, padding: _Padding
) -> Tensor:
    size = weight.shape[-1]
    # In pictures narrower than the stride, torch 2.15's own gradient in bf16 is made from memory
    # that nobody wrote.
    if size == _STRIP and min(input.shape[2:]) >= stride:
        return _torchs_gradient(1, grad, input, weight, stride, padding)
    high = (grad.shape[2] - 1) * stride + size
    wide = (grad.shape[3] - 1) * stride + _STRIP
    result = torch.empty_like(weight)
    for start in range(0, size, _STRIP):
        # The last strip may overlap the one before it: the same sums once more.
        start = min(start, size - _STRIP)
        seen = _window(input, padding[1] - start, padding[0], wide, high)
        strip = slice(start, start + _STRIP)
        result[..., strip] = _torchs_gradient(1, grad, seen, weight[..., strip], stride, (0, 0))
        del seen  # Before the next one is made.
    return result


def _window(input: Tensor, left: int, top: int, wide: int, high: int) -> Tensor:
    """A window of pictures that begins above and left of them, zeros where there is no picture.

    A negative ``left`` begins within the pictures or right of them.
    """
    columns = input[..., max(-left, 0) : max(wide - left, 0)]
    left = min(max(left, 0), wide)
    right = wide - left - columns.shape[-1]
    return functional.pad(columns, (left, right, top, high - top - input.shape[2]))


def _torchs_gradient(
    which: int, grad: Tensor, input: Tensor, weight: Tensor, stride: int, padding: _Padding
) -> Tensor:
    """Torch's own gradient by the input (0) or by the weights (1)."""
    gradients = torch.ops.aten.convolution_backward(
        grad, input, weight, None, [stride, stride], padding, [1, 1], False, [0, 0], len(weight),
        [which == 0, which == 1, False],
    )  # fmt: skip
    gradient: Tensor = gradients[which]
    return gradient


def _layout(input: Tensor) -> torch.memory_format:
    last = torch.channels_last
    return last if input.is_contiguous(memory_format=last) else torch.contiguous_format

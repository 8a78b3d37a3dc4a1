"""The loop that an expert writes by hand in torch, for training a whole body.

Channels last, bf16 under autocast where the processor or GPU has it, fused AdamW. Pictures are
decoded and resized once, before anything is timed, and kept in memory as bytes. The first epoch
warms up and does not count. Prints one JSON document.
"""

import argparse
import json
import os
import time
from pathlib import Path

import packaged
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the packaged state dict")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="after the one that warms up")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument(
        "--frozen-statistics", action="store_true", help="batch normalisation in evaluation mode"
    )
    parser.add_argument("--freeze-to", metavar="LAYER", help="the first layer that trains (all)")
    parser.add_argument("--compile", action="store_true", help="let torch compile the network")
    args = parser.parse_args()
    torch.manual_seed(0)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    has_bf16 = torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bf16()
    bf16 = has_bf16 if args.precision == "auto" else args.precision == "bf16"
    split = ImageFolder(str(args.data / "train"), transform=v2.Compose(to_bytes()))
    pixels, targets = (part.to(device) for part in decoded(split))

    net = timm.create_model(packaged.TIMM_NAME, num_classes=len(split.classes))
    packaged.load_body(net, args.weights)
    net = net.to(device, memory_format=torch.channels_last).train()
    if args.frozen_statistics:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    trained = parameters_from(net, args.freeze_to)
    run = torch.compile(net) if args.compile else net
    optimizer = torch.optim.AdamW(trained, lr=args.lr, fused=True)

    seconds, losses = [], []
    for _ in range(1 + args.epochs):
        started = time.perf_counter()
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(pixels)).split(args.batch_size):
            rows = rows.to(device)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                outputs = run(normalized(pixels[rows]))
                loss = functional.cross_entropy(outputs, targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        losses.append(total.item() / len(pixels))  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    answer = {
        "pictures": len(pixels),
        "epoch_seconds": seconds,
        "train_losses": losses,
        "precision": "bf16" if bf16 else "fp32",
    }
    print(json.dumps(answer))


def parameters_from(net: nn.Module, layer: str | None) -> list[nn.Parameter]:
    """The parameters of a layer and those behind it; the others are frozen."""
    frozen = layer is not None
    trained = []
    for name, parameter in net.named_parameters():
        frozen = frozen and not name.startswith(f"{layer}.")
        parameter.requires_grad_(not frozen)
        trained += [] if frozen else [parameter]
    return trained


def to_bytes() -> list[nn.Module]:
    """The part of the body's preprocessing that comes first: 224 px out of 256."""
    return [
        v2.Resize(256, InterpolationMode.BICUBIC, antialias=True),
        v2.CenterCrop(224),
        v2.PILToTensor(),
    ]


def decoded(split: ImageFolder) -> tuple[Tensor, Tensor]:
    """All pictures as bytes of (pictures, height, width, channels), and their classes."""
    parts = list(DataLoader(split, 32, num_workers=os.cpu_count() or 1))
    pixels, targets = (torch.cat(several) for several in zip(*parts, strict=True))
    return pixels.permute(0, 2, 3, 1).contiguous(), targets


def normalized(pixels: Tensor) -> Tensor:
    """What the body wants, in channels last: mean and standard deviation 0.5."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def processor_has_bf16() -> bool:
    """Whether bf16 is faster than fp32 on this processor and not emulated."""
    return bool(torch.cpu._is_avx512_bf16_supported())


if __name__ == "__main__":
    main()

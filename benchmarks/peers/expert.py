"""The loop that an expert writes by hand in torch, for a frozen body and a linear head.

Channels last, bf16 under autocast where the processor has it, decoding in workers, features once
and kept in memory. Prints one JSON document.
"""

import argparse
import json
import os
import time
from pathlib import Path

import packaged
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the packaged state dict")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(0)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    bf16 = torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bf16()
    body = timm.create_model(packaged.TIMM_NAME, num_classes=0)
    packaged.load(body, args.weights)
    body = body.eval().to(device, memory_format=torch.channels_last)

    splits = [
        ImageFolder(str(args.data / name), transform=v2.Compose(transforms()))
        for name in ("train", "valid")
    ]
    started = time.perf_counter()
    (train_x, train_y), (valid_x, valid_y) = (
        features(body, split, device, bf16, args.batch_size, args.workers) for split in splits
    )
    seconds = time.perf_counter() - started

    head = nn.Linear(train_x.shape[1], len(splits[0].classes)).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=args.lr)
    for _ in range(args.epochs):
        for rows in torch.randperm(len(train_x)).split(64):
            loss = nn.functional.cross_entropy(head(train_x[rows]), train_y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.inference_mode():
        accuracy = (head(valid_x).argmax(1) == valid_y).float().mean().item()
    pictures = len(train_x) + len(valid_x)
    print(json.dumps({"accuracy": accuracy, "pictures": pictures, "feature_seconds": seconds}))


def transforms() -> list[nn.Module]:
    """The body's own preprocessing, as timm describes it: 224 px out of 256, mean and std 0.5."""
    return [
        v2.Resize(256, InterpolationMode.BICUBIC, antialias=True),
        v2.CenterCrop(224),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.5] * 3),
    ]


def features(
    body: nn.Module, split: ImageFolder, device: str, bf16: bool, batch_size: int, workers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the body once over the pictures of a split."""
    rows, labels = [], []
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
        for pixels, targets in DataLoader(split, batch_size, num_workers=workers):
            batch = pixels.to(device, memory_format=torch.channels_last)
            rows.append(body(batch).float())
            labels.append(targets.to(device))
    # Copies that autograd may use: tensors made in inference mode it may not.
    return torch.cat(rows).clone(), torch.cat(labels).clone()


def processor_has_bf16() -> bool:
    """Whether bf16 is faster than fp32 on this processor and not emulated."""
    return bool(torch.cpu._is_avx512_bf16_supported())


if __name__ == "__main__":
    main()

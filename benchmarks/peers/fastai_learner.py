"""fastai's ``vision_learner`` as its users run it: two frozen epochs and one unfrozen.

The body and its weights are those of the other peers; pictures are 224 px. Prints one JSON
document.
"""

import argparse
import json
from pathlib import Path

import packaged
import torch
from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    accuracy,
    get_image_files,
    set_seed,
    vision_learner,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the packaged state dict")
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()
    set_seed(0)
    # fastai drops the last batch where it is not full: a small set has to fill one.
    pictures = len(get_image_files(args.data / "train"))
    loaders = ImageDataLoaders.from_folder(
        args.data,
        valid="valid",
        item_tfms=Resize(args.size),
        batch_tfms=Normalize.from_stats([0.5] * 3, [0.5] * 3),
        bs=min(64, pictures),
    )
    # pretrained=True would fetch timm's weights; the packaged ones are put in their place.
    learner = vision_learner(loaders, packaged.TIMM_NAME, pretrained=False, metrics=accuracy)
    packaged.load(learner.model[0].model, args.weights)
    with learner.no_bar():
        learner.fine_tune(1, freeze_epochs=2)
    score = float(learner.recorder.values[-1][-1])
    print(json.dumps({"accuracy": score, "torch": torch.__version__}))


if __name__ == "__main__":
    main()

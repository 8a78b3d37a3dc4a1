"""fastai's ``vision_learner`` as its users run it: ``fine_tune`` with a few frozen epochs first.

The body and its weights are those of the other peers; pictures are 224 px. Prints one JSON
document.
"""

import argparse
import json
import time
from pathlib import Path

import packaged
import torch
from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    get_image_files,
    set_seed,
    vision_learner,
)


class EpochTimes(Callback):
    """Seconds of the training half of each epoch."""

    def __init__(self):
        self.seconds = []

    def before_train(self):  # noqa: D102
        self.started = time.perf_counter()

    def after_train(self):  # noqa: D102
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the packaged state dict")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=1, help="epochs with the body unfrozen")
    parser.add_argument("--freeze-epochs", type=int, default=2, help="epochs before them")
    parser.add_argument("--augment", action="store_true", help="fastai's own augmentation")
    parser.add_argument("--tta", action="store_true", help="judge by test-time augmentation too")
    args = parser.parse_args()
    set_seed(0)
    # fastai drops the last batch where it is not full: a small set has to fill one.
    pictures = len(get_image_files(args.data / "train"))
    normalize = Normalize.from_stats([0.5] * 3, [0.5] * 3)
    loaders = ImageDataLoaders.from_folder(
        args.data,
        valid="valid",
        item_tfms=Resize(args.size),
        batch_tfms=[*(aug_transforms() if args.augment else []), normalize],
        bs=min(64, pictures),
    )
    times = EpochTimes()
    # pretrained=True would fetch timm's weights; the packaged ones are put in their place.
    learner = vision_learner(
        loaders, packaged.TIMM_NAME, pretrained=False, metrics=accuracy, cbs=times
    )
    packaged.load(learner.model[0].model, args.weights)
    answer = {"torch": torch.__version__, "pictures": pictures}
    with learner.no_bar():
        learner.fine_tune(args.epochs, freeze_epochs=args.freeze_epochs)
        answer["accuracy"] = float(learner.recorder.values[-1][-1])
        answer["accuracies"] = [float(values[-1]) for values in learner.recorder.values]
        answer["epoch_seconds"] = times.seconds
        if args.tta:
            probabilities, targets = learner.tta()
            answer["tta_accuracy"] = float(accuracy(probabilities, targets))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

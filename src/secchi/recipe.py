"""The lesson's eight steps to a good classifier, each said with what it decided and why.

Every step that trains is judged on the validation pictures against the best that there was before
it, on the same pictures; its weights are kept where the validation loss is lower. The intervals are
those of the pictures alone: another seed or another split is a noise of its own.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.errors import SpecError, did_you_mean
from secchi.training.history import Epoch, Outcome
from secchi.training.schedules import Cosine, Warmup
from secchi.training.spec import Training
from secchi.transforms.augment import Augmentation
from secchi.values import is_whole

if TYPE_CHECKING:
    from secchi.inspection.comparison import Comparison
    from secchi.inspection.predictions import Predictions
    from secchi.learner import Learner
    from secchi.training.history import History

STEPS = {
    "augment": "enable augmentation",
    "find": "find the rate",
    "features": "last layer from features",
    "restarts": "last layer, augmented, with restarts",
    "unfreeze": "unfreeze",
    "rates": "lower rates for earlier layers",
    "find_again": "find the rate again",
    "cycles": "doubling cycles until overfitting",
}
"""The steps by the names that skip them, in their order."""

TTA = "test-time augmentation"

_SEARCH_STEPS = 40

_CYCLE = Warmup(Cosine(), epochs=0.3)
"""One cycle: Adam's first steps are as long as the rate in every direction, so they start small."""


@dataclasses.dataclass(frozen=True)
class RecipeStep:
    """What one step did.

    Attributes:
        name: What it is.
        decided: What it decided, and why.
        seconds: How long it took.
        measure: What it is judged by beside the loss: ``"accuracy"``, or ``""``.
        score: The measure on the validation pictures after it, before its weights are kept or not.
        loss: Likewise the loss; None where the step trains nothing.
        gain: Against the best before it; None where there is nothing to compare.
        kept: Whether its weights are kept; None where it trains nothing.

    >>> step = RecipeStep("last layer from features", "2 epochs, the body frozen", 0.4, loss=0.05)
    >>> step.to_dict()["loss"]
    0.05
    """

    name: str
    decided: str
    seconds: float
    measure: str = ""
    score: float | None = None
    loss: float | None = None
    gain: "Comparison | None" = None
    kept: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"gain": self.gain.to_dict() if self.gain else None}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All steps of a run of the recipe.

    Attributes:
        steps: In their order; test-time augmentation last.
        predictions: The last word on the validation pictures, averaged over views.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> from secchi.inspection.predictions import Predictions
    >>> pet = Task.classify(["cat", "dog"])
    >>> truth = Labels.of(pet.target, ["dog"] * 4)
    >>> said = Predictions.of(pet, tuple("abcd"), torch.ones(4, 1), truth)
    >>> Recipe((RecipeStep("unfreeze", "skipped", 0.0),), said).verdict
    'beyond the noise of 4 validation pictures helped: none'
    """

    steps: tuple[RecipeStep, ...]
    predictions: "Predictions"

    @property
    def helped(self) -> list[str]:
        """The steps whose gain is more than noise."""
        return [step.name for step in self.steps if step.gain and step.gain.improved]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        measure = next((step.measure for step in self.steps if step.measure), "score")
        head = f"{'step':<38}{measure:>10}{'loss':>9}{'seconds':>9}  what it brought"
        lines = [head]
        for number, step in enumerate(self.steps, start=1):
            score = "" if step.score is None else f"{step.score:.4f}"
            loss = "" if step.loss is None else f"{step.loss:.4f}"
            name = f"{number} {step.name}"
            lines.append(f"{name:<38}{score:>10}{loss:>9}{step.seconds:>9.1f}  {_brought(step)}")
        lines.append(self.verdict)
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """What can be said of the steps, and what cannot."""
        rows, target = len(self.predictions), self.predictions.task.targets[0]
        helped = ", ".join(self.helped) or "none"
        text = f"beyond the noise of {rows:,} validation pictures helped: {helped}"
        labels = self.predictions.labels
        if target.exclusive and self.steps[-1].measure and labels and labels.weights is None:
            errors = int((~self.predictions.correct).sum())
            if errors <= 4:
                text += f"; with {errors} errors left no further step could show a gain here"
            elif errors <= 10:
                text += f"; {errors} errors leave little room to show a gain"
            if errors <= 10:
                text += ": more validation pictures would help"
        return text

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"steps": [step.to_dict() for step in self.steps], "verdict": self.verdict}


@dataclasses.dataclass(frozen=True)
class RecipeSpec:
    """What can be chosen about a run of the recipe.

    Attributes:
        skip: Names of :data:`STEPS` to leave out.
        freeze_to: The first layer group that trains once the body does; 0 trains everything.
        augmentation: How pictures are changed.
        max_zoom: How far they are enlarged.
        views: How many versions of a picture are kept, and averaged in the end.
        cycles: The most cycles of the last step; they last 1, 2, 4, … epochs.
        label_smoothing: In every step: no class is certain, and a few labels are always wrong.
            Validation losses are without it, and so higher than those of a network that is sure.

    Raises:
        SpecError: With all faults at once.

    >>> RecipeSpec(skip=("find",)).to_dict()["skip"]
    ['find']
    """

    skip: tuple[str, ...] = ()
    freeze_to: int | str = 0
    augmentation: str = "side_on"
    max_zoom: float = 1.1
    views: int = 4
    cycles: int = 3
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        faults = [
            f"there is no step {name!r}{did_you_mean(name, STEPS)}; there are {', '.join(STEPS)}"
            for name in self.skip
            if name not in STEPS
        ]
        for name in ("views", "cycles"):
            value = getattr(self, name)
            if not (is_whole(value) and value >= 1):
                faults.append(f"{name} is {value!r}, not 1 or more")
        try:
            Augmentation.named(self.augmentation, max_zoom=self.max_zoom)
        except SpecError as error:
            faults += error.faults
        try:
            Training(label_smoothing=self.label_smoothing)
        except SpecError as error:
            faults += error.faults
        if faults:
            raise SpecError("this recipe cannot be", faults)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self) | {"skip": sorted(self.skip)}


def follow_recipe(learn: "Learner", spec: RecipeSpec) -> Recipe:
    """Follow the eight steps, then average over views.

    Args:
        learn: What is trained; it ends with the best weights. Of its training the recipe sets
            rates, epochs, schedule and label smoothing; its rate is where the search finds none.
        spec: What was chosen.

    Raises:
        SpecError: There is no layer group ``spec.freeze_to``.

    :meth:`secchi.Learner.recipe` has an example.
    """
    return _Following(learn, spec).all()


class _Following:
    """One run of the recipe."""

    def __init__(self, learn: "Learner", spec: RecipeSpec) -> None:
        self._learn = learn
        self._spec = spec
        self._lr: float = learn.training.rates[-1]
        self._rates: Sequence[float] = (self._lr,)
        self._steps: list[RecipeStep] = []
        self._best: Predictions | None = None
        self._last: Predictions
        several = len(learn.data.task.targets) > 1 or not learn.data.classes
        self._measure = "" if several else "accuracy"

    def all(self) -> Recipe:
        from secchi.models.network import place_of

        learn, spec = self._learn, self._spec
        if "unfreeze" not in spec.skip:
            place_of(learn.groups().groups, spec.freeze_to)  # faults before the work
        learn.freeze().augment("none")
        for name, step in self._by_name().items():
            if name == "restarts" and "augment" not in spec.skip:
                learn.augment(spec.augmentation, max_zoom=spec.max_zoom, views=spec.views)
            self._follow(STEPS[name], self._skipped if name in spec.skip else step)
        self._follow(TTA, self._averaged)
        return Recipe(tuple(self._steps), self._last)

    def _by_name(self) -> dict[str, Callable[[str], RecipeStep]]:
        return {
            "augment": self._augment,
            "find": self._find,
            "features": self._features,
            "restarts": self._restarts,
            "unfreeze": self._unfreeze,
            "rates": self._lower_rates,
            "find_again": self._find_again,
            "cycles": self._doubling_cycles,
        }

    # ---------------------------------------------------------------- the eight steps

    def _augment(self, name: str) -> RecipeStep:
        spec = self._spec
        decided = (
            f"{spec.augmentation}, zoom up to {spec.max_zoom}: what a picture may show without "
            "being of another class; from step 4 on"
        )
        return RecipeStep(name, decided, 0.0)

    def _find(self, name: str) -> RecipeStep:
        search = self._learn.find_lr(self._rates, label_smoothing=self._spec.label_smoothing)
        usual, self._lr = self._lr, search.suggestion or self._lr
        self._rates = (self._lr,)
        why = _why(search) or f"the search found nothing, so {usual:g} as usual"
        return RecipeStep(name, f"{self._lr:.1e}: {why}", 0.0)

    def _features(self, name: str) -> RecipeStep:
        return self._trained(name, "2 epochs, the body frozen", lambda: self._fit(epochs=2))

    def _restarts(self, name: str) -> RecipeStep:
        decided = "3 cycles of an epoch"
        if self._learn.augmentation.alters:
            decided += f", {self._spec.views} views of each picture"
        return self._trained(name, decided, lambda: self._fit(cycles=3, cycle_len=1))

    def _unfreeze(self, name: str) -> RecipeStep:
        self._learn.freeze_to(self._spec.freeze_to)
        groups = self._learn.groups()
        training = sum(g.parameters for g in groups.groups[groups.frozen :])
        return RecipeStep(
            name,
            f"{groups.names[groups.frozen]} to head: {training:,} parameters in "
            f"{len(groups) - groups.frozen} layer groups train",
            0.0,
        )

    def _lower_rates(self, name: str) -> RecipeStep:
        self._rates = self._spread(self._lr)
        shares = {1: "the head alone trains: one rate", 2: "a third of the head's rate before it"}
        decided = shares.get(
            len(self._rates),
            "a ninth, a third and the whole of the head's rate for early, middle and last layers: "
            "early ones see edges, as before",
        )
        return RecipeStep(name, decided, 0.0)

    def _find_again(self, name: str) -> RecipeStep:
        search = self._learn.find_lr(
            self._rates, steps=_SEARCH_STEPS, label_smoothing=self._spec.label_smoothing
        )
        # Epochs forgive less than a short search; and a rate above the first one would undo what
        # the head has learned.
        third = (search.suggestion or 0) / 3
        if not third:
            why = "the search found nothing, so the rate stays"
        elif third >= self._lr:
            why = f"the rate stays, which is below {third:.1e}, a third of {_why(search)}"
        else:
            self._lr, why = third, f"a third of {_why(search)}"
        self._rates = self._spread(self._lr) if len(self._rates) > 1 else (self._lr,)
        return RecipeStep(name, f"{self._lr:.1e}: {why}", 0.0)

    def _doubling_cycles(self, name: str) -> RecipeStep:
        """Cycles of 1, 2, 4, … epochs; the weights of the lowest validation loss are kept."""
        learn, lengths, ends = self._learn, list[int](), list[Epoch]()
        ended = "that many were asked for"

        def train() -> None:
            nonlocal ended
            for number in range(self._spec.cycles):
                history = self._fit(schedule=_CYCLE, epochs=2**number)
                lengths.append(len(history.epochs))
                end = _end_of(history)
                if end is None or history.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
                    ended = history.remark
                    break
                if all(end.valid_loss < before.valid_loss for before in ends):
                    learn.save("recipe-cycle")
                elif end.train_loss < ends[-1].train_loss:
                    ended = "overfitting, better on what it saw and worse on what it did not"
                    break
                ends.append(end)
            if ends:
                learn.load("recipe-cycle")

        step = self._trained(name, "", train)
        decided = f"cycles of {', '.join(map(str, lengths))} epochs: {ended}"
        return dataclasses.replace(step, decided=decided)

    def _averaged(self, name: str) -> RecipeStep:
        learn, views = self._learn, self._spec.views
        self._last = learn.tta("valid", views=views)
        decided = f"each picture and {views} mirrored and shifted views of it"
        return self._judged(name, decided, self._last, self._best or learn.predictions("valid"))

    # ---------------------------------------------------------------- within

    def _fit(self, **changes: Any) -> Any:
        return self._learn.fit(
            list(self._rates), label_smoothing=self._spec.label_smoothing, **changes
        )

    def _spread(self, lr: float) -> Sequence[float]:
        groups = self._learn.groups()
        trained = len(groups) - groups.frozen
        return {1: (lr,), 2: (lr / 3, lr)}.get(trained, (lr / 9, lr / 3, lr))

    def _follow(self, title: str, step: Callable[[str], RecipeStep]) -> None:
        """Take a step and say what it did."""
        say = self._learn.console.line
        say(f"\n{len(self._steps) + 1} {title}")
        started = time.perf_counter()
        done = dataclasses.replace(step(title), seconds=time.perf_counter() - started)
        self._steps.append(done)
        say(f"   {done.decided}")
        if done.gain is not None and title != TTA:  # which has said so itself
            say(f"   {done.gain}")
        if done.kept is False:
            say("   its validation loss is not lower: the weights before it stay")

    def _skipped(self, title: str) -> RecipeStep:
        return RecipeStep(title, "skipped", 0.0)

    def _trained(self, name: str, decided: str, train: Callable[[], Any]) -> RecipeStep:
        """Train; keep the weights where the validation loss is lower than any before."""
        learn = self._learn
        before = self._best
        train()
        after = learn.predictions("valid")
        step = self._judged(name, decided, after, before)
        kept = before is None or _loss(after) < _loss(before)
        if kept:
            self._best = after
            learn.save("recipe")
        else:
            learn.load("recipe")
        return dataclasses.replace(step, kept=kept)

    def _judged(
        self, name: str, decided: str, after: "Predictions", before: "Predictions | None"
    ) -> RecipeStep:
        from secchi.inspection.comparison import compare

        measure = self._measure
        score = after.metric(measure) if measure else None
        gain = compare(before, after, measure or "loss") if before is not None else None
        return RecipeStep(name, decided, 0.0, measure, score, _loss(after), gain)


def _end_of(history: "History") -> Epoch | None:
    """The epoch whose weights a training left."""
    kept = [epoch for epoch in history.epochs if epoch.number == history.kept]
    return next(iter([*kept, *history.epochs[-1:]]), None)


def _loss(predictions: "Predictions") -> float:
    """The mean over the rows, each by its weight; infinite where it is no number."""
    if predictions.losses is None or predictions.labels is None:
        return math.inf
    loss = float(np.average(predictions.losses, weights=predictions.labels.weights))
    return loss if math.isfinite(loss) else math.inf


def _why(search: Any) -> str:
    found = next(iter(search.suggestions.values()), None)
    return found.why if found else ""


def _brought(step: RecipeStep) -> str:
    if step.loss is None:
        return step.decided
    if step.gain is None:
        return f"the start: {step.decided}"
    kept = "" if step.kept is not False else ", not kept"
    words = "beyond noise" if step.gain.beyond_noise else "within noise"
    interval = f"{step.gain.low:+.4f} to {step.gain.high:+.4f}"
    return f"{step.gain.difference:+.4f} ({interval}, {words}){kept}"

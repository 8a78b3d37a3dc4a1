"""Change training pictures at random, so that a network does not learn them by heart.

An :class:`Augmentation` is data: a few numbers under a name, so it travels with a run. Each picture
is changed by its own seed alone: neither its neighbours in the batch nor any global generator have
a say, so threads, batch sizes and restarts change no pixel.

What moves the pixels (mirror, turn, rotation, zoom, crop, shear) becomes one affine map for each
picture, and pictures are sampled once: every further sampling would blur them again. What would lie
outside a picture is its mirror image, never black.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError, did_you_mean
from secchi.transforms.images import ImageTransform, Pixels
from secchi.values import is_number

if TYPE_CHECKING:
    from torch import Tensor

Numbers = NDArray[np.float64]

VERSION = 1
"""Raised when the same augmentation would give other pixels."""

_CANNOT_BE = "this augmentation cannot be"
_SWITCHES = ("flip", "symmetries", "trivial", "shift")
_RANGES = {
    "rotation": (0, 180),
    "max_zoom": (1, 10),
    "erasing": (0, 1),
    "mixup": (0, 100),
    "cutmix": (0, 100),
}

_LARGEST_CANVAS = 4096
# Pictures sampled together: few enough that they stay in the processor's cache.
_CHUNK = 8
_GREY = np.array([0.299, 0.587, 0.114])
_CROP_RATIOS = (3 / 4, 4 / 3)
_ERASED_AREA = (0.02, 0.33)
_ERASED_RATIOS = (0.3, 3.3)

# The numbers that every picture draws, whatever is asked for: switching one thing on or off changes
# no other. A new one goes to the end.
_DRAWN = (
    *("mirror", "turns", "angle", "zoom", "area", "ratio", "across", "down"),
    *("brightness", "contrast", "operation", "strength", "sign"),
    *("erase", "erased area", "erased ratio", "erased across", "erased down"),
)

# TrivialAugmentWide: the weakest and the strongest of 31 magnitudes, and whether a sign is drawn.
_STRENGTHS = 31
_OPERATIONS = {
    "Identity": (0, 0, False),
    "ShearX": (0, 0.99, True),
    "ShearY": (0, 0.99, True),
    "TranslateX": (0, 32, True),
    "TranslateY": (0, 32, True),
    "Rotate": (0, 135, True),
    "Brightness": (0, 0.99, True),
    "Color": (0, 0.99, True),
    "Contrast": (0, 0.99, True),
    "Sharpness": (0, 0.99, True),
    "Posterize": (8, 2, False),
    "Solarize": (1, 0, False),
    "AutoContrast": (0, 0, False),
    "Equalize": (0, 0, False),
}


@dataclasses.dataclass(frozen=True)
class Draws:
    """What was drawn for each of n pictures. Lengths are shares of the canvas' side.

    Attributes:
        mirrored: Whether left and right change places; (n,).
        turns: Quarter turns, 0 to 3; (n,).
        angle: Degrees of the rotation; (n,).
        zoom: How much larger things look; (n,).
        window: Width and height of the part that is seen; (n, 2).
        centre: Where the middle of that part lies, from the left and from the top; (n, 2).
        brightness: Factor of all levels; (n,).
        contrast: Factor of the levels' distance from the picture's mean; (n,).
        operation: Names of TrivialAugmentWide's operations; (n,).
        magnitude: How strong they are, in the operation's own unit; (n,).
        erased: Left, top, width and height of the rectangle that is erased, as shares of the
            result's side, all 0 where none is; (n, 4).

    >>> drawn = Augmentation.named("side_on").draw([7, 8, 9], ImageTransform(), side=256)
    >>> drawn.maps(224).shape, bool((abs(drawn.angle) <= 10).all())
    ((3, 2, 3), True)
    """

    mirrored: NDArray[np.bool_]
    turns: NDArray[np.int64]
    angle: Numbers
    zoom: Numbers
    window: Numbers
    centre: Numbers
    brightness: Numbers
    contrast: Numbers
    operation: NDArray[np.str_]
    magnitude: Numbers
    erased: Numbers

    def maps(self, size: int) -> Numbers:
        """From places in the result to places in the canvas, as affine maps.

        Args:
            size: Side of the result, in pixels.

        Returns:
            (n, 2, 3): the canvas' x and y from (x, y, 1) of the result. Both squares reach from -1
            to 1, edge to edge, with y downwards.
        """
        radians = np.radians(self.angle)
        rotation = _matrices(np.cos(radians), -np.sin(radians), np.sin(radians), np.cos(radians))
        cosine, sine = (
            np.array(quarters)[self.turns] for quarters in ([1, 0, -1, 0], [0, 1, 0, -1])
        )
        mirror = np.where(self.mirrored, -1, 1)
        symmetry = _matrices(cosine * mirror, -sine, sine * mirror, cosine)
        window = rotation @ (self.window[:, :, None] * symmetry)
        maps = window @ self._trivial_maps(size)
        maps[:, :, 2] += 2 * self.centre - 1
        return maps

    def _trivial_maps(self, size: int) -> Numbers:
        """The geometric operations of TrivialAugmentWide; shears keep the corner at the top left.

        Equations: torchvision's ``affine`` and ``rotate``, which map results to pictures, too.
        """

        def only(operation: str) -> Numbers:
            return np.where(self.operation == operation, self.magnitude, 0.0)

        radians = np.radians(only("Rotate"))
        shear_x, shear_y = only("ShearX"), only("ShearY")
        move_x, move_y = (2 / size * np.trunc(only(f"Translate{axis}")) for axis in "XY")
        cosine, sine = np.cos(radians), np.sin(radians)
        linear = _matrices(cosine, -sine + shear_x, sine + shear_y, cosine)
        moved = np.stack([shear_x - move_x, shear_y - move_y], axis=1)
        return np.concatenate([linear, moved[:, :, None]], axis=2)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training pictures are changed at random.

    Attributes:
        name: What it was made from: a name in :data:`AUGMENTATIONS`.
        flip: Mirror left and right, every second time.
        symmetries: One of the eight symmetries of the square: for pictures without an upside.
        rotation: Turn by up to so many degrees either way, 0 to 180.
        max_zoom: Enlarge by a factor drawn from 1 to this, at most 10.
        lighting: Change brightness and contrast by up to this share each, below 1.
        crop_scale: See a part of the canvas whose area is drawn between these two shares, of any
            shape from 3:4 to 4:3, anywhere; None sees the part that the transform sees.
        trivial: One random operation at random strength (TrivialAugmentWide,
            https://arxiv.org/abs/2103.10158).
        erasing: Probability that a rectangle is painted over with the transform's mean colour
            (https://arxiv.org/abs/1708.04896).
        mixup: Both parameters of the Beta distribution that two pictures are mixed by
            (https://arxiv.org/abs/1710.09412), at most 100; 0 mixes none.
        cutmix: The same for a rectangle of one picture laid into another
            (https://arxiv.org/abs/1905.04899). Where both are above 0, each batch gets one of the
            two.
        shift: See a part anywhere in the canvas, not its middle; zooming makes room for it.

    Raises:
        SpecError: With every value that cannot be.

    >>> Augmentation.named("side_on", max_zoom=1.1).rotation
    10.0
    >>> transform = ImageTransform(size=32)
    >>> canvas = np.zeros((2, 36, 36, 3), np.uint8)
    >>> Augmentation.named("side_on").apply(canvas, [7, 8], transform).shape
    (2, 32, 32, 3)
    """

    name: str = "none"
    flip: bool = False
    symmetries: bool = False
    rotation: float = 0.0
    max_zoom: float = 1.0
    lighting: float = 0.0
    crop_scale: tuple[float, float] | None = None
    trivial: bool = False
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    shift: bool = False

    def __post_init__(self) -> None:
        faults = []
        for name in _SWITCHES:
            value: Any = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                faults.append(f"{name} is {value!r}, not True or False")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not (is_number(value) and least <= value <= most):
                faults.append(f"{name} is {value!r}, not a number from {least} to {most}")
        if not (is_number(self.lighting) and 0 <= self.lighting < 1):
            faults.append(f"lighting is {self.lighting!r}, not a share from 0 to below 1")
        if self.crop_scale is not None and not _is_pair_of_shares(self.crop_scale):
            faults.append(
                f"crop_scale is {self.crop_scale!r}, not two shares of the area above 0, at most 1,"
                " the smaller first"
            )
        if faults:
            raise SpecError(_CANNOT_BE, faults)
        self._make_plain()

    def _make_plain(self) -> None:
        """NumPy's numbers and JSON's lists become what compares, hashes and prints alike."""
        for name in _SWITCHES:
            object.__setattr__(self, name, bool(getattr(self, name)))
        for name in (*_RANGES, "lighting"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.crop_scale is not None:
            shares = tuple(float(share) for share in self.crop_scale)
            object.__setattr__(self, "crop_scale", shares)

    @classmethod
    def named(cls, name: str, /, **changes: Any) -> "Augmentation":
        """One of :data:`AUGMENTATIONS`, with some fields changed.

        Raises:
            SpecError: With the name, the fields and the values that cannot be.

        >>> Augmentation.named("side_up")
        Traceback (most recent call last):
        ...
        secchi.errors.SpecError: this augmentation cannot be: there is no 'side_up'; did you mean \
side_on?; the names are none, basic, side_on, top_down, random_resized_crop, trivial_augment
        """
        faults = []
        if name not in AUGMENTATIONS:
            hint = did_you_mean(str(name), AUGMENTATIONS)
            faults.append(f"there is no {name!r}{hint}; the names are {', '.join(AUGMENTATIONS)}")
        return _changed(AUGMENTATIONS.get(name, cls()), changes, faults)

    @property
    def alters(self) -> bool:
        """Whether :meth:`apply` can give anything but the middle of the canvas."""
        return dataclasses.replace(self, name="none", mixup=0.0, cutmix=0.0) != Augmentation()

    @property
    def mixes(self) -> bool:
        """Whether :meth:`mix` mixes."""
        return self.mixup > 0 or self.cutmix > 0

    def canvas(self, transform: ImageTransform) -> ImageTransform:
        """What pictures are brought to before :meth:`apply`: more than the transform sees.

        It is the whole square in the middle of a picture, in the resolution of the transform; its
        side differs from the transform's by an even number, so that the part that the transform
        sees lies on whole pixels. A transform whose crop is 1 leaves no margin to move in.

        >>> Augmentation().canvas(ImageTransform(size=224, crop=0.875)).size
        256
        """
        margin = round((transform.size / transform.crop - transform.size) / 2)
        side = min(transform.size + 2 * margin, _LARGEST_CANVAS)
        return dataclasses.replace(transform, size=side, crop=1.0)

    def draw(self, seeds: Sequence[int], transform: ImageTransform, side: int) -> Draws:
        """Draw how each picture is changed, from its seed alone.

        Args:
            seeds: A number from 0 on for each picture.
            transform: What pictures are seen through without augmentation.
            side: The canvas' side, in pixels.
        """
        drawn = _uniform(seeds)
        still = np.zeros(len(seeds))
        angle = self.rotation * (2 * drawn["angle"] - 1)
        zoom = 1 + (self.max_zoom - 1) * drawn["zoom"]
        if self.crop_scale:
            area = _between(self.crop_scale, drawn["area"])
            seen = _sides(area, _CROP_RATIOS, drawn["ratio"])
        else:
            seen = np.stack([still + transform.crop] * 2, axis=1)
        window = seen / zoom[:, None]
        moves = self.shift or self.crop_scale is not None
        places = np.stack([drawn["across"], drawn["down"]], axis=1)
        operation, magnitude = _trivial(drawn)
        return Draws(
            mirrored=(drawn["mirror"] < 0.5) & (self.flip or self.symmetries),
            turns=(4 * drawn["turns"] * self.symmetries).astype(np.int64),
            angle=angle,
            zoom=zoom,
            window=window,
            centre=_centres(window, angle, places, side) if moves else np.full_like(window, 0.5),
            brightness=1 + self.lighting * (2 * drawn["brightness"] - 1),
            contrast=1 + self.lighting * (2 * drawn["contrast"] - 1),
            operation=operation if self.trivial else np.full(len(seeds), "Identity"),
            magnitude=magnitude if self.trivial else still,
            erased=_rectangles(drawn) * (drawn["erase"] < self.erasing)[:, None],
        )

    def apply(self, canvas: Pixels, seeds: Sequence[int], transform: ImageTransform) -> Pixels:
        """Change each picture as its seed says.

        Args:
            canvas: Pictures that went through :meth:`canvas`, uint8 (n, side, side, 3).
            seeds: A number from 0 on for each picture, such as one made from the seed of the run,
                the picture and the epoch.
            transform: What pictures are seen through without augmentation.

        Returns:
            uint8 (n, size, size, 3) for the transform's size. Without any change it is the middle
            of the canvas: what the transform would have given, to a few levels.
        """
        if len(seeds) != len(canvas):
            raise ValueError(f"{len(canvas)} pictures and {len(seeds)} seeds")
        size = transform.size
        draws = self.draw(seeds, transform, canvas.shape[1])
        scale, offset = _lighting(canvas, draws) if self.lighting else (None, None)
        result = np.empty((len(canvas), size, size, 3), dtype=np.uint8)
        _sample(canvas, draws.maps(size), scale, offset, result)
        if self.trivial:
            _recolour(result, draws)
        if self.erasing:
            _erase(result, draws, transform)
        return result

    def mix(self, inputs: "Tensor", seed: int) -> "tuple[Tensor, Tensor | None]":
        """Mix each row of a batch with the row before it (the first with the last).

        A loss is mixed alike: with ``own`` for the second value returned, it is
        ``own * loss(outputs, y) + (1 - own) * loss(outputs, y.roll(1, 0))`` for each row.
        The pairing is fixed, so batches have to be in random order.

        Args:
            inputs: Pictures, floating-point (n, channels, height, width), normalised or with the
                levels of bytes, or for mixup any rows (n, …); left as they are.
            seed: A number from 0 on for this batch.

        Returns:
            The mixed rows, and the share of each that is its own, float32 (n,) on the same device.
            ``(inputs, None)`` where nothing is mixed, as with fewer than two rows.

        Raises:
            SpecError: For cutmix the inputs are no pictures.

        >>> import torch
        >>> rows = torch.tensor([0.0, 1.0, 1.0]).reshape(3, 1, 1, 1)
        >>> mixed, own = Augmentation(mixup=0.4).mix(rows, seed=1)
        >>> bool(torch.isclose(mixed[1, 0, 0, 0], own[1]))
        True
        """
        if not self.mixes or len(inputs) < 2:
            return inputs, None
        self.check_mixing(tuple(inputs.shape[1:]))
        import torch

        random = _generator(seed)
        first = bool(random.random() < 0.5)
        cuts = self.cutmix > 0 and (first or not self.mixup)
        alpha = self.cutmix if cuts else self.mixup
        own = float(random.beta(alpha, alpha))
        neighbours = inputs.roll(1, 0)
        if cuts:
            height, width = inputs.shape[-2:]
            left, top, right, bottom = _cut(own, random.random(2), width, height)
            mixed = inputs.clone()
            mixed[..., top:bottom, left:right] = neighbours[..., top:bottom, left:right]
            own = 1 - (right - left) * (bottom - top) / (width * height)
        else:
            mixed = neighbours.mul_(1 - own).add_(inputs * own)
        return mixed, torch.full((len(inputs),), own, dtype=torch.float32, device=inputs.device)

    def check_mixing(self, shape: tuple[int, ...]) -> None:
        """Refuse inputs of a shape that :meth:`mix` cannot mix.

        Raises:
            SpecError: For cutmix they are no pictures.
        """
        if self.cutmix and len(shape) < 3:
            fault = f"cutmix needs pictures with height and width, not {shape}; mixup takes any"
            raise SpecError(_CANNOT_BE, [fault])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        document = {"version": VERSION, **dataclasses.asdict(self)}
        document["crop_scale"] = None if self.crop_scale is None else list(self.crop_scale)
        return document


def _changed(start: Augmentation, changes: dict[str, Any], faults: list[str]) -> Augmentation:
    """The same with fields changed; raises with the faults so far and all that are found."""
    known = [field.name for field in dataclasses.fields(start)]
    for name in changes:
        if name not in known:
            faults.append(f"there is no field {name!r}{did_you_mean(name, known)}")
    try:
        changed = dataclasses.replace(start, **{k: v for k, v in changes.items() if k in known})
    except SpecError as error:
        raise SpecError(_CANNOT_BE, [*faults, *error.faults]) from None
    if faults:
        raise SpecError(_CANNOT_BE, faults)
    return changed


def _is_pair_of_shares(value: Any) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(is_number(share) for share in value) and 0 < value[0] <= value[1] <= 1


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=int(seed)))


def _uniform(seeds: Sequence[int]) -> dict[str, Numbers]:
    """For each name in ``_DRAWN`` a number in [0, 1) for each picture, (n,)."""
    rows = [_generator(seed).random(len(_DRAWN)) for seed in seeds]
    columns = np.array(rows).reshape(len(rows), len(_DRAWN)).T
    return dict(zip(_DRAWN, columns, strict=True))


def _between(limits: tuple[float, float], share: Numbers) -> Numbers:
    return limits[0] + (limits[1] - limits[0]) * share


def _sides(area: Numbers, ratios: tuple[float, float], share: Numbers) -> Numbers:
    """Width and height, (n, 2), of rectangles within the unit square.

    Their ratio is uniform on a logarithmic scale between the two given, as far as they fit: width
    = sqrt(area * ratio) and height = sqrt(area / ratio) are at most 1.
    """
    low = np.log(np.maximum(ratios[0], area))
    high = np.log(np.minimum(ratios[1], 1 / area))
    ratio = np.exp(low + (high - low) * share)
    return np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1)


def _centres(window: Numbers, angle: Numbers, places: Numbers, side: int) -> Numbers:
    """Where windows lie, (n, 2): in the canvas, as far as they fit when rotated.

    They lie whole pixels off the middle: where nothing else moves pixels, none is interpolated.
    """
    cosine, sine = (abs(f(np.radians(angle)))[:, None] for f in (np.cos, np.sin))
    room = np.maximum(0, (1 - window * cosine - window[:, ::-1] * sine) / 2) * side
    most = np.floor(room + 1e-6)
    return 0.5 + np.clip(np.rint(room * (2 * places - 1)), -most, most) / side


def _rectangles(drawn: dict[str, Numbers]) -> Numbers:
    """Rectangles to be erased: left, top, width and height as shares, (n, 4)."""
    sides = _sides(
        _between(_ERASED_AREA, drawn["erased area"]), _ERASED_RATIOS, drawn["erased ratio"]
    )
    places = np.stack([drawn["erased across"], drawn["erased down"]], axis=1)
    return np.concatenate([(1 - sides) * places, sides], axis=1)


def _trivial(drawn: dict[str, Numbers]) -> tuple[NDArray[np.str_], Numbers]:
    """TrivialAugmentWide's operations and their magnitudes, each (n,)."""
    number = (len(_OPERATIONS) * drawn["operation"]).astype(int)
    weakest, strongest, signed = np.array(list(_OPERATIONS.values()), dtype=float)[number].T
    strength = np.floor(_STRENGTHS * drawn["strength"]) / (_STRENGTHS - 1)
    sign = np.where((signed > 0) & (drawn["sign"] < 0.5), -1, 1)
    return np.array(list(_OPERATIONS))[number], sign * _between((weakest, strongest), strength)


def _matrices(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any]) -> Numbers:
    """The matrices ((a, b), (c, d)), (n, 2, 2)."""
    return np.stack([a, b, c, d], axis=1).reshape(len(a), 2, 2).astype(float)


def _lighting(canvas: Pixels, draws: Draws) -> tuple[Numbers, Numbers]:
    """Brightness, then contrast about the mean level, as level * scale + offset; each (n,).

    The mean is taken over every fourth pixel, and its sum is over whole numbers: to the bit the
    same, whatever the order.
    """
    some = canvas[:, ::4, ::4]
    mean = some.sum(axis=(1, 2), dtype=np.int64) @ _GREY / (some.shape[1] * some.shape[2])
    scale = draws.brightness * draws.contrast
    return scale, draws.brightness * (1 - draws.contrast) * mean


def _sample(
    canvas: Pixels, maps: Numbers, scale: Numbers | None, offset: Numbers | None, result: Pixels
) -> None:
    """Bilinear samples of the canvas, changed to level * scale + offset, into ``result``.

    A product and a sum are separate steps: fused ones would round differently where a vector
    instruction ends, which depends on the neighbours in the batch.
    """
    import torch
    from torch.nn.functional import grid_sample

    size = result.shape[1]
    places = torch.from_numpy(((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32))
    for start in range(0, len(canvas), _CHUNK):
        some = slice(start, start + _CHUNK)
        affine = torch.from_numpy(maps[some].astype(np.float32))
        across = affine[:, :, 0, None] * places + affine[:, :, 2, None]
        down = affine[:, :, 1, None] * places
        grid = across[:, :, None, :] + down[:, :, :, None]
        levels = grid_sample(
            torch.from_numpy(canvas[some].astype(np.float32, order="C")).permute(0, 3, 1, 2),
            grid.permute(0, 2, 3, 1),
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        if scale is not None and offset is not None:
            factor, added = (
                torch.from_numpy(numbers[some].astype(np.float32))[:, None, None, None]
                for numbers in (scale, offset)
            )
            levels.mul_(factor).add_(added).clamp_(0, 255)
        # Copying to uint8 cuts the fraction off, so half a level rounds.
        torch.from_numpy(result[some]).copy_(levels.add_(0.5).permute(0, 2, 3, 1))


def _recolour(pictures: Pixels, draws: Draws) -> None:
    """TrivialAugmentWide's operations on colours, in place."""
    import torch

    functions = _colour_operations()
    for picture, operation, magnitude in zip(
        pictures, draws.operation, draws.magnitude, strict=True
    ):
        if operation in functions:
            image = torch.from_numpy(picture).permute(2, 0, 1)
            changed = functions[operation](image, float(magnitude))
            picture[:] = changed.permute(1, 2, 0).numpy()


def _colour_operations() -> "dict[str, Callable[[Tensor, float], Tensor]]":
    from torchvision.transforms.v2 import functional

    return {
        "Brightness": lambda image, by: functional.adjust_brightness(image, 1 + by),
        "Color": lambda image, by: functional.adjust_saturation(image, 1 + by),
        "Contrast": lambda image, by: functional.adjust_contrast(image, 1 + by),
        "Sharpness": lambda image, by: functional.adjust_sharpness(image, 1 + by),
        "Posterize": lambda image, bits: functional.posterize(image, round(bits)),
        "Solarize": lambda image, share: functional.solarize(image, 255 * share),
        "AutoContrast": lambda image, _: functional.autocontrast(image),
        "Equalize": lambda image, _: functional.equalize(image),
    }


def _erase(pictures: Pixels, draws: Draws, transform: ImageTransform) -> None:
    """Paint rectangles in the transform's mean colour, which normalising brings to 0; in place."""
    colour = np.rint(255 * np.array(transform.mean)).clip(0, 255)
    for picture, rectangle in zip(pictures, draws.erased, strict=True):
        left, top, width, height = np.rint(transform.size * rectangle).astype(int)
        picture[top : top + height, left : left + width] = colour


def _cut(own: float, middle: Numbers, width: int, height: int) -> tuple[int, int, int, int]:
    """CutMix's rectangle: left, top, right and bottom, in pixels.

    Its sides are sqrt(1 - own) of the picture's, about a middle anywhere in it; what lies outside
    is cut off.
    """
    half = 0.5 * math.sqrt(1 - own)
    x, y = int(width * middle[0]), int(height * middle[1])
    across, down = int(half * width), int(half * height)
    return max(x - across, 0), max(y - down, 0), min(x + across, width), min(y + down, height)


AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.name: augmentation
    for augmentation in (
        Augmentation("none"),
        Augmentation("basic", flip=True, shift=True, max_zoom=1.1),
        Augmentation("side_on", flip=True, shift=True, rotation=10, lighting=0.1),
        Augmentation("top_down", flip=True, symmetries=True, shift=True, rotation=10, lighting=0.1),
        Augmentation("random_resized_crop", flip=True, crop_scale=(0.35, 1)),
        Augmentation("trivial_augment", flip=True, shift=True, trivial=True),
    )
}
"""The augmentations that have a name; "none" changes nothing.

"basic" is a small random crop and a mirror; "side_on" suits things that stand (animals, people,
streets), "top_down" what is seen from above (satellites, microscopes); the last two are the field's
own.
"""

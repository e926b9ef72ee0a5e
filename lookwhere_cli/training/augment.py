"""Random changes to a picture, with the same geometry for its mask, boxes and regions; from a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.training.object_masks import cut_rasters
from lookwhere_cli.training.sample import Sample

KEPT = 0.5
"""Share of an object that must be inside of a crop for the object to be there."""
GREY = 128
"""Value of an erased rectangle, 0..255: about the mean of photographs."""


@dataclass(frozen=True)
class Augmentation:
    """How samples are changed at random."""

    area: tuple[float, float] = (0.3, 1.0)
    """Least and largest share of the picture's area that a crop covers. Above 1 all of it, but in a part of a mosaic:
    there the shares are those of a view that is as much magnified as the part."""
    jitter: float = 4 / 3
    """A crop's aspect differs from the grid's by up to this factor, so that it is squeezed or stretched a little."""
    flip: bool = True
    """True to mirror half of the samples left to right; not for pictures such as arrows, where the side matters."""
    turn: bool = False
    """True to mirror half of the samples upside down, too, and to swap rows and columns of half of those on square
    grids, so that all eight turns occur: for pictures without an up, such as boards, slides and aerial photographs."""
    colour: float = 0.3
    """Largest change of brightness, contrast and saturation, as a share of each, 0..1."""
    magnitude: int = 0
    """RandAugment's magnitude, 0..30; 0 for none. It moves pixels, so it applies only to samples without masks, boxes
    and regions."""
    mosaic: float = 0.0
    """Probability of a view that shows parts of four pictures; see `mosaic`. For masks and boxes only."""
    erase: float = 0.0
    """Probability of RandomErasing, which applies to the same samples: it would hide what masks and boxes mark."""


def augmented(sample: Sample, size: tuple[int, int], recipe: Augmentation, seed: int) -> Sample:
    """Return a random view of the sample at `size` (height, width), from the seed alone.

    Boxes are cut to the crop, and dropped outside of it; objects also if less than half of them is left. Not for use
    in several threads: see `seeded`.
    """
    import_timm()  # makes torchvision importable beside a CPU-only torch
    from torchvision.transforms import v2

    shape = size[1] / size[0]
    area = min(1.0, recipe.area[0]), min(1.0, recipe.area[1])
    crop = v2.RandomResizedCrop(size, scale=area, ratio=(shape / recipe.jitter, shape * recipe.jitter))
    is_bare = all(part is None for part in sample[1:])
    with seeded(seed):
        if recipe.turn and size[0] == size[1] and torch.rand(()) < 0.5:
            sample = transposed(sample)
        box = crop.make_params([sample.picture])
        view = _resized_crop(sample, (box["top"], box["left"], box["height"], box["width"]), size)
        return _as_tensors(v2.Compose(_steps(recipe, is_bare))(_as_tv_tensors(view)))


def fitted(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the whole sample resized to `size` (height, width); it may share memory with the argument."""
    height, width = sample.picture.shape[1:]
    return _resized_crop(sample, (0, 0, height, width), size)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw from `seed` within the block, and restore its generator after it.

    torchvision knows only the process's own generator, so a process must run one augmentation at a time: use processes,
    not threads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also restart the GPUs' generators
        yield


def rand_augment(magnitude: int) -> torch.nn.Module:
    """Return RandAugment with two operations, by torchvision; magnitude 0..30."""
    import_timm()
    from torchvision.transforms import v2

    return v2.RandAugment(num_ops=2, magnitude=magnitude, interpolation=v2.InterpolationMode.BILINEAR)


def colour_jitter(most: float) -> torch.nn.Module:
    """Return changes of brightness, contrast and saturation by at most a share of each, 0..1, by torchvision."""
    import_timm()
    from torchvision.transforms import v2

    return v2.ColorJitter(most, most, most)


def _steps(recipe: Augmentation, is_bare: bool) -> list[torch.nn.Module]:
    """Return what follows the crop. is_bare: the sample has no mask, boxes and regions."""
    from torchvision.transforms import v2

    steps: list[torch.nn.Module] = [colour_jitter(recipe.colour)]
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.turn:
        steps.append(v2.RandomVerticalFlip())
    if recipe.magnitude and is_bare:
        steps.append(rand_augment(recipe.magnitude))
    if recipe.erase and is_bare:
        steps.append(v2.RandomErasing(recipe.erase, value=GREY))
    return steps


def _resized_crop(sample: Sample, crop: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    """Cut `crop` (top, left, height, width) out of all parts and resize it to `size`."""
    import_timm()
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    def resize_mask(mask: UInt8[Tensor, "height width"]) -> UInt8[Tensor, "high wide"]:
        """Resize by the nearest pixel's centre."""
        # Not as torchvision resizes its Mask: that takes the pixel to the upper left, up to half a pixel off.
        return F.resized_crop(mask[None], *crop, size, interpolation=InterpolationMode.NEAREST_EXACT)[0]

    boxes, objects = _as_tv_tensors(sample).boxes, sample.objects
    stays = None if objects is None else _half_stays(objects, crop)
    sides = torch.tensor([crop[1], crop[0]] * 2), torch.tensor([size[1] / crop[3], size[0] / crop[2]] * 2)
    cut = None if objects is None else _cut_boxes((objects[stays] - sides[0]) * sides[1], size)
    rasters = sample.rasters
    if rasters is not None and objects is not None and cut is not None:
        rasters = cut_rasters(rasters[stays], objects[stays], cut / sides[1] + sides[0])
    return Sample(
        F.resized_crop(sample.picture, *crop, size, interpolation=InterpolationMode.BICUBIC, antialias=True),
        None if sample.mask is None else resize_mask(sample.mask),
        None if boxes is None else _non_empty(F.resized_crop(boxes, *crop, size).as_subclass(Tensor)),
        None if sample.regions is None else resize_mask(sample.regions),
        cut,
        None if sample.kinds is None else sample.kinds[stays],
        rasters,
    )


def transposed(sample: Sample) -> Sample:
    """Swap rows and columns of all parts."""
    return Sample(
        sample.picture.mT,
        None if sample.mask is None else sample.mask.mT,
        None if sample.boxes is None else sample.boxes[:, [1, 0, 3, 2]],
        None if sample.regions is None else sample.regions.mT,
        None if sample.objects is None else sample.objects[:, [1, 0, 3, 2]],
        sample.kinds,
        None if sample.rasters is None else sample.rasters.mT,
    )


def _half_stays(boxes: Float[Tensor, "boxes 4"], crop: tuple[int, int, int, int]) -> Bool[Tensor, " boxes"]:
    """Return which boxes have at least half of their area inside the crop (top, left, height, width)."""
    top, left, height, width = crop
    moved = boxes - torch.tensor([left, top] * 2)
    return _areas(_cut_boxes(moved, (height, width))) >= KEPT * _areas(boxes)


def _cut_boxes(boxes: Float[Tensor, "boxes 4"], size: tuple[int, int]) -> Float[Tensor, "boxes 4"]:
    """Cut boxes to a picture of `size` (height, width); a box outside has no area."""
    return boxes.clamp(min=0).minimum(torch.tensor([size[1], size[0]] * 2))


def _areas(boxes: Float[Tensor, "boxes 4"]) -> Float[Tensor, " boxes"]:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def _non_empty(boxes: Float[Tensor, "boxes 4"]) -> Float[Tensor, "rest 4"]:
    """Return the boxes with an area. torchvision's own function would also drop those below one pixel."""
    return boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]


def _as_tv_tensors(sample: Sample) -> Sample:
    """Return the sample in torchvision's tensor types, from which its transforms know what each part is."""
    from torchvision import tv_tensors

    picture, mask, boxes, regions, objects, kinds, rasters = sample
    frame = (picture.shape[1], picture.shape[2])
    return Sample(
        tv_tensors.Image(picture),
        None if mask is None else tv_tensors.Mask(mask),
        None if boxes is None else tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=frame),
        None if regions is None else tv_tensors.Mask(regions),
        None if objects is None else tv_tensors.BoundingBoxes(objects, format="XYXY", canvas_size=frame),
        kinds,
        None if rasters is None else tv_tensors.Mask(rasters),  # a box and what is in it are mirrored alike
    )


def _as_tensors(sample: Sample) -> Sample:
    picture, *others = sample
    return Sample(picture.as_subclass(Tensor), *(None if part is None else part.as_subclass(Tensor) for part in others))

"""Random changes to a picture with its mask, its boxes and where to look, all kept in step; from a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.training.sample import Sample

GREY = 128
"""What an erased rectangle is filled with, 0..255: about what pictures average to, so it says nothing."""


@dataclass(frozen=True)
class Augmentation:
    """How samples are changed."""

    area: tuple[float, float] = (0.3, 1.0)
    """A crop's share of the picture's area."""
    jitter: float = 4 / 3
    """A crop's shape differs from the wanted one by up to this factor, so that it is squeezed or stretched a little."""
    flip: bool = True
    """Left to right, every second time. Not where left and right mean something, as arrows on signs do."""
    colour: float = 0.3
    """Brightness, contrast and saturation change by up to this share of theirs, 0..1."""
    magnitude: int = 0
    """RandAugment's, 0..30; 0 leaves it out. It moves pixels, so only for samples that are a picture alone."""
    erase: float = 0.0
    """Probability of RandomErasing; likewise for pictures alone: it would hide what mask and boxes tell."""


def augmented(sample: Sample, size: tuple[int, int], recipe: Augmentation, seed: int) -> Sample:
    """A random view of the sample at `size` (height, width), from the seed alone.

    Boxes are cut to the crop; those outside are dropped, so there may be none left. See `seeded` about threads.
    """
    import_timm()  # makes torchvision importable beside a CPU-only torch
    from torchvision.transforms import v2

    shape = size[1] / size[0]
    crop = v2.RandomResizedCrop(size, scale=recipe.area, ratio=(shape / recipe.jitter, shape * recipe.jitter))
    alone = sample.mask is None and sample.boxes is None and sample.regions is None
    with seeded(seed):
        drawn = crop.make_params([sample.picture])
        view = _resized(sample, (drawn["top"], drawn["left"], drawn["height"], drawn["width"]), size)
        return _plain(v2.Compose(_steps(recipe, alone))(_typed(view)))


def fitted(sample: Sample, size: tuple[int, int]) -> Sample:
    """The whole sample, squeezed or stretched to `size` (height, width). May share memory with the one given."""
    height, width = sample.picture.shape[1:]
    return _resized(sample, (0, 0, height, width), size)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw from `seed`, and afterwards go on as if nothing had been drawn.

    torchvision knows only the process's own generator: run one augmentation at a time in a process. Processes may work
    beside each other, threads may not.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also restart the GPUs' generators
        yield


def rand_augment(magnitude: int) -> torch.nn.Module:
    """RandAugment of two operations, by torchvision; magnitude 0..30."""
    import_timm()
    from torchvision.transforms import v2

    return v2.RandAugment(num_ops=2, magnitude=magnitude, interpolation=v2.InterpolationMode.BILINEAR)


def _steps(recipe: Augmentation, alone: bool) -> list[torch.nn.Module]:
    """What follows the crop. `alone`: the sample is a picture without mask, boxes or look."""
    from torchvision.transforms import v2

    steps: list[torch.nn.Module] = [v2.ColorJitter(recipe.colour, recipe.colour, recipe.colour)]
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.magnitude and alone:
        steps.append(rand_augment(recipe.magnitude))
    if recipe.erase and alone:
        steps.append(v2.RandomErasing(recipe.erase, value=GREY))
    return steps


def _resized(sample: Sample, crop: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    """Cut out `crop` (top, left, height, width) of all parts and bring it to `size`."""
    import_timm()
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    def labels(mask: UInt8[Tensor, "height width"]) -> UInt8[Tensor, "high wide"]:
        # Not as torchvision's Mask, which takes the pixel to the upper left, up to half a pixel off the picture's.
        return F.resized_crop(mask[None], *crop, size, interpolation=InterpolationMode.NEAREST_EXACT)[0]

    boxes = _typed(sample).boxes
    return Sample(
        F.resized_crop(sample.picture, *crop, size, interpolation=InterpolationMode.BICUBIC, antialias=True),
        None if sample.mask is None else labels(sample.mask),
        None if boxes is None else _some(F.resized_crop(boxes, *crop, size).as_subclass(Tensor)),
        None if sample.regions is None else labels(sample.regions),
    )


def _some(boxes: Float[Tensor, "boxes 4"]) -> Float[Tensor, "some 4"]:
    """The boxes that hold anything. torchvision's own choice would also drop those below a pixel."""
    return boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]


def _typed(sample: Sample) -> Sample:
    """The sample in torchvision's own tensor types, by which its transforms know what to do with each part."""
    from torchvision import tv_tensors

    picture, mask, boxes, regions = sample
    frame = (picture.shape[1], picture.shape[2])
    return Sample(
        tv_tensors.Image(picture),
        None if mask is None else tv_tensors.Mask(mask),
        None if boxes is None else tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=frame),
        None if regions is None else tv_tensors.Mask(regions),
    )


def _plain(sample: Sample) -> Sample:
    picture, *others = sample
    return Sample(picture.as_subclass(Tensor), *(None if part is None else part.as_subclass(Tensor) for part in others))

"""The options of `lookwhere train`, by panel."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DATA, MODEL, LOOK, AUGMENT, OPTIMISE = "Data", "Model", "Where to look", "Augmentation", "Optimisation"


def _option(panel: str | None, help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **({"show_default": True} | more))


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="A folder per class, a CSV, or images/ and masks/.", show_default=False)
]
Out = Annotated[Path, _option(None, "The model's folder; a run stopped there is taken up.", metavar="DIR")]
Epochs = Annotated[int, _option(None, "Times through the pictures.", metavar="N", min=1)]

Classes = Annotated[Path | None, _option(DATA, "A class name per line, in the order of indices.", metavar="FILE")]
LabelColumn = Annotated[str | None, _option(DATA, "Of the CSV.", metavar="NAME")]
MultiLabel = Annotated[bool, _option(DATA, "Several labels to a picture.", "--multi-label")]
ValShare = Annotated[float, _option(DATA, "Held back, where the data have no split.", metavar="P", min=0, max=1)]
Group = Annotated[str | None, _option(DATA, "Column, or pattern in names: what stays together.", metavar="NAME")]
HoldOut = Annotated[list[str] | None, _option(DATA, "A group to hold back; may be repeated.", metavar="GROUP")]
SplitFile = Annotated[Path | None, _option(DATA, "A split.csv to keep to.", metavar="FILE")]
Part = Annotated[
    Literal["train", "val", "all"] | None,
    _option(DATA, "train, val or all. (default: val, if any)", metavar="PART", show_default=False),
]

Start = Annotated[str, _option(MODEL, "What to start from.", "--model", "-m", metavar="NAME", envvar="LOOKWHERE_MODEL")]
Method = Annotated[
    Literal["lookwhere", "cropr", "dvt", "full"],
    _option(MODEL, "lookwhere; cropr: drops cells; dvt: a cascade; full: all cells.", metavar="NAME"),
]
Teacher = Annotated[
    str | None,
    _option(MODEL, "Learn its answers, not the labels. A model of --method full.", metavar="NAME", show_default=False),
]
Exits = Annotated[
    str | None,
    _option(MODEL, "dvt's grids: 7,10,14 or 6x8,12x16.", metavar="N,N,...", show_default=False),
]
Size = Annotated[
    int | None, _option(MODEL, "About PX x PX pixels. (default: the start's)", metavar="PX", show_default=False)
]
Thumbnail = Annotated[
    int | None, _option(MODEL, "The selector's. (default: the start's)", metavar="PX", show_default=False)
]
Coarse = Annotated[int, _option(MODEL, "All of it, read coarsely beside the cells; 0: no.", metavar="PX", min=0)]
Depth = Annotated[
    int | None, _option(MODEL, "The selector's blocks. (default: the start's)", metavar="N", min=1, show_default=False)
]
Prune = Annotated[
    str | None,
    _option(
        MODEL,
        "Drop cells on the way: 50% (of MACs), or 8. (cropr: 50%)",
        metavar="AMOUNT",
        show_default=False,
    ),
]
PruneFusion = Annotated[bool, _option(MODEL, "They come back at the end, as for masks.", "--prune-fusion")]
Pool = Annotated[Literal["cls", "max"], _option(MODEL, "The head sees cls, or the max over cells.", metavar="WHAT")]
Decoder = Annotated[int, _option(MODEL, "Masks: its channels; 0: linear.", metavar="N", min=0)]

Patches = Annotated[str, _option(LOOK, "Cells read: 25%, 94, or a range, 10%-50%.", "--patches", "-k", metavar="K[-K]")]
DefaultK = Annotated[
    str | None, _option(LOOK, "The model's own k. (default: the range's end)", metavar="K", show_default=False)
]
SecondLook = Annotated[
    str | None,
    _option(LOOK, "Cells that a second look adds: 25%, or 10%-25%.", metavar="K[-K]", show_default=False),
]
Look = Annotated[Path | None, _option(LOOK, "Boxes (CSV) or masks (folder) that tell it.", metavar="PATH")]
TrainSelector = Annotated[bool, _option(LOOK, "Let the task move the map.", "--train-selector")]

Area = Annotated[tuple[float, float], _option(AUGMENT, "A crop's share.", metavar="LOW HIGH")]
Flip = Annotated[bool, _option(AUGMENT, "Left to right.", "--flip/--no-flip")]
Colour = Annotated[float, _option(AUGMENT, "Brightness, contrast, saturation.", metavar="P", min=0, max=1)]
Augment = Annotated[int, _option(AUGMENT, "RandAugment's magnitude, 0-30.", metavar="N", min=0, max=30)]
Erase = Annotated[float, _option(AUGMENT, "Share with a part erased.", metavar="P", min=0, max=1)]

Batch = Annotated[int, _option(OPTIMISE, "Pictures in a step, over all processes.", metavar="N", min=1)]
Rate = Annotated[float, _option(OPTIMISE, "Peak learning rate.", metavar="R", min=0)]
LayerDecay = Annotated[float, _option(OPTIMISE, "Its factor per earlier block.", metavar="F", min=0, max=1)]
Balance = Annotated[float, _option(OPTIMISE, "How much rare classes gain; 0: none.", metavar="P", min=0, max=1)]
Average = Annotated[float, _option(OPTIMISE, "Decay of averaged weights.", metavar="F", min=0, max=1)]
Patience = Annotated[int, _option(OPTIMISE, "Epochs without gain that end it; 0: none do.", metavar="N", min=0)]
Seed = Annotated[int, _option(OPTIMISE, "Everything random follows it.", metavar="N", min=0)]
Device = Annotated[str, _option(OPTIMISE, "auto, cpu, cuda, mps.", metavar="NAME", envvar="LOOKWHERE_DEVICE")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], _option(OPTIMISE, "auto: bfloat16 if it pays.", metavar="NAME")
]
Workers = Annotated[int, _option(OPTIMISE, "Processes that read.", metavar="N", min=0)]

"""The options of `lookwhere train`, by panel."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DATA, MODEL, LOOK, AUGMENT, OPTIMISE = "Data", "Model", "Where to look", "Augmentation", "Optimisation"


def _option(panel: str | None, help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **({"show_default": True} | more))


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="A folder per class, a CSV, images/ with masks/, or boxes.", show_default=False
    ),
]
Out = Annotated[Path, _option(None, "Folder for the model; a run in it resumes.", metavar="DIR")]
Epochs = Annotated[int, _option(None, "Passes over the training pictures.", metavar="N", min=1)]

Classes = Annotated[Path | None, _option(DATA, "Class names, one per line, in the order of indices.", metavar="FILE")]
LabelColumn = Annotated[str | None, _option(DATA, "CSV column of the labels.", metavar="NAME")]
LabelMap = Annotated[
    Path | None, _option(DATA, "Names of boxes' classes: a CSV of value and name; *: all others.", metavar="FILE")
]
Pictures = Annotated[
    Path | None,
    _option(
        DATA, "All pictures of a CSV of boxes. (default: pictures.csv beside it)", metavar="FILE", show_default=False
    ),
]
MultiLabel = Annotated[bool, _option(DATA, "Pictures may have several labels.", "--multi-label")]
ValShare = Annotated[
    float, _option(DATA, "Share of validation pictures, if the data have no split.", metavar="P", min=0, max=1)
]
Group = Annotated[
    str | None, _option(DATA, "CSV column or file name pattern of groups that no split may divide.", metavar="NAME")
]
HoldOut = Annotated[list[str] | None, _option(DATA, "Validate on this group; repeatable.", metavar="GROUP")]
SplitFile = Annotated[Path | None, _option(DATA, "Use the split of this split.csv.", metavar="FILE")]
Part = Annotated[
    Literal["train", "val", "test", "all"] | None,
    _option(DATA, "train, val, test or all. (default: val, if any)", metavar="PART", show_default=False),
]
FailFast = Annotated[bool, _option(DATA, "Stop at the first picture that can't be read.", "--fail-fast")]

Start = Annotated[
    str, _option(MODEL, "Model to start from.", "--model", "-m", metavar="NAME", envvar="LOOKWHERE_MODEL")
]
Method = Annotated[
    Literal["lookwhere", "cropr", "dvt", "full"],
    _option(MODEL, "lookwhere, cropr (prunes), dvt (a cascade), or full (reads all cells).", metavar="NAME"),
]
Teacher = Annotated[
    str | None,
    _option(MODEL, "Learn from this model's answers instead of labels.", metavar="NAME", show_default=False),
]
Exits = Annotated[
    str | None,
    _option(MODEL, "Grids of dvt: 7,10,14 or 6x8,12x16.", metavar="N,N,...", show_default=False),
]
Size = Annotated[
    int | None, _option(MODEL, "About PX x PX pixels. (default: the start's)", metavar="PX", show_default=False)
]
Thumbnail = Annotated[
    int | None,
    _option(MODEL, "Size of the selector's thumbnail. (default: the start's)", metavar="PX", show_default=False),
]
Coarse = Annotated[int, _option(MODEL, "Also read the whole picture at PX x PX px; 0: no.", metavar="PX", min=0)]
Depth = Annotated[
    int | None,
    _option(MODEL, "Blocks of the selector. (default: the start's)", metavar="N", min=1, show_default=False),
]
Prune = Annotated[
    str | None,
    _option(
        MODEL,
        "Prune tokens: to 50% of MACs, or 8 a block. (cropr: 50%)",
        metavar="AMOUNT",
        show_default=False,
    ),
]
PruneFusion = Annotated[
    bool, _option(MODEL, "Return pruned tokens for the last block, as is done for masks.", "--prune-fusion")
]
Pool = Annotated[
    Literal["cls", "max"], _option(MODEL, "What a head of labels reads: cls, or max (over the cells).", metavar="WHAT")
]
Points = Annotated[
    int, _option(MODEL, "Points with boxes along each side of a cell: 1, 2 or 4.", metavar="N", min=1, max=4)
]
Masks = Annotated[bool, _option(MODEL, "Learn masks of objects, too, from their outlines.", "--masks")]
Decoder = Annotated[int, _option(MODEL, "Channels of the decoder of masks; 0: a linear decoder.", metavar="N", min=0)]
Detail = Annotated[
    int, _option(MODEL, "Channels through which the decoder of masks sees pixels; 0: tokens only.", metavar="N", min=0)
]

Patches = Annotated[
    str, _option(LOOK, "Cells to read in training: 25%, 94, or a range, 10%-50%.", "--patches", "-k", metavar="K[-K]")
]
DefaultK = Annotated[
    str | None,
    _option(LOOK, "Cells that the model reads by default. (default: the end of -k)", metavar="K", show_default=False),
]
SecondLook = Annotated[
    str | None,
    _option(
        LOOK, "Train a second look, which adds this many cells: 25%, or a range.", metavar="K[-K]", show_default=False
    ),
]
Look = Annotated[
    Path | None, _option(LOOK, "Regions that train the selector: a CSV of boxes, or a folder of masks.", metavar="PATH")
]
TrainSelector = Annotated[
    bool | None,
    _option(
        LOOK,
        "Train the selector without --look: on boxes, class boundaries or attention. (default: on boxes)",
        "--train-selector/--keep-selector",
        show_default=False,
    ),
]

Area = Annotated[tuple[float, float], _option(AUGMENT, "Share of the picture in a crop.", metavar="LOW HIGH")]
Flip = Annotated[bool, _option(AUGMENT, "Mirror half of the pictures.", "--flip/--no-flip")]
Turn = Annotated[bool, _option(AUGMENT, "Also mirror upside down and, square grids, transpose.", "--turn")]
Colour = Annotated[float, _option(AUGMENT, "Change of brightness, contrast, saturation.", metavar="P", min=0, max=1)]
Mosaic = Annotated[
    float,
    _option(AUGMENT, "Share of views of parts of four pictures; for masks and boxes.", metavar="P", min=0, max=1),
]
Augment = Annotated[int, _option(AUGMENT, "Magnitude of RandAugment, 0-30.", metavar="N", min=0, max=30)]
Erase = Annotated[float, _option(AUGMENT, "Share of pictures with an erased part.", metavar="P", min=0, max=1)]

Batch = Annotated[int, _option(OPTIMISE, "Pictures per step, over all processes.", metavar="N", min=1)]
Rate = Annotated[float, _option(OPTIMISE, "Peak learning rate.", metavar="R", min=0)]
LayerDecay = Annotated[
    float, _option(OPTIMISE, "Learning rate of each block over that of the next one.", metavar="F", min=0, max=1)
]
Balance = Annotated[
    float, _option(OPTIMISE, "How much more rare classes count; 0: not at all.", metavar="P", min=0, max=1)
]
Average = Annotated[float, _option(OPTIMISE, "Decay of the weights' average.", metavar="F", min=0, max=1)]
Patience = Annotated[
    int, _option(OPTIMISE, "Epochs without a better score that end the run; 0: none do.", metavar="N", min=0)
]
ValidateEvery = Annotated[int, _option(OPTIMISE, "Epochs from one validation to the next.", metavar="N", min=1)]
Seed = Annotated[int, _option(OPTIMISE, "Seed of everything random.", metavar="N", min=0)]
Device = Annotated[str, _option(OPTIMISE, "auto, cpu, cuda, mps.", metavar="NAME", envvar="LOOKWHERE_DEVICE")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], _option(OPTIMISE, "auto: bfloat16 if faster.", metavar="NAME")
]
Workers = Annotated[int, _option(OPTIMISE, "Processes that prepare batches.", metavar="N", min=0)]

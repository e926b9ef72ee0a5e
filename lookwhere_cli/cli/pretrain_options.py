"""The options of `lookwhere pretrain`, by panel. They are many, since they include the method's ablations."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lookwhere_cli.models.constants import MAX_SPACING

DATA, LOOK, LOSS, OPTIMISE = "Photographs and views", "Where to look", "Losses", "Optimisation"


def _option(panel: str | None, help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **({"show_default": True} | more))


Folders = Annotated[
    list[str], typer.Argument(metavar="FOLDER", help="Photographs; several folders are drawn from evenly.")
]
Teachers = Annotated[
    list[str],
    _option(None, "A timm ViT as NAME, FILE or NAME=FILE; repeat to average several's logits.", metavar="NAME"),
]
Out = Annotated[Path, _option(None, "Folder for the model; an interrupted run in it resumes.", metavar="DIR")]
Init = Annotated[str | None, _option(None, "Start from this model instead of the teacher.", metavar="MODEL")]
Steps = Annotated[int, _option(None, "Training steps.", metavar="N", min=1)]
Batch = Annotated[int, _option(None, "Views per step, over all processes.", metavar="N", min=1)]

Sizes = Annotated[
    list[int] | None,
    _option(
        DATA,
        "Size of the views; repeat to draw from several. (default: the teacher's)",
        metavar="PX",
        show_default=False,
    ),
]
Area = Annotated[tuple[float, float], _option(DATA, "Share of the photograph in a view.", metavar="LOW HIGH")]
Augment = Annotated[int, _option(DATA, "Magnitude of RandAugment, 0-30.", metavar="N", min=0, max=30)]
Squares = Annotated[float, _option(DATA, "Share of steps with square views.", metavar="P", min=0, max=1)]
Colour = Annotated[
    float, _option(DATA, "Change of brightness, contrast, saturation, at most.", metavar="F", min=0, max=1)
]
Mixed = Annotated[float, _option(DATA, "Share of steps with views mixed in pairs.", metavar="P", min=0, max=1)]
FailFast = Annotated[bool, _option(DATA, "Stop at the first picture that can't be read.", "--fail-fast")]

Coarse = Annotated[
    int,
    _option(
        DATA,
        "In half of the steps, also read a thumbnail of PX x PX px where cells are unread; 0: in none.",
        metavar="PX",
        min=0,
    ),
]

Patches = Annotated[
    str, _option(LOOK, "Cells to read, a number drawn from this range in each step.", "--patches", "-k", metavar="N-N")
]
DefaultK = Annotated[
    float, _option(LOOK, "Share of the cells that the model reads by default.", metavar="P", min=0.001, max=1)
]
Thumbnail = Annotated[int, _option(LOOK, "Size of the selector's thumbnail.", metavar="PX")]
Depth = Annotated[int, _option(LOOK, "Blocks of the selector.", metavar="N", min=1)]
Registers = Annotated[
    int,
    _option(LOOK, "Learnt tokens beside the teacher's, so that no cell must serve as one.", metavar="N", min=0, max=4),
]
Prefix = Annotated[
    Literal["add", "replace"],
    _option(LOOK, "How the selector's global tokens reach the extractor: add or replace.", metavar="HOW"),
]
MapQueries = Annotated[
    Literal["cls", "patches", "registers"],
    _option(LOOK, "Tokens whose attention is the teacher's map: cls, patches or registers.", metavar="WHICH"),
]
MapLayers = Annotated[int, _option(LOOK, "Last blocks whose attention is the map; 0: all blocks.", metavar="N", min=0)]
MapSoftmax = Annotated[
    bool, _option(LOOK, "Take the map from attention after softmax, not from its logits.", "--map-softmax")
]
MapSinks = Annotated[
    bool,
    _option(
        LOOK, "Keep the scores of cells where the teacher stores notes, or replace them.", "--map-sinks/--no-map-sinks"
    ),
]
MapSpacing = Annotated[
    float | None,
    _option(
        LOOK,
        "Added to the map at every other cell, so that those that are read lie further apart. (default: that of "
        "--init, or 0)",
        metavar="S",
        min=0,
        max=MAX_SPACING,
    ),
]

Head = Annotated[bool, _option(LOSS, "Give the model a head with the teacher's classes.", "--head/--no-head")]
Labels = Annotated[Path | None, _option(LOSS, "Names of the teacher's classes, one per line.", metavar="FILE")]
ClsWeight = Annotated[float, _option(LOSS, "Weight of the CLS loss.", metavar="W", min=0)]
PatchWeight = Annotated[float, _option(LOSS, "Weight of the patch loss.", metavar="W", min=0)]
MapWeight = Annotated[float, _option(LOSS, "Weight of the map loss.", metavar="W", min=0)]
LogitsWeight = Annotated[float, _option(LOSS, "Weight of the logits loss.", metavar="W", min=0)]
PatchLoss = Annotated[
    Literal["spread", "chosen"],
    _option(LOSS, "What the patch loss compares: all cells (spread), or those read (chosen).", metavar="HOW"),
]

Rate = Annotated[float, _option(OPTIMISE, "Peak learning rate.", metavar="R", min=0)]
LayerDecay = Annotated[
    float, _option(OPTIMISE, "Learning rate of each block over that of the next one.", metavar="F", min=0, max=1)
]
Average = Annotated[float, _option(OPTIMISE, "Decay of the weights' average.", metavar="F", min=0, max=1)]
Seed = Annotated[int, _option(OPTIMISE, "Seed of everything random.", metavar="N", min=0)]
Device = Annotated[str, _option(OPTIMISE, "auto, cpu, cuda, mps.", metavar="NAME", envvar="LOOKWHERE_DEVICE")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], _option(OPTIMISE, "auto: bfloat16 if faster.", metavar="NAME")
]
Workers = Annotated[int, _option(OPTIMISE, "Processes that prepare batches.", metavar="N", min=0)]
SaveEvery = Annotated[int, _option(OPTIMISE, "Steps between checkpoints.", metavar="N", min=1)]

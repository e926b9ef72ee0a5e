"""The options of `lookwhere pretrain`, by panel. They are many: the method's ablations lie here."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DATA, LOOK, LOSS, OPTIMISE = "Photographs and views", "Where to look", "Losses", "Optimisation"


def _option(panel: str | None, help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=True, **more)


Folders = Annotated[list[str], typer.Argument(metavar="FOLDER", help="Photographs; several are drawn from evenly.")]
Teachers = Annotated[
    list[str], _option(None, "A timm ViT, FILE or NAME=FILE; several: logits averaged.", metavar="NAME")
]
Out = Annotated[Path, _option(None, "The model's folder; a run stopped there is taken up.", metavar="DIR")]
Init = Annotated[str | None, _option(None, "Start from this model instead of the teacher.", metavar="MODEL")]
Steps = Annotated[int, _option(None, "Batches to learn from.", metavar="N", min=1)]
Batch = Annotated[int, _option(None, "Views in each, over all processes.", metavar="N", min=1)]

Sizes = Annotated[list[int] | None, _option(DATA, "Repeat to draw from several.", metavar="PX")]
Area = Annotated[tuple[float, float], _option(DATA, "A crop's share.", metavar="LOW HIGH")]
Augment = Annotated[int, _option(DATA, "RandAugment's magnitude, 0-30.", metavar="N", min=0, max=30)]
Mixed = Annotated[float, _option(DATA, "Share of steps mixed in pairs.", metavar="P", min=0, max=1)]

Patches = Annotated[str, _option(LOOK, "Cells kept, drawn each step.", "--patches", "-k", metavar="N-N")]
DefaultK = Annotated[float, _option(LOOK, "Share kept by default.", metavar="P", min=0.001, max=1)]
Thumbnail = Annotated[int, _option(LOOK, "What the selector sees.", metavar="PX")]
Depth = Annotated[int, _option(LOOK, "The selector's blocks.", metavar="N", min=1)]
Prefix = Annotated[Literal["add", "replace"], _option(LOOK, "add or replace: the gist's way.", metavar="HOW")]
MapQueries = Annotated[
    Literal["cls", "patches", "registers"], _option(LOOK, "cls, patches or registers.", metavar="WHICH")
]
MapLayers = Annotated[int, _option(LOOK, "Last blocks averaged; 0: all.", metavar="N", min=0)]
MapSoftmax = Annotated[bool, _option(LOOK, "Attention after softmax.", "--map-softmax")]

Head = Annotated[bool, _option(LOSS, "Keep a labelled teacher's head.", "--head/--no-head")]
Labels = Annotated[Path | None, _option(LOSS, "A class name per line.", metavar="FILE")]
ClsWeight = Annotated[float, _option(LOSS, "Of the CLS loss.", metavar="W", min=0)]
PatchWeight = Annotated[float, _option(LOSS, "Of the patch loss.", metavar="W", min=0)]
MapWeight = Annotated[float, _option(LOSS, "Of the map loss.", metavar="W", min=0)]
LogitsWeight = Annotated[float, _option(LOSS, "Of the loss on logits.", metavar="W", min=0)]
PatchLoss = Annotated[Literal["spread", "chosen"], _option(LOSS, "spread (all) or chosen.", metavar="HOW")]

Rate = Annotated[float, _option(OPTIMISE, "Peak learning rate.", metavar="R", min=0)]
LayerDecay = Annotated[float, _option(OPTIMISE, "Its factor per earlier block.", metavar="F", min=0, max=1)]
Average = Annotated[float, _option(OPTIMISE, "Decay of averaged weights.", metavar="F", min=0, max=1)]
Seed = Annotated[int, _option(OPTIMISE, "Everything random follows it.", metavar="N", min=0)]
Device = Annotated[str, _option(OPTIMISE, "auto, cpu, cuda, mps.", metavar="NAME", envvar="LOOKWHERE_DEVICE")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"], _option(OPTIMISE, "auto: bfloat16 if it pays.", metavar="NAME")
]
Workers = Annotated[int, _option(OPTIMISE, "Processes that read.", metavar="N", min=0)]
SaveEvery = Annotated[int, _option(OPTIMISE, "Steps between checkpoints.", metavar="N", min=1)]

"""One self-contained HTML page of a comparison: table, plot, and the pictures on which methods disagree."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from lookwhere_cli.show.colours import class_colours, colour_of_class
from lookwhere_cli.show.comparison import METHODS, NARROW, WIDE, caption, columns
from lookwhere_cli.show.html import data_uri, picture_uri, render, shrink
from lookwhere_cli.show.pareto import draw_dark_pareto, draw_pareto
from lookwhere_cli.show.scores import TITLES
from lookwhere_cli.show.tables import JsonObject, significant
from lookwhere_cli.text import counted, on_one_line

SIDE = 384  # pixels of a picture's longer side
QUALITY = 82  # of JPEGs
VEIL = 190  # opacity, 0..255, of the black over cells that were not read
DROPPED = 130  # over cells that were read and then dropped
OUTSIDE = 4  # pixels of an outline that lie outside its box, so that small things stay visible
TINT = 150  # of a class's colour

ClassMaps: TypeAlias = Mapping[tuple[str, str], UInt8[np.ndarray, "height width"]]
"""Class indices by path and method, or "truth"; of any size; 255 is no class."""


def comparison_page(results: JsonObject, pictures: Mapping[str, Image.Image], classes: ClassMaps) -> str:
    """Return the page as HTML with its style, script and pictures inside; it loads nothing from a network.

    pictures: RGB, as displayed, by their path in `results`. classes: if the methods segment, their masks; else empty.
    """
    shown, screens = columns(results, WIDE), _screens(results)
    return render(
        "comparison.html.j2",
        data=on_one_line(results["data"]),
        metric=TITLES[results["metric"]],
        caption=caption(results, shown),
        command=on_one_line(results["command"]),
        titles=[(title, screens[title]) for title, _ in shown],
        rows=[
            ([(write(point), screens[title]) for title, write in shown], point["front"]) for point in results["points"]
        ],
        plot=_plot(results, draw_pareto),
        dark_plot=_plot(results, draw_dark_pareto),
        methods=[(answer["method"], METHODS[answer["method"]]) for answer in _first_answers(results)],
        cards=[_card(one, pictures[one["path"]], classes) for one in results["differences"]],
        masks=bool(classes),
        kinds=_kinds(results),
    )


def _screens(results: JsonObject) -> dict[str, str]:
    """Return for each column the kind of screen that it needs: "" (any), "medium" or "wide"."""
    narrow, medium, wide = ([title for title, _ in columns(results, width)] for width in (NARROW - 1, WIDE - 1, WIDE))
    return dict.fromkeys(wide, "wide") | dict.fromkeys(medium, "medium") | dict.fromkeys(narrow, "")


def _first_answers(results: JsonObject) -> Sequence[JsonObject]:
    differences = results["differences"]
    return differences[0]["answers"] if differences else []


def _kinds(results: JsonObject) -> list[tuple[str, str]]:
    """Return the classes of all boxes that are shown, each with its colour for CSS; none for other data."""
    shown = [one for difference in results["differences"] for one in _all_boxes(difference)]
    labels = {one["index"]: one["label"] for one in shown}
    return [(on_one_line(labels[index]), f"rgb{colour_of_class(index)}") for index in sorted(labels)]


def _all_boxes(difference: JsonObject) -> list[JsonObject]:
    """Return the true boxes of a picture, and those that were found."""
    found = [one for answer in difference["answers"] for one in answer.get("boxes", ())]
    return [*(difference.get("boxes") or ()), *found]


def _card(difference: JsonObject, picture: Image.Image, classes: ClassMaps) -> dict[str, Any]:
    small = shrink(picture, SIDE)
    path = difference["path"]
    return {
        "name": on_one_line(path.rpartition("/")[2]),
        "truth": on_one_line(difference["truth"] or ""),
        "size": small.size,
        "source": picture_uri(small, "JPEG", QUALITY),
        "answers": [_answer(answer, classes.get((path, answer["method"]))) for answer in difference["answers"]],
        "true": _true(difference, classes.get((path, "truth"))),
    }


def _true(difference: JsonObject, classes: UInt8[np.ndarray, "height width"] | None) -> dict[str, str] | None:
    """Return what lies over the picture where its true mask or its true boxes are shown; None for labels."""
    if classes is not None:
        return {"title": "true mask", "over": picture_uri(_tinted(classes), "PNG", QUALITY)}
    boxes = difference.get("boxes")
    if boxes is None:
        return None
    over = _boxed(None, boxes, difference["answers"][0]["size"])
    return {"title": counted(len(boxes), "true box", "true boxes"), "over": picture_uri(over, "PNG", QUALITY)}


def _answer(answer: JsonObject, classes: UInt8[np.ndarray, "height width"] | None) -> dict[str, Any]:
    over = _veil(answer) if classes is None else _tinted(classes)
    if "boxes" in answer:
        over = _boxed(over, answer["boxes"], answer["size"])
    return {
        "method": answer["method"],
        "title": METHODS[answer["method"]],
        "setting": answer["setting"],
        "answer": _answer_text(answer),
        "right": answer["right"] > 0.5,
        "read": _cells_text(answer),
        "over": over and picture_uri(over, "PNG", QUALITY),
    }


def _answer_text(answer: JsonObject) -> str:
    if "boxes" in answer:
        return f"{counted(len(answer['boxes']), 'box', 'boxes')}, F1 {answer['right']:.0%}"
    if not answer["labels"]:
        return f"{answer['right']:.0%} right"
    label = answer["labels"][0]
    return f"{on_one_line(label['label'])} {label['probability']:.0%}"


def _cells_text(answer: JsonObject) -> str:
    rows, columns = answer["grid"]
    cells = rows * columns
    read = f"{answer['k']} of {cells} cells" if answer["k"] < cells else f"all {cells} cells"
    kept = f", {len(answer['left'])} to the end" if answer["left"] is not None else ""
    exit_taken = f", exit {answer['exit']}" if answer.get("exit") else ""
    return f"{read}{kept}{exit_taken}, {significant(answer['macs'] / 1e9)} GMACs"


def _veil(answer: JsonObject) -> Image.Image | None:
    """Return a black pixel for each cell, opaque if it was not read, half transparent if it was dropped; None if all
    cells were kept.
    """
    rows, columns = answer["grid"]
    kept = answer["cells"] if answer["left"] is None else answer["left"]
    if not kept or len(kept) == rows * columns:
        return None
    veil = np.zeros((rows, columns, 4), np.uint8)
    veil[..., 3] = VEIL
    for cells, opacity in ((answer["cells"], DROPPED), (kept, 0)):
        row, column = np.array(cells).T
        veil[row, column, 3] = opacity
    return Image.fromarray(veil)


def _boxed(veil: Image.Image | None, boxes: Sequence[JsonObject], shown: tuple[int, int]) -> Image.Image:
    """Return a transparent picture with the veil and the outlines of the boxes, in the colours of their classes.

    shown: the picture's full width and height.
    """
    width, height = shown
    scale = 2 * SIDE / max(width, height)  # twice the picture's pixels: outlines stay thin
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGBA", size) if veil is None else veil.resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for one in reversed(boxes):
        left, top, right, bottom = (edge * scale for edge in one["box"])
        box = (left - OUTSIDE, top - OUTSIDE, right + OUTSIDE, bottom + OUTSIDE)
        for stroke, colour in ((5, (0, 0, 0)), (3, colour_of_class(one["index"]))):
            draw.rectangle(box, outline=colour, width=stroke)
    return canvas


def _tinted(classes: UInt8[np.ndarray, "height width"]) -> Image.Image:
    """Return a transparent picture in the colours of the classes."""
    small = Image.fromarray(classes)
    small.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST)
    index = np.array(small)
    colours = np.zeros((256, 4), np.uint8)
    colours[:255, :3], colours[:255, 3] = class_colours(255), TINT
    return Image.fromarray(colours[index])


def _plot(results: JsonObject, draw: Callable[[JsonObject, BinaryIO], None]) -> str:
    file = io.BytesIO()
    draw(results, file)
    return data_uri(file.getvalue(), "PNG")

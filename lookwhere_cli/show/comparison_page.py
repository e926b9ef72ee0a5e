"""One HTML page that stands by itself: the table, the plot, and the pictures on which methods disagree."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.show.colours import class_colours
from lookwhere_cli.show.comparison import METHODS, Results, caption, columns
from lookwhere_cli.show.pareto import draw
from lookwhere_cli.show.scores import TITLES
from lookwhere_cli.show.tables import significant
from lookwhere_cli.text import on_one_line

WIDTH = 200  # columns of text: room for all of the table
SIDE = 384  # pixels of a picture's longer side
VEIL = 190  # opacity, 0..255, over what was not read
DROPPED = 130  # the same over what was, and was dropped on the way
TINT = 150  # the same of a class's colour

Classes = Mapping[tuple[str, str], NDArray[np.uint8]]
"""By path and method (`truth` among them): each pixel's class, (height, width) of any size; 255 is nothing."""


def comparison_page(results: Results, pictures: Mapping[str, Image.Image], classes: Classes) -> str:
    """Write the page: HTML with its style, script and pictures inside, which asks nothing of any network.

    pictures: RGB, as displayed, by the path that `results` names it by. classes: for masks.
    """
    shown = columns(results, WIDTH)
    environment = Environment(
        loader=PackageLoader("lookwhere_cli.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("comparison.html.j2").render(
        data=on_one_line(results["data"]),
        metric=TITLES[results["metric"]],
        caption=caption(results, shown),
        command=on_one_line(results["command"]),
        titles=[title for title, _ in shown],
        rows=[([text(point) for _, text in shown], point["front"]) for point in results["points"]],
        plot=_plot(results),
        methods=[(answer["method"], METHODS[answer["method"]]) for answer in _first(results)],
        cards=[_card(one, pictures[one["path"]], classes) for one in results["differences"]],
        labels=results["kind"] != "masks",
    )


def _first(results: Results) -> Sequence[Results]:
    differences = results["differences"]
    return differences[0]["answers"] if differences else []


def _card(difference: Results, picture: Image.Image, classes: Classes) -> dict[str, Any]:
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    path = difference["path"]
    truth = classes.get((path, "truth"))
    return {
        "name": on_one_line(path.rpartition("/")[2]),
        "truth": on_one_line(difference["truth"] or ""),
        "size": small.size,
        "source": _data_uri(small, "JPEG"),
        "answers": [_answer(answer, classes.get((path, answer["method"]))) for answer in difference["answers"]],
        "mask": None if truth is None else _data_uri(_tinted(truth), "PNG"),
    }


def _answer(answer: Results, classes: NDArray[np.uint8] | None) -> dict[str, Any]:
    label = answer["labels"][0] if answer["labels"] else None
    said = f"{on_one_line(label['label'])} {label['probability']:.0%}" if label else f"{answer['right']:.0%} right"
    over = _veil(answer) if classes is None else _tinted(classes)
    return {
        "method": answer["method"],
        "title": METHODS[answer["method"]],
        "setting": answer["setting"],
        "said": said,
        "right": answer["right"] > 0.5,
        "read": _read(answer),
        "over": over and _data_uri(over, "PNG"),
    }


def _read(answer: Results) -> str:
    rows, columns = answer["grid"]
    looked = (
        f"{answer['k']} of {rows * columns} cells" if answer["k"] < rows * columns else f"all {rows * columns} cells"
    )
    kept = f", {len(answer['left'])} to the end" if answer["left"] is not None else ""
    left = f", exit {answer['exit']}" if answer.get("exit") else ""
    return f"{looked}{kept}{left}, {significant(answer['macs'] / 1e9)} GMACs"


def _veil(answer: Results) -> Image.Image | None:
    """A pixel for each cell, dark where it was not read, dimmed where it was dropped; None where all are bright."""
    rows, columns = answer["grid"]
    left = answer["cells"] if answer["left"] is None else answer["left"]
    if not left or len(left) == rows * columns:
        return None
    veil = np.zeros((rows, columns, 4), np.uint8)
    veil[..., 3] = VEIL
    for cells, opacity in ((answer["cells"], DROPPED), (left, 0)):
        row, column = np.array(cells).T
        veil[row, column, 3] = opacity
    return Image.fromarray(veil)


def _tinted(classes: NDArray[np.uint8]) -> Image.Image:
    """A transparent picture in the classes' colours."""
    small = Image.fromarray(classes)
    small.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST)
    index = np.array(small)
    colours = np.zeros((256, 4), np.uint8)
    colours[:255, :3], colours[:255, 3] = class_colours(255), TINT
    return Image.fromarray(colours[index])


def _plot(results: Results) -> str:
    file = io.BytesIO()
    draw(results, file)
    return _uri(file.getvalue(), "png")


def _data_uri(picture: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    picture.save(file, kind, quality=82, optimize=True)
    return _uri(file.getvalue(), kind.lower())


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

"""The results of `lookwhere evaluate` as a table, for the terminal or as Markdown."""

from collections.abc import Callable, Mapping, Sequence

from lookwhere_cli.show.tables import (
    Column,
    JsonObject,
    interval,
    markdown_table,
    markdown_text,
    milliseconds,
    percent,
    significant,
)
from lookwhere_cli.text import counted, on_one_line

TITLES = {
    "top1": "top-1",
    "top5": "top-5",
    "ece": "ECE",
    "map": "mAP",
    "f1": "F1",
    "miou": "mIoU",
    "pixel_accuracy": "pixels",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap33": "AP33",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar": "AR",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "iou": "IoU",
}
"""The titles of metrics; of each kind of data, the main one comes first."""
INTERVALS = {"top1": "Wilson's method"}
"""The method of a metric's interval; of all others, the bootstrap over pictures."""
SUPPORTS = {"iou": "pixels", "ap50": "boxes"}
"""The unit that a class's support is counted in, by its metric; of all others, pictures."""
ROOM, SCORE = 60, 8  # columns of text that the other columns need, and each score beside the main one
WIDE = 1000  # columns of text: every score has a place
NARROW = 76  # columns of text below which only the main metric and the costs are shown
ORDER = (
    *("selector", "all", "random", "centre", "pruned", "downscaled"),
    *("confidence", "exit", "tiles", "full", "teacher"),
)
"""The first words of the rows' `chosen_by`."""


def score_with_metric(epoch: Mapping[str, float]) -> str:
    """Return an epoch's main score with the name of its metric, such as "AP 31.4%"; without it where no metric has it.

    epoch: "score" and, by their metrics' names, all scores, in 0..1.
    """
    score = epoch["score"]
    title = next((f"{title} " for name, title in TITLES.items() if epoch.get(name) == score), "")
    return f"{title}{score:.1%}"


def ordered(results: JsonObject) -> list[JsonObject]:
    """Return the rows in the order in which they are shown: by number of cells or by exit, full ViTs last."""
    amounts = {row["patches"]: row["cells"] for row in results["rows"] if row["chosen_by"] in ("selector", "all")}

    def place(row: JsonObject) -> tuple[float, int, str]:
        """Return what rows are sorted by: cells read, who chose them, and its name."""
        by = row["chosen_by"]
        return amounts.get(row["patches"], float("inf")), ORDER.index(by.partition(" ")[0]), by

    return sorted(results["rows"], key=place)


def columns(results: JsonObject, width: int) -> list[Column]:
    """Return the columns that fit into `width` columns of text."""
    main, *others = results["rows"][0]["scores"]
    chosen: list[Column] = [
        ("patches", lambda row: row["patches"] or "all"),
        ("chosen by", lambda row: row["chosen_by"] if row["chosen_by"] != "all" else "-"),
    ]
    costs: list[Column] = [("GMACs", lambda row: significant(row["macs"] / 1e9))]
    if any(row["seconds"] is not None for row in results["rows"]):
        costs.append(("ms", milliseconds))
    if width < NARROW:
        return [*chosen, (TITLES[main], _score(main)), *costs]
    return [
        *chosen,
        ("cells", lambda row: f"{row['cells']:.0f}"),
        ("px", lambda row: str(row["size"])),
        (TITLES[main], _score(main)),
        ("95 %", lambda row: interval(row["scores"][main])),
        *((TITLES[name], _score(name)) for name in others[: max(0, width - ROOM) // SCORE]),
        *costs,
    ]


def markdown(results: JsonObject) -> str:
    """Return the table with all columns as Markdown, below a title, a caption and the command; then one by class."""
    shown = columns(results, WIDE)
    rows = ([_bold(write(row), row) for _, write in shown] for row in ordered(results))
    lines = [
        f"# {markdown_text(short(results['model']))} on {markdown_text(results['data'])}",
        "",
        markdown_text(caption(results, shown)),
        "",
        "```",
        on_one_line(results["command"]),
        "```",
        "",
        *markdown_table([title for title, _ in shown], rows),
        "",
        f"## By class, {_row_name(headline_of(results))}",
        "",
        *_by_class(results),
    ]
    return "\n".join(lines) + "\n"


def caption(results: JsonObject, shown: Sequence[Column]) -> str:
    """Explain the data, the intervals if they are shown, the times and the rows, in sentences."""
    part = "all of the data" if results["split"] == "all" else f"the split {results['split']}"
    method = INTERVALS.get(results["metric"], "bootstrap over pictures")
    intervals = f", with 95 % intervals ({method})" if "95 %" in [title for title, _ in shown] else ""
    sentences = [
        f"{counted(results['pictures'], 'picture')}, {part}. Scores in per cent{intervals}.",
        *_timing(results["time"]),
    ]
    if coarse := headline_of(results)["coarse"]:
        sentences.append(f"Besides the cells, the whole picture is read at about {coarse} px.")
    if any(row["chosen_by"] == "pruned at random" for row in results["rows"]):
        sentences.append("Pruned at random: the same weights drop as many cells, but random ones.")
    if smaller := [row["model"] for row in results["rows"] if row["chosen_by"] == "downscaled"]:
        sentences.append(f"Downscaled: all cells of a smaller picture at equal MACs, by {short(smaller[0])}.")
    if tiles := [row for row in results["rows"] if row["chosen_by"] == "tiles"]:
        sentences.append(
            f"Tiles: all cells of overlapping tiles of {tiles[0]['size']} px, by {short(tiles[0]['model'])}."
        )
    return " ".join([*sentences, _gain(results)])


def headline_of(results: JsonObject) -> JsonObject:
    """Return the headline row: the selector's choice at the model's own k or at the first k that was asked for; for a
    cascade, the exits that pictures take by its thresholds.
    """
    return next(row for row in results["rows"] if row["headline"])


def short(model: str) -> str:
    """Return a model's name without the folders it is in."""
    return model.rstrip("/").rpartition("/")[2] or model


def _timing(time: JsonObject) -> list[str]:
    if time["decode"] is None:
        return []
    return [
        f"ms: median of {time['pictures']} pictures, one at a time, on {time['device']} ({time['dtype']}), without "
        f"opening the picture, which takes {significant(1000 * time['decode'])} ms more."
    ]


def _gain(results: JsonObject) -> str:
    """Compare the costs of the headline row with those of the full ViT."""
    headline = headline_of(results)
    fewer = headline["macs_full"] / headline["macs"]
    costs = f"{fewer:.1f} times fewer MACs than" if fewer >= 1 else f"{1 / fewer:.1f} times as many MACs as"
    gain = f"{_row_name(headline)}: {costs} the full ViT on the same cells"
    full = next((row for row in results["rows"] if row["chosen_by"] == "full"), None)
    if full is None or not full["seconds"]:
        return f"{gain}."
    return f"{gain}; {full['seconds'] / headline['seconds']:.1f} times less time than {short(full['model'])}."


def _row_name(row: JsonObject) -> str:
    return row["patches"] or row["chosen_by"]


def _score(name: str) -> Callable[[JsonObject], str]:
    return lambda row: percent(row["scores"][name]["value"])


def _by_class(results: JsonObject) -> list[str]:
    """Return a table of the headline row's score for each class that occurs, the lowest first."""
    values = headline_of(results)["classes"]
    scored = [(values[one["name"]], one) for one in results["classes"] if values[one["name"]] is not None]
    return markdown_table(
        ["class", SUPPORTS.get(results["per_class"], "pictures"), TITLES[results["per_class"]]],
        (
            [_class_name(one), f"{one['support']:,}", percent(value)]
            for value, one in sorted(scored, key=lambda pair: pair[0])
        ),
        text_columns=1,
    )


def _class_name(one: JsonObject) -> str:
    """Return the class's name in the data, and the model's label if it differs."""
    return one["name"] if one["name"] == one["label"] else f"{one['name']} ({one['label']})"


def _bold(text: str, row: JsonObject) -> str:
    return f"**{text}**" if text and row["headline"] else text

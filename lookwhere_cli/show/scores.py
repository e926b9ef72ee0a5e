"""What `lookwhere evaluate` measured, as a table: cells of text for the terminal or for Markdown."""

from collections.abc import Callable

from lookwhere_cli.show.tables import Column, Record, interval, markdown_table, milliseconds, percent, significant

Results = Record
"""The JSON object that `lookwhere evaluate` writes, or one of its rows."""

TITLES = {
    "top1": "top-1",
    "top5": "top-5",
    "ece": "ECE",
    "map": "mAP",
    "f1": "F1",
    "miou": "mIoU",
    "pixel_accuracy": "pixels",
    "ap": "AP",
    "iou": "IoU",
}
NARROW = 76  # columns below which only the main figure and the costs are shown
ORDER = ("selector", "all", "random", "centre", "downscaled", "confidence", "exit", "full", "teacher")


def ordered(results: Results) -> list[Results]:
    """The rows as they are shown: by amount of cells or by exit, the full ViTs last."""
    amounts = {row["patches"]: row["cells"] for row in results["rows"] if row["chosen_by"] in ("selector", "all")}

    def place(row: Results) -> tuple[float, int, str]:
        by = row["chosen_by"]
        return amounts.get(row["patches"], float("inf")), ORDER.index(by.partition(" ")[0]), by

    return sorted(results["rows"], key=place)


def columns(results: Results, width: int) -> list[Column]:
    """Titles, and what stands below them in each row, as many as `width` columns of text hold."""
    main, *others = results["rows"][0]["scores"]
    chosen: list[Column] = [
        ("patches", lambda row: row["patches"] or "all"),
        ("chosen by", lambda row: row["chosen_by"] if row["chosen_by"] != "all" else "-"),
    ]
    costs: list[Column] = [("GMACs", lambda row: significant(row["macs"] / 1e9))]
    if any(row["seconds"] is not None for row in results["rows"]):
        costs.append(("ms", milliseconds))
    if width < NARROW:
        return [*chosen, (TITLES[main], _share(main)), *costs]
    return [
        *chosen,
        ("cells", lambda row: f"{row['cells']:.0f}"),
        ("px", lambda row: str(row["size"])),
        (TITLES[main], _share(main)),
        ("95 %", lambda row: interval(row["scores"][main])),
        *((TITLES[name], _share(name)) for name in others),
        *costs,
    ]


def markdown(results: Results) -> str:
    """The table with all columns, a title and what it was measured on."""
    shown = columns(results, NARROW)
    lines = [
        f"# {short(results['model'])} on {results['data']}",
        "",
        caption(results),
        "",
        "```",
        results["command"],
        "```",
        "",
        *markdown_table(
            [title for title, _ in shown],
            ([_bold(text(row), row) for _, text in shown] for row in ordered(results)),
        ),
        "",
        f"## By class, {_named_row(headline_of(results))}",
        "",
        *_by_class(results),
    ]
    return "\n".join(lines) + "\n"


def caption(results: Results) -> str:
    """What was measured and how, in sentences."""
    part = "all of the data" if results["split"] == "all" else f"the split {results['split']}"
    how = "Wilson's" if results["kind"] == "single" else "by drawing pictures anew"
    timed = results["time"]
    said = [f"{results['pictures']} pictures, {part}. Shares in per cent, with 95 % intervals ({how})."]
    if timed["decode"] is not None:
        said.append(
            f"ms: median of {timed['pictures']} pictures, one at a time, on {timed['device']} ({timed['dtype']}), once "
            f"a picture is open, which takes {significant(1000 * timed['decode'])} more."
        )
    if coarse := headline_of(results)["coarse"]:
        said.append(f"Beside the cells all of the picture is read at about {coarse} px.")
    smaller = [row["model"] for row in results["rows"] if row["chosen_by"] == "downscaled"]
    if smaller:
        said.append(f"Downscaled: all cells of a smaller picture at equal MACs, by {short(smaller[0])}.")
    return " ".join([*said, _gain(results)])


def _gain(results: Results) -> str:
    """How the headline row stands to the full ViT."""
    headline = headline_of(results)
    fewer = headline["macs_full"] / headline["macs"]
    costs = f"{fewer:.1f} times fewer MACs than" if fewer >= 1 else f"{1 / fewer:.1f} times as many MACs as"
    said = f"{_named_row(headline)}: {costs} the full ViT on the same cells"
    full = next((row for row in results["rows"] if row["chosen_by"] == "full"), None)
    if full is None or not full["seconds"]:
        return f"{said}."
    return f"{said}; {full['seconds'] / headline['seconds']:.1f} times less time than {short(full['model'])}."


def _named_row(row: Results) -> str:
    return row["patches"] or row["chosen_by"]


def headline_of(results: Results) -> Results:
    """The row of the model's own choice at its own k, or at the first that was asked for; of what a cascade does."""
    return next(row for row in results["rows"] if row["headline"])


def short(model: str) -> str:
    """A model's name without the folders that it lies in."""
    return model.rstrip("/").rpartition("/")[2] or model


def _share(name: str) -> Callable[[Results], str]:
    return lambda row: percent(row["scores"][name]["value"])


def _by_class(results: Results) -> list[str]:
    """A line per class of the data that occurs: the headline row's figure, the worst first."""
    values = headline_of(results)["classes"]
    known = [(values[one["name"]], one) for one in results["classes"] if values[one["name"]] is not None]
    shown = sorted(known, key=lambda pair: pair[0])
    return markdown_table(
        ["class", "pixels" if results["kind"] == "masks" else "pictures", TITLES[results["per_class"]]],
        ([_named(one), f"{one['support']:,}", percent(value)] for value, one in shown),
        words=1,
    )


def _named(one: Results) -> str:
    """A class by the data's name, with the model's label where that is another."""
    return one["name"] if one["name"] == one["label"] else f"{one['name']} ({one['label']})"


def _bold(text: str, row: Results) -> str:
    return f"**{text}**" if text and row["headline"] else text

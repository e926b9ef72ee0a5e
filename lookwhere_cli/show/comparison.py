"""What `lookwhere compare` measured, as a table: cells of text for the terminal or for Markdown."""

from collections.abc import Sequence

from lookwhere_cli.show.scores import TITLES
from lookwhere_cli.show.tables import Column, Record, interval, markdown_table, milliseconds, percent, significant

Results = Record
"""The JSON object that `lookwhere compare` writes, or one of its points."""

METHODS = {
    "full": "full ViT",
    "smaller": "full ViT, smaller picture",
    "random": "random pruning",
    "tome": "token merging",
    "cropr": "Token Cropr",
    "lookwhere": "LookWhere",
    "pruned": "LookWhere + pruning",
    "auto": "LookWhere, auto",
    "dvt": "DVT",
}
NARROW = 60  # columns below which the score and MACs alone are shown
WIDE = 130  # columns from which on more than the score and the main costs are shown


def columns(results: Results, width: int) -> list[Column]:
    """Titles, and what stands below them in each row, as many as `width` columns of text hold."""
    points = results["points"]
    chosen: list[Column] = [
        ("method", lambda point: METHODS[point["method"]]),
        ("setting", lambda point: point["setting"]),
        (TITLES[results["metric"]], lambda point: percent(point["score"]["value"])),
    ]
    costs: list[Column] = [("GMACs", lambda point: significant(point["macs"] / 1e9))]
    if any(point["seconds"] is not None for point in points):
        costs.append(("ms", milliseconds))
    if width < WIDE:
        return [*chosen, *(costs[:1] if width < NARROW else costs)]
    middle: list[Column] = [
        ("95 %", lambda point: interval(point["score"])),
        ("to full", _to_full),
    ]
    rest: list[Column] = []
    if any(point["images_per_second"] is not None for point in points):
        rest.append(("images/s", _throughput))
    if any(point["memory"] is not None for point in points):
        rest.append(("MiB", lambda point: "" if point["memory"] is None else f"{point['memory']:.0f}"))
    return [*chosen, *middle, *costs, *rest, ("front", lambda point: "*" if point["front"] else "")]


def caption(results: Results, shown: Sequence[Column]) -> str:
    """What was measured and how, in sentences, as far as the columns that are shown need them."""
    titles = {title for title, _ in shown}
    part = "all of the data" if results["split"] == "all" else f"the split {results['split']}"
    sentences = {
        "method": f"{results['pictures']} pictures, {part}. Shares in per cent.",
        "95 %": "95 %: the interval of so much confidence.",
        "to full": "To full: the difference to the full ViT, paired by picture.",
        "GMACs": "GMACs: per picture, every pass counted.",
        "ms": f"ms: median of some pictures, one at a time, from decoded pixels to the answer, on {results['device']}.",
        "images/s": "images/s: in batches, of the size in brackets, which was the best.",
        "MiB": "MiB: what a process of its own takes above rest, in batches.",
        "front": "*: nobody is as good for less.",
    }
    said = [sentence for title, sentence in sentences.items() if title in titles]
    if any(point["halves"] > 1 for point in results["points"]):
        said.append("Thresholds of each half of the pictures come from the other half.")
    return " ".join(said)


def markdown(results: Results) -> str:
    """The table with all columns, a title and what it was measured on."""
    shown = columns(results, WIDE)
    return "\n".join(
        [
            f"# Methods compared on {results['data']}",
            "",
            caption(results, shown),
            "",
            "```",
            results["command"],
            "```",
            "",
            *markdown_table(
                [title for title, _ in shown], ([text(point) for _, text in shown] for point in results["points"])
            ),
            "",
        ]
    )


def _to_full(point: Results) -> str:
    gain = point["difference"]
    if gain is None:
        return ""
    return f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"


def _throughput(point: Results) -> str:
    if point["images_per_second"] is None:
        return ""
    return f"{significant(point['images_per_second'])} ({point['batch']})"

"""The results of `lookwhere compare` as a table, for the terminal or as Markdown."""

from collections.abc import Sequence

from lookwhere_cli.show.scores import TITLES
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
NARROW = 60  # columns of text below which only score and MACs are shown
WIDE = 130  # columns of text from which on all columns are shown


def columns(results: JsonObject, width: int) -> list[Column]:
    """Return the columns that fit into `width` columns of text."""
    chosen: list[Column] = [
        ("method", lambda point: METHODS[point["method"]]),
        ("setting", lambda point: point["setting"]),
        (TITLES[results["metric"]], lambda point: percent(point["score"]["value"])),
    ]
    costs: list[Column] = [("GMACs", lambda point: significant(point["macs"] / 1e9))]
    if _measured(results, "seconds"):
        costs.append(("ms", milliseconds))
    if width < WIDE:
        return [*chosen, *(costs[:1] if width < NARROW else costs)]
    rest: list[Column] = [("95 %", lambda point: interval(point["score"])), ("to full", _to_full), *costs]
    if _measured(results, "images_per_second"):
        rest.append(("images/s", _throughput))
    if _measured(results, "memory"):
        rest.append(("MiB", lambda point: "" if point["memory"] is None else f"{point['memory']:.0f}"))
    return [*chosen, *rest, ("front", lambda point: "*" if point["front"] else "")]


def caption(results: JsonObject, shown: Sequence[Column]) -> str:
    """Explain the columns that are shown, in sentences."""
    titles = {title for title, _ in shown}
    part = "all of the data" if results["split"] == "all" else f"the split {results['split']}"
    sentences = {
        "method": f"{counted(results['pictures'], 'picture')}, {part}. Scores in per cent.",
        "95 %": "95 %: confidence interval.",
        "to full": "To full: difference to the full ViT, paired by picture.",
        "GMACs": "GMACs: mean per picture, all passes counted.",
        "ms": f"ms: median per picture, one at a time, from decoded pixels to the answer, on {results['device']}.",
        "images/s": "images/s: at the best batch size, in brackets.",
        "MiB": "MiB: memory of a separate process above rest, in batches.",
        "front": "*: on the Pareto front; no other setting scores as high with fewer MACs.",
    }
    explained = [sentence for title, sentence in sentences.items() if title in titles]
    if any(point["halves"] > 1 for point in results["points"]):
        explained.append("Each half of the pictures has the thresholds calibrated on the other half.")
    return " ".join(explained)


def markdown(results: JsonObject) -> str:
    """Return the table with all columns as Markdown, below a title, a caption and the command."""
    shown = columns(results, WIDE)
    rows = ([write(point) for _, write in shown] for point in results["points"])
    return "\n".join(
        [
            f"# Methods compared on {markdown_text(results['data'])}",
            "",
            caption(results, shown),
            "",
            "```",
            on_one_line(results["command"]),
            "```",
            "",
            *markdown_table([title for title, _ in shown], rows),
            "",
        ]
    )


def _measured(results: JsonObject, name: str) -> bool:
    return any(point[name] is not None for point in results["points"])


def _to_full(point: JsonObject) -> str:
    gain = point["difference"]
    if gain is None:
        return ""
    return f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"


def _throughput(point: JsonObject) -> str:
    if point["images_per_second"] is None:
        return ""
    return f"{significant(point['images_per_second'])} ({point['batch']})"

"""The comparison's table, plot and page, for made-up results."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.show.colours import colour_of_class
from lookwhere_cli.show.comparison import columns, markdown
from lookwhere_cli.show.comparison_page import comparison_page
from lookwhere_cli.show.pareto import _figure, draw_pareto
from tests.show.test_page import CHROMIUM, NASTY
from tests.show.test_scores import legend_overlaps

METHODS = ("full", "lookwhere", "cropr", "dvt")
RIGHT = {"a.png": METHODS, "b.png": ("lookwhere",), "c.png": ("full", "lookwhere", "cropr")}


def point(method: str, score: float, macs: float, **more: Any) -> dict[str, Any]:
    return {
        "method": method,
        "setting": "" if method == "full" else "25%",
        "score": {"value": score, "low": score - 0.02, "high": score + 0.02},
        "difference": None if method == "full" else {"value": -0.01, "low": -0.03, "high": 0.01},
        "macs": macs,
        "seconds": 0.0201,
        "images_per_second": 51.3,
        "batch": 32,
        "memory": 123.4,
        "front": method != "full",
        "halves": 1,
    } | more


def answer(method: str, right: bool) -> dict[str, Any]:
    cells = [[0, 1], [2, 0]] if method == "lookwhere" else [[row, column] for row in range(3) for column in range(2)]
    return {
        "method": method,
        "setting": "25%",
        "right": float(right),
        "labels": [{"label": NASTY if right else "cat", "index": 0, "probability": 0.876}],
        "k": len(cells),
        "grid": [3, 2],
        "cells": [] if method == "dvt" else cells,
        "left": [[1, 1], [2, 0]] if method == "cropr" else None,
        "macs": 400_000_000,
    } | ({"exit": 2} if method == "dvt" else {})


RESULTS = {
    "command": f"lookwhere compare {NASTY}",
    "data": NASTY,
    "split": "val",
    "kind": "single",
    "metric": "top1",
    "pictures": 600,
    "failed": [],
    "device": "cpu",
    "points": [point(*one) for one in zip(METHODS, (0.9, 0.88, 0.87, 0.86), (1e9, 4e8, 3e8, 2e8), strict=True)],
    "differences": [
        {"path": path, "truth": NASTY, "mask": None, "answers": [answer(one, one in right) for one in METHODS]}
        for path, right in RIGHT.items()
    ],
}
PICTURES = {path: Image.effect_noise((64, 96), 60).convert("RGB") for path in RIGHT}


def test_the_table_has_the_columns_that_fit() -> None:
    assert [title for title, _ in columns(RESULTS, 80)] == ["method", "setting", "top-1", "GMACs", "ms"]
    assert [title for title, _ in columns(RESULTS, 40)] == ["method", "setting", "top-1", "GMACs"]
    wide = dict(columns(RESULTS, 140))
    row = RESULTS["points"][1]
    assert wide["to full"](row) == "-1.0 (-3.0 to +1.0)"
    assert (wide["images/s"](row), wide["MiB"](row), wide["front"](row)) == ("51.3 (32)", "123", "*")
    assert wide["to full"](RESULTS["points"][0]) == ""


def test_costs_that_were_not_measured_have_no_column() -> None:
    bare = [one | {"seconds": None, "images_per_second": None, "memory": None} for one in RESULTS["points"]]
    shown = [title for title, _ in columns(RESULTS | {"points": bare}, 140)]
    assert not {"ms", "images/s", "MiB"} & set(shown)
    assert "MiB:" not in markdown(RESULTS | {"points": bare})


def test_markdown_has_a_line_for_each_point() -> None:
    table = [line for line in markdown(RESULTS).splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(METHODS)
    assert table[2].startswith("| full ViT |  | 90.0 | 88.0–92.0 |  | 1 |")


def test_the_plot_is_a_png() -> None:
    file = io.BytesIO()
    draw_pareto(RESULTS, file)
    assert Image.open(file).format == "PNG"


def test_hostile_names_stay_text_and_nothing_is_loaded_from_a_network() -> None:
    html = comparison_page(RESULTS, PICTURES, {})
    assert html.count("<script") == html.count("</script>") == 1
    bare = re.sub(r"base64,[\w+/=]+", "", html)
    assert not re.search(r"(https?:)?//[a-z]", bare)
    assert "default-src 'none'" in html


def test_masks_are_shown_in_the_colours_of_their_classes() -> None:
    difference = RESULTS["differences"][0]
    answers = [one | {"labels": [], "right": 0.75} for one in difference["answers"]]
    results = RESULTS | {
        "kind": "masks",
        "metric": "miou",
        "differences": [difference | {"truth": None, "answers": answers}],
    }
    classes = {("a.png", method): np.zeros((96, 64), np.uint8) for method in ("truth", *METHODS)}
    html = comparison_page(results, PICTURES, classes)
    assert html.count("75% right") == len(METHODS)
    assert html.count("image/png") == len(METHODS) + 3  # the mask and the two plots
    assert "filter" not in html.partition("<script>")[0].partition("</style>")[2]


def box(index: int, label: str, *sides: float) -> dict[str, Any]:
    return {"label": label, "index": index, "score": 0.9, "box": list(sides)}


def boxes_results() -> dict[str, Any]:
    """Two true boxes in the first picture, none in the second; one method finds the first of them."""
    difference, other = RESULTS["differences"][:2]
    true = [box(0, NASTY, 8, 8, 24, 32), box(2, "sign", 40, 60, 60, 90)]
    answers = [
        one | {"labels": [], "size": [64, 96], "boxes": true[:1] * (one["right"] > 0)} for one in other["answers"]
    ]
    shown = [difference | {"boxes": true, "answers": answers}, other | {"boxes": [], "answers": answers}]
    return RESULTS | {"kind": "boxes", "metric": "ap50", "differences": shown}


@pytest.mark.slow
def test_true_boxes_come_first_and_have_the_colours_of_their_classes() -> None:
    html = comparison_page(boxes_results(), PICTURES, {})
    assert "2 true boxes" in html and "0 true boxes" in html and "1 box, F1 100%" in html
    overs = [_over(one) for one in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="">', html)]
    assert len(overs) == 2 * (1 + len(METHODS))  # true boxes, then each method's
    true, found = overs[0].convert("RGBA"), overs[2].convert("RGBA")
    assert RIGHT["b.png"] == (METHODS[1],) and _colours(true) == {colour_of_class(0), colour_of_class(2)}
    assert _colours(found) == {colour_of_class(0)}
    assert np.asarray(overs[1 + len(METHODS)])[..., 3].max() == 0  # a picture without boxes
    scale = true.width / 64
    left, top, right, bottom = (round(edge * scale) for edge in (8, 8, 24, 32))
    inside = np.asarray(true.crop((left + 4, top + 4, right - 4, bottom - 4)))
    assert inside[..., 3].max() == 0  # outlines do not hide what is in small boxes


def test_a_legend_names_the_colours_of_boxes_and_other_data_have_none() -> None:
    html = comparison_page(boxes_results(), PICTURES, {})
    legend = re.search(r'<ul class="kinds".*?</ul>', html)
    assert legend is not None and legend[0].count("<li>") == 2
    assert all(f"rgb{colour_of_class(index)}" in legend[0] for index in (0, 2))
    assert html.count("<script") == 1
    assert '<ul class="kinds"' not in comparison_page(RESULTS, PICTURES, {})


def _colours(picture: Image.Image) -> set[tuple[int, ...]]:
    """The colours of outlines, without their black edges and the veil."""
    return {
        pixel[:3] for pixel in np.asarray(picture).reshape(-1, 4).tolist() for pixel in [tuple(pixel)] if any(pixel[:3])
    }


def test_cells_not_read_are_dark_and_dropped_cells_are_dimmed() -> None:
    html = comparison_page(RESULTS, PICTURES, {})
    assert html.count("all 6 cells, 2 to the end") == len(RIGHT)
    veils = [
        np.asarray(_over(one))[..., 3] for one in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="">', html)
    ]
    dark, dimmed = veils[0].ravel().tolist(), veils[1].ravel().tolist()
    assert [level > 0 for level in dark] == [True, False, True, True, False, True]
    assert [level > 0 for level in dimmed] == [True, True, True, False, False, True]
    assert max(dimmed) < max(dark)


def _over(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_page_without_differences_says_so() -> None:
    assert "All methods give the same answers." in comparison_page(RESULTS | {"differences": []}, {}, {})


# ---- in a browser


@pytest.fixture(scope="module")
def browser() -> Any:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1300])
def test_the_filter_shows_pictures_on_which_one_method_alone_is_right_or_wrong(
    browser: Any, tmp_path: Any, width: int
) -> None:
    file = tmp_path / "page.html"
    file.write_text(comparison_page(RESULTS, PICTURES, {}), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(file.as_uri())

    def shown(value: str) -> list[str]:
        tab.select_option("#filter", value)
        return [one.split()[0] for one in tab.locator("article:visible h3").all_inner_texts()]

    assert shown("") == list(RIGHT)
    assert shown("lookwhere") == ["b.png"]
    assert shown("-dvt") == ["c.png"]
    assert shown("cropr") == []
    assert tab.locator("#none").is_visible()
    overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    tab.close()
    assert overflow <= 0
    assert errors == []


def opened(browser: Any, tmp_path: Any, width: int, scheme: str = "light", results: Any = RESULTS) -> Any:
    file = tmp_path / "page.html"
    file.write_text(comparison_page(results, PICTURES, {}), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.goto(file.as_uri())
    return tab


@pytest.mark.slow
@pytest.mark.parametrize(("width", "in_a_row"), [(390, 1), (1300, 3)])
def test_pictures_with_boxes_are_large(browser: Any, tmp_path: Any, width: int, in_a_row: int) -> None:
    tab = opened(browser, tmp_path, width, results=boxes_results())
    boxes = [one.bounding_box() for one in tab.locator("article:first-of-type figure .stage").all()]
    assert sum(one["y"] == boxes[0]["y"] for one in boxes) == in_a_row
    assert min(one["width"] for one in boxes) >= 320
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    tab.close()


def titles_shown(tab: Any) -> list[str]:
    return tab.locator("th:visible").all_inner_texts()


@pytest.mark.slow
def test_narrow_screens_show_the_columns_that_matter_and_all_on_request(browser: Any, tmp_path: Any) -> None:
    tab = opened(browser, tmp_path, 360)
    assert titles_shown(tab) == ["method", "setting", "top-1", "GMACs"]
    tab.locator("#columns").click()
    assert len(titles_shown(tab)) == 10
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    tab.locator("#columns").click()
    assert len(titles_shown(tab)) == 4
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.locator("#columns").wait_for(state="hidden", timeout=10_000)  # the page hears of its new size a frame later
    assert len(titles_shown(tab)) == 10
    tab.close()


@pytest.mark.slow
def test_the_plot_follows_the_dark_mode(browser: Any, tmp_path: Any) -> None:
    corners = {}
    for scheme in ("light", "dark"):
        tab = opened(browser, tmp_path, 1400, scheme)
        source = tab.evaluate("document.querySelector('.plot').currentSrc")
        corners[scheme] = (
            Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("L").getpixel((2, 2))
        )
        tab.close()
    assert corners["light"] > 240 and corners["dark"] < 40


@pytest.mark.slow
def test_keys_move_from_picture_to_picture(browser: Any, tmp_path: Any) -> None:
    tab = opened(browser, tmp_path, 1300)
    names = []
    for key in ("j", "j", "j", "j", "k"):
        tab.keyboard.press(key)
        names.append(tab.evaluate("document.activeElement.querySelector('h3').innerText.split(' ')[0]"))
    assert names == ["a.png", "b.png", "c.png", "c.png", "b.png"]
    tab.select_option("#filter", "lookwhere")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("j")
    assert tab.evaluate("document.activeElement.querySelector('h3').innerText").startswith("b.png")
    tab.close()


def test_the_plot_names_the_data_and_has_intervals_and_a_legend_beside_the_points() -> None:
    figure = _figure(RESULTS | {"data": "streets"})
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "streets, 600 pictures"
    intervals = [segment for lines in axes.collections for segment in lines.get_segments()]
    assert len(intervals) == len(METHODS)
    assert not legend_overlaps(figure) and axes.get_ylim()[1] <= 100

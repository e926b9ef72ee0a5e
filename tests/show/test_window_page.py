import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import View
from lookwhere_cli.images.view import view_of as view_of_pixels
from lookwhere_cli.output.rows import Detection, Label, Row, WindowCounts
from lookwhere_cli.show import geometry, window_page
from lookwhere_cli.show.geometry import scaled_box, shown_size
from lookwhere_cli.show.window_overlay import CELL, READ, SKIPPED, ShownWindow, WindowMap, window_overlay
from lookwhere_cli.show.window_page import PageWindows, WindowPageWriter
from tests.large_sources import ArraySource

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READING = Reading(patch=4, size=24)


def window(number, label="stone", index=0, probability=0.5, cells=((0, 0), (5, 5))):
    left = 24 * number
    labels = (Label(label, index, probability),)
    return Row("a.svs", 24, 24, k=len(cells), grid=(6, 6), cells=cells, labels=labels, window=(left, 0, left + 24, 24))


def view_of(value):
    return View(ArraySource(np.full((24, 24, 3), value, np.uint8)), READING)


def view_of_photograph(height, width):
    return view_of_pixels(np.zeros((height, width, 3), np.uint8), READING)


def whole(count):
    return Row("a.svs", 24 * count, 24, k=9, macs=10, macs_full=20, windows=WindowCounts(count + 1, 1))


def read(page):
    return json.loads(page.split('id="data">')[1].split("</script>")[0])["pictures"]


def page_of(*pictures):
    stream = io.BytesIO()
    writer = WindowPageWriter(stream, "Where <b>")
    for picture in pictures:
        writer.write(picture)
    writer.close()
    return stream.getvalue().decode()


def test_the_page_shows_the_surest_windows_of_each_class():
    windows = PageWindows()
    for number in range(9):
        windows.add(window(number, probability=0.1 * (number + 1)), view_of(number))
    windows.add(window(9, "tree", 1, 0.3), view_of(9))
    (data,) = read(page_of(windows.finish("</script><b>", Image.new("RGB", (240, 24)), whole(10))))
    assert data["name"] == "</script><b>" and data["counts"] == [[0, 9], [1, 1]]
    assert [number for number, _ in data["best"]] == [8, 7, 6, 5, 4, 3, 9]
    assert data["classes"]["1"][0] == "tree" and data["read"]["blank"] == 1
    assert data["windows"][0]["cells"] == "8000000010" and data["windows"][3]["box"] == [72, 0, 96, 24]


def test_memory_is_bounded_by_the_most_windows_that_are_drawn(monkeypatch):
    monkeypatch.setattr(window_page, "MOST_WINDOWS", 3)
    windows = PageWindows()
    for number in range(5):
        windows.add(window(number), view_of(9))
    data = windows.finish("a", Image.new("RGB", (120, 24)), whole(5))
    assert len(data["windows"]) == 3 and data["total"] == 5 and data["counts"] == [[0, 5]]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.slow
def test_a_browser_draws_the_page_and_finds_windows_under_the_pointer(tmp_path):
    windows = PageWindows()
    for number in range(4):
        windows.add(window(number, "stone" if number < 3 else "tree", number // 3), view_of(60 * number))
    file = tmp_path / "page.html"
    file.write_text(page_of(windows.finish("slide", Image.new("RGB", (96, 24), "red"), whole(4))))
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page, errors = chromium.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        box = page.locator("canvas").bounding_box()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
        assert "tree 50.0 %" in page.locator(".tip").inner_text()
        assert page.locator(".readout").inner_text().startswith("4 of 5 windows read")
        page.locator(".classes button").nth(1).click()
        page.locator(".strip button").first.click()
        page.locator(".reset").click()
        assert page.locator(".strip img").count() == 4 and not errors
        chromium.close()


def test_the_map_tells_cells_windows_and_the_rest_apart():
    windows = WindowMap((48, 96))
    windows.add(ShownWindow((0, 0, 48, 48), ("stone", 0), (6, 6), ((0, 0),)))
    windows.add(ShownWindow((50.2, 0, 53.9, 4), ("tree", 1), (6, 6), ()))
    assert (windows.parts[:8, :8] == CELL).all() and (windows.parts[8:, :48] == READ).all()
    assert (windows.parts[:, 54:] == SKIPPED).all() and (windows.tints[:4, 50:54] == 1).all()
    assert len(windows.framed) == 1 and windows.labels == {("stone", 0): 1, ("tree", 1): 1}


def test_the_overlay_leaves_cells_as_they_are_and_darkens_what_was_skipped():
    windows = WindowMap((200, 400))
    windows.add(ShownWindow((0, 0, 200, 200), ("stone", 0), (2, 2), ((0, 0),)))
    picture = Image.new("RGB", (400, 200), (200, 100, 50))
    drawn = window_overlay(picture, windows, (Detection("ship", 4, 0.9, (250, 50, 350, 150)),), "a <caption>")
    assert drawn.width == 400 and drawn.height > 200
    assert drawn.getpixel((50, 50)) == (200, 100, 50)
    within, skipped = drawn.getpixel((150, 150)), drawn.getpixel((390, 100))
    assert sum(skipped) < sum(within) < 350 and max(skipped) - min(skipped) < 30
    assert drawn.getpixel((248, 100)) != skipped  # the box's outline


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3)])
def test_overviews_of_any_shape_are_drawn(size):
    windows = WindowMap(size)
    windows.add(ShownWindow((0, 0, size[1], size[0]), None, (1, 1), ((0, 0),)))
    assert window_overlay(Image.new("RGB", size[::-1]), windows, (), "").width >= 300


def test_slides_are_shown_on_overviews_and_photographs_as_they_are(monkeypatch):
    monkeypatch.setattr(geometry, "OVERVIEW_SIDE", 50)
    slide, photograph = View(ArraySource(np.zeros((60, 100, 3), np.uint8)), READING), view_of_photograph(60, 100)
    assert shown_size(slide) == (30, 50) and shown_size(photograph) == (60, 100)
    assert scaled_box((10, 20, 100, 60), slide.size, (30, 50)) == (5, 10, 50, 30)

import base64
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.output.rows import Detection, Label
from lookwhere_cli.show.page import PagePicture, page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = "</script><script>alert('1')</script> \"<!--\" caf\udce9\n{{ 7 * 7 }}.jpg"


def picture(name="a.jpg", grid=(6, 8), size=(320, 240), box=None, seed=0):
    scores = np.random.default_rng(seed).standard_normal(grid).astype(np.float32)
    cells = scores.size
    return PagePicture(
        name=name,
        picture=Image.effect_noise(size, 60).convert("RGB"),
        grid=grid,
        scores=scores,
        order=np.argsort(-scores.ravel()).tolist(),
        box=box or (0, 0, *size),
        predictions={k: [Label(f"first at {k}", 0, k / cells), Label(NASTY, 1, 0.01)] for k in (4, 12, cells)},
        macs={4: 100_000_000, 12: 200_000_000, cells: 1_100_000_000},
        macs_full=1_000_000_000,
        k=12,
    )


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def image_of(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_hostile_names_and_labels_stay_text():
    html = page([picture(NASTY)], NASTY)
    html.encode()
    assert html.count("<script") == html.count("</script>") == 2
    assert "<!--" not in html
    assert data_of(html)["pictures"][0]["name"].startswith("</script><script>alert('1')</script> \"<!--\" caf")
    assert "&lt;/script&gt;" in html


def test_the_data_have_the_grid_of_coarse_patches():
    pictures = data_of(page(PICTURES, "explained"))["pictures"]
    assert [one["coarse"] for one in pictures] == [None, None, [3, 4]]


def test_probabilities_are_rounded_as_in_rows_so_that_percentages_are_rounded_once():
    html = page([replace(picture(), predictions={12: [Label("espresso", 0, 0.864491)]})], "title")
    assert "0.864491" in html  # as 0.8645 it would show as 86.5 %


def test_nothing_is_loaded_from_a_network():
    html = re.sub(r"base64,[\w+/=]+", "", page([picture()], "title"))
    assert not re.search(r"(https?:)?//[a-z]", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize(("count", "longest"), [(1, 1600), (12, 1600), (48, 800), (1000, 480)])
def test_pictures_have_a_largest_size_and_many_are_smaller(count, longest):
    small = picture(size=(1700, 20))
    sizes = [image_of(shown["source"]).size for shown in data_of(page([small] * count, ""))["pictures"]]
    assert {max(size) for size in sizes} == {longest}


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20_000, 10), (10, 20_000)])
def test_pictures_of_any_size_and_mode_are_shown(size):
    for mode in ("RGB", "L", "RGBA"):
        one = picture(size=size, grid=(1, 1))
        shown = data_of(page([PagePicture(**{**vars(one), "picture": one.picture.convert(mode)})], ""))["pictures"][0]
        assert min(image_of(shown["source"]).size) >= 1
        assert image_of(shown["heat"]).size == (1, 1)


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


PICTURES = [
    picture("a.jpg"),
    picture(NASTY, (5, 9), (400, 200), (100, 0, 300, 200), seed=1),
    replace(picture("tiny", size=(5, 5)), coarse=(3, 4)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(PICTURES, "explained"), encoding="utf-8")
    return path


@pytest.fixture
def tab(browser, written):
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    errors, requests = [], []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("dialog", lambda dialog: errors.append(dialog.message))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(written.as_uri())
    tab.wait_for_function("document.getElementById('picture').complete")
    yield tab
    tab.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in requests) == 1


def lit_cells(tab, shown):
    """Return the indices of the cells whose centres are lit on the canvas."""
    left, top, right, bottom = (edge / side for edge, side in zip(shown.box, shown.picture.size * 2, strict=True))
    rows, columns = shown.grid
    centres = [
        (left + (right - left) * (column + 0.5) / columns, top + (bottom - top) * (row + 0.5) / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    alpha = tab.evaluate(
        """centres => { const canvas = document.getElementById("lit");
        const copy = new OffscreenCanvas(canvas.width, canvas.height);
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        return centres.map(([x, y]) => context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3]); }""",
        centres,
    )
    return {index for index, value in enumerate(alpha) if value > 0}


def set_slider(tab, k):
    tab.eval_on_selector("#k", "(s, k) => { s.value = k; s.dispatchEvent(new Event('input')) }", k)


def text(tab, identifier):
    return " ".join(tab.inner_text(f"#{identifier}").split())


def test_the_slider_lights_the_cells_in_their_order(tab):
    first = PICTURES[0]
    for k in (1, 5, 12, 47, 48):
        set_slider(tab, k)
        assert lit_cells(tab, first) == set(first.order[:k])


def test_the_keyboard_moves_the_slider(tab):
    tab.focus("#k")
    tab.keyboard.press("ArrowRight")
    assert lit_cells(tab, PICTURES[0]) == set(PICTURES[0].order[:13])
    tab.keyboard.press("Home")
    assert lit_cells(tab, PICTURES[0]) == set(PICTURES[0].order[:1])
    assert tab.get_attribute("#k", "aria-valuetext") == "1 of 48 cells"
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert lit_cells(tab, PICTURES[0]) == set(PICTURES[0].order[:3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (12, "k = 12 of 48 cells 25 % of the picture 0.20 GMACs 5.0x fewer operations than the full ViT"),
        (8, "k = 8 of 48 cells 17 % of the picture about 0.15 GMACs 6.7x fewer operations than the full ViT"),
        (1, "k = 1 of 48 cells 2.1 % of the picture about 0.063 GMACs 16x fewer operations than the full ViT"),
        (48, "k = 48 of 48 cells 100 % of the picture 1.10 GMACs 1.10x as many operations as the full ViT"),
    ],
)
def test_the_readout_shows_cells_and_costs(tab, k, expected):
    set_slider(tab, k)
    assert text(tab, "readout") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "known", "note"),
    [
        (12, 12, "computed for these cells"),
        (47, 12, "computed at the nearest k below 47"),
        (48, 48, "computed for these cells"),
        (2, 4, "computed at the nearest k above 2; there is none below"),
    ],
)
def test_predictions_are_those_at_the_nearest_computed_k(tab, k, known, note):
    set_slider(tab, k)
    assert text(tab, "predictions") == f"Predictions at k = {known}"
    assert text(tab, "nearest") == note
    assert text(tab, "labels").startswith(f"first at {known} {100 * known / 48:.1f} %")
    assert tab.get_attribute("#computed [aria-current=true]", "value") == str(known)


def test_a_click_sets_a_computed_k(tab):
    tab.click("#computed button[value='4']")
    assert tab.input_value("#k") == "4"
    assert lit_cells(tab, PICTURES[0]) == set(PICTURES[0].order[:4])


def test_key_and_button_toggle_the_heat(tab):
    assert not tab.is_visible("#heat")
    tab.keyboard.press("h")
    assert tab.is_visible("#heat") and tab.is_visible("#legend")
    assert tab.get_attribute("#toggle", "aria-pressed") == "true"
    tab.click("#toggle")
    assert not tab.is_visible("#heat") and not tab.is_visible("#legend")


def test_keys_change_the_picture_and_each_picture_keeps_its_k(tab):
    set_slider(tab, 30)
    tab.keyboard.press("n")
    tab.wait_for_function("document.getElementById('picture').complete")
    assert text(tab, "position") == "2 of 3" and tab.input_value("#k") == "12"
    assert "</script>" in text(tab, "name") and text(tab, "grid") == "5 × 9 cells"
    set_slider(tab, 20)
    assert lit_cells(tab, PICTURES[1]) == set(PICTURES[1].order[:20])
    assert "22 % of the picture" in text(tab, "readout")
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    assert text(tab, "position") == "3 of 3" and tab.is_disabled("#next")
    assert text(tab, "grid") == "6 × 8 cells and 3 × 4 coarse patches"
    tab.keyboard.press("k")
    tab.keyboard.press("p")
    assert text(tab, "position") == "1 of 3" and tab.input_value("#k") == "30"


def test_heat_covers_the_box(tab):
    tab.keyboard.press("n")
    tab.keyboard.press("h")
    stage, heat = (tab.locator(f"#{name}").bounding_box() for name in ("stage", "heat"))
    assert heat["x"] - stage["x"] == pytest.approx(stage["width"] / 4, abs=1)
    assert heat["width"] == pytest.approx(stage["width"] / 2, abs=1)
    assert heat["height"] == pytest.approx(stage["height"], abs=1)


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_no_page_width_scrolls_sideways_and_pictures_keep_their_shape(tab, width):
    tab.set_viewport_size({"width": width, "height": 740})
    for shown in PICTURES:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        stage = tab.locator("#stage").bounding_box()
        assert stage["width"] / stage["height"] == pytest.approx(shown.picture.width / shown.picture.height, rel=0.02)
        tab.keyboard.press("n")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    for identifier in ("name", "cost", "nearest"):
        ratio = tab.evaluate(
            """id => { const light = colour => { const [r, g, b] = colour.match(/\\d+/g).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
              return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05; };
            const a = light(getComputedStyle(document.getElementById(id)).color);
            const b = light(getComputedStyle(document.body).backgroundColor);
            return Math.max(a, b) / Math.min(a, b); }""",
            identifier,
        )
        assert ratio >= 4.5


def test_reduced_motion_disables_transitions(tab):
    tab.emulate_media(reduced_motion="reduce")
    assert tab.eval_on_selector("#picture", "image => getComputedStyle(image).transitionDuration") == "0s"


def test_heat_also_covers_the_cells_that_are_read(tab):
    tab.keyboard.press("h")
    assert lit_cells(tab, PICTURES[0]) == set()
    drawn = "document.getElementById('lit').getContext('2d').getImageData(0, 0, 2000, 2000).data.some(value => value)"
    assert tab.evaluate(drawn) and "outlined" in text(tab, "legend")
    tab.keyboard.press("h")
    assert lit_cells(tab, PICTURES[0]) == set(PICTURES[0].order[:12])


# ---- boxes


def finding():
    """A picture with a box of another class at each computed k, and twenty of them at the last one."""
    shown = picture("found.jpg", size=(400, 300))
    many = [Detection("sign", 0, 0.9, (40.0 + 10 * index, 200.0, 48.0 + 10 * index, 208.0)) for index in range(20)]
    boxes = {4: [], 12: [Detection(NASTY, 1, 0.864491, (100.0, 60.0, 200.0, 120.0))], 48: many}
    return replace(shown, boxes=boxes)


def test_the_data_have_the_boxes_at_each_k():
    data = data_of(page([finding(), picture()], "boxes"))["pictures"]
    assert [[k, len(boxes)] for k, boxes in data[0]["boxes"]] == [[4, 0], [12, 1], [48, 20]]
    label, score, colour, *sides = data[0]["boxes"][1][1][0]
    assert label.startswith("</script>") and score == 0.864491 and re.fullmatch("#[0-9a-f]{6}", colour)
    assert sides == [0.25, 0.2, 0.5, 0.4]
    assert data[1]["boxes"] == []


@pytest.fixture
def boxes_tab(browser, tmp_path):
    file = tmp_path / "boxes.html"
    file.write_text(page([finding(), picture()], "boxes"), encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    errors = []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(file.as_uri())
    tab.wait_for_function("document.getElementById('picture').complete")
    yield tab
    tab.close()
    assert errors == []


def drawn_at(tab, points):
    """Return the alpha of the boxes' canvas at points, in shares of the picture."""
    return tab.evaluate(
        """points => { const canvas = document.getElementById("boxes");
        const copy = new OffscreenCanvas(canvas.width, canvas.height);
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        return points.map(([x, y]) =>
            context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3]); }""",
        points,
    )


def test_boxes_change_with_the_slider(boxes_tab):
    tab, side, inside, far = boxes_tab, (0.25, 0.3), (0.375, 0.3), (0.9, 0.1)
    set_slider(tab, 12)
    assert text(tab, "predictions") == "1 box at k = 12" and "86.4 %" in text(tab, "labels")
    on_side, within, elsewhere = drawn_at(tab, [side, inside, far])
    assert on_side > 0 and within == 0 and elsewhere == 0
    set_slider(tab, 4)
    assert text(tab, "predictions") == "0 boxes at k = 4" and text(tab, "labels") == ""
    assert drawn_at(tab, [side]) == [0]
    set_slider(tab, 48)
    assert text(tab, "predictions") == "20 boxes at k = 48"
    assert text(tab, "labels").endswith("and 8 more") and text(tab, "labels").count("sign") == 12
    assert drawn_at(tab, [side]) == [0]
    tab.click("#next")
    assert text(tab, "predictions").startswith("Predictions at k = ")
    assert tab.is_hidden("#boxes")

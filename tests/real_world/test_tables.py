"""CSV files as spreadsheets save them, and file names as other systems write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.regions import read_regions
from lookwhere_cli.errors import DataError
from tests.data.test_examples import answers, touch

PLAIN = "file,label,split\na/1.jpg,cat,train\na/2.jpg,dög,val\n"


def read(root: Path, content: str | bytes) -> dict[str, list[str]]:
    (root / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return answers(read_examples(root))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "sep=,\r\n" + PLAIN,
        '"sep=\t"\r\n' + PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-8-sig"),
        PLAIN + ",,\n,,\n",
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("train\n", "train,,\n"),
        PLAIN.replace("a/", "a\\"),
        PLAIN.replace("a/", ".\\a\\"),
    ],
)
def test_every_dialect_is_read_alike(tmp_path, content):
    touch(tmp_path, "a/1.jpg", "a/2.jpg")
    assert read(tmp_path, content) == {"a/1.jpg": ["cat"], "a/2.jpg": ["dög"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAIN.encode("cp1252"), "not text in UTF-8"),
        (PLAIN.encode() + b"a/\0.jpg,cat,val\n", "zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        ("file;label\na;b.jpg;cat\n", 'semicolon in quotes: "a;b"'),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, content)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_names_are_found_in_either_unicode_form(tmp_path, form, other):
    touch(tmp_path, unicodedata.normalize(form, "thé/café.jpg"))
    for name in ("thé/café.jpg", "thé\\café.jpg"):
        (tmp_path / "labels.csv").write_text(f"file,label\n{unicodedata.normalize(other, name)},x\n")
        assert Path(read_examples(tmp_path).examples[0].path).exists()


@pytest.mark.parametrize("again", ["./a/1.jpg", "a//1.jpg", "a/../a/1.jpg", "a\\1.jpg", "{root}/a/1.jpg"])
def test_a_picture_that_is_named_twice_is_refused_however_it_is_spelled(tmp_path, again):
    touch(tmp_path, "a/1.jpg", "a/2.jpg")
    with pytest.raises(DataError, match=r"Line 4 of .* as line 2 does"):
        read(tmp_path, PLAIN + again.format(root=tmp_path) + ",dog,val\n")


def test_boxes_too(tmp_path):
    touch(tmp_path, "a/" + unicodedata.normalize("NFD", "é.jpg"))
    path = str(next((tmp_path / "a").iterdir()))
    (tmp_path / "boxes.csv").write_text("sep=;\nfile;left;top;right;bottom\na\\é.jpg;1;2;3;4\n", encoding="utf-16")
    boxes = read_regions(tmp_path / "boxes.csv", tmp_path, [path]).boxes(path)
    assert boxes is not None and boxes.tolist() == [[1, 2, 3, 4]]

"""Lists of files and names of files as other systems and shells write them."""

from __future__ import annotations

import os
import unicodedata
from io import BytesIO
from pathlib import Path

import pytest

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Reading
from tests.data.test_examples import touch

LIST = "a.jpg\nb é.jpg\nsub/c.jpg\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "b é.jpg", "sub/c.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        LIST.encode(),
        LIST.replace("\n", "\r\n").encode(),
        LIST.encode("utf-8-sig"),
        LIST.encode("utf-16"),
        b"\xff\xfe" + LIST.replace("\n", "\r\n").encode("utf-16-le"),
        b"\xfe\xff" + LIST.encode("utf-16-be"),
        LIST.encode("utf-32"),
        LIST.replace("\n", "\0").encode(),
        LIST.replace("/", "\\").encode(),
        LIST.replace("a.jpg", ".\\a.jpg").encode(),
        "\ufeffa.jpg\n\ufeffb é.jpg\nsub/c.jpg\n".encode(),
        unicodedata.normalize("NFD", LIST).encode(),
    ],
)
def test_every_list_names_the_same_pictures(place, content):
    (place / "list.txt").write_bytes(content)
    assert find_pictures(["@list.txt"]) == ["a.jpg", "b é.jpg", "sub/c.jpg"] or find_pictures(["@list.txt"]) == [
        "./a.jpg",
        "b é.jpg",
        "sub/c.jpg",
    ]
    assert len(find_pictures(["-"], BytesIO(content))) == 3


def test_lists_that_are_none(place):
    (place / "list.txt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UsageError, match=r"list\.txt' is a Git LFS pointer"):
        find_pictures(["@list.txt"])
    (place / "list.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(UsageError, match="is cut, or not in UTF-16"):
        find_pictures(["@list.txt"])
    with pytest.raises(UsageError, match="Line 1 of"):
        find_pictures(["-"], BytesIO(b"none.jpg\n"))


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_names_are_found_in_either_unicode_form(tmp_path, disk, asked):
    touch(tmp_path, unicodedata.normalize(disk, "thé/ü.jpg"), "plain/ü.jpg")
    for argument in ("thé/ü.jpg", "thé"):
        (found,) = find_pictures([f"{tmp_path}/{unicodedata.normalize(asked, argument)}"])
        assert Path(found).exists()
    touch(tmp_path, unicodedata.normalize("NFD", "plain/ü.jpg"))
    both = find_pictures([f"{tmp_path}/plain/{unicodedata.normalize(form, 'ü.jpg')}" for form in ("NFC", "NFD")])
    assert len(both) == 2  # where both exist, each name is its own file


def test_brackets_are_names_first_and_explained_in_patterns(place):
    touch(place, "br[1].jpg", "br1.jpg", "[2024] trip/x.jpg", "[2024] trip/y.jpg")
    assert find_pictures(["br[1].jpg"]) == ["br[1].jpg"]
    assert find_pictures(["[2024] trip"]) == ["[2024] trip/x.jpg", "[2024] trip/y.jpg"]
    assert find_pictures(["[2024] trip/*.jpg"]) == ["[2024] trip/x.jpg", "[2024] trip/y.jpg"]
    os.unlink("br[1].jpg")  # noqa: PTH108
    assert find_pictures(["br[1].jpg"]) == ["br1.jpg"]
    with pytest.raises(UsageError, match=r"\[ab\] stands for one of these letters.*write 'no\[\[\]x\].jpg'"):
        find_pictures(["no[x].jpg"])


def test_a_name_with_a_backslash_is_itself_where_it_exists(place):
    touch(place, "sub\\c.jpg")
    assert find_pictures(["sub\\c.jpg"]) == ["sub\\c.jpg"]
    os.unlink("sub\\c.jpg")  # noqa: PTH108
    assert find_pictures(["sub\\c.jpg"]) == ["sub/c.jpg"]


def test_pointers_in_the_place_of_pictures(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(PictureError, match=r"a\.jpg' is a Git LFS pointer, not the file itself; run git lfs pull"):
        decode_file(str(tmp_path / "a.jpg"), Reading(16, 16))

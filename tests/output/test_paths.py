import os
from pathlib import Path

import pytest
from PIL import Image

from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.output.masks.paths import check_no_clash, output_paths

OUT = Path("masks")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path, format="PNG")

    return make


def stems(*inputs, out=OUT):
    paths = output_paths(find_pictures(inputs), inputs, out)
    return {picture: str(path.stem.relative_to(out)) for picture, path in paths.items()}


def test_sub_folders_of_an_input_folder_are_mirrored(here):
    here("photos/1.jpg", "photos/drive/1.jpg", "photos/drive/day 2/1.jpg")
    assert set(stems("photos").values()) == {"1", "drive/1", "drive/day 2/1"} == set(stems("./photos/").values())
    os.chdir("photos")
    assert set(stems(".", out=Path("../masks")).values()) == {"1", "drive/1", "drive/day 2/1"}


def test_pictures_that_differ_only_in_their_endings_keep_them(here):
    here("photos/a.jpg", "photos/a.png", "photos/b.jpg", "photos/sub/a.jpg", "photos/A.gif")
    assert set(stems("photos").values()) == {"a.jpg", "a.png", "A.gif", "b", "sub/a"}


def test_pictures_named_one_by_one_keep_the_folders_below_their_deepest_common_one(here):
    here("photos/a/1.jpg", "photos/b/1.jpg", "photos/b/2.jpg", "other/x/1.jpg")
    assert list(stems("photos/a/1.jpg").values()) == ["1"]
    assert list(stems("photos/a/1.jpg", "photos/b/1.jpg").values()) == ["a/1", "b/1"]
    assert list(stems("photos/*/1.jpg").values()) == ["a/1", "b/1"]
    Path("list.txt").write_text("photos/b/1.jpg\nphotos/b/2.jpg\n")
    assert list(stems("@list.txt").values()) == ["1", "2"]
    assert list(stems("photos", "other/x/1.jpg").values()) == ["a/1", "b/1", "b/2", "1"]


def test_the_picture_on_standard_input_is_called_stdin(here):
    here("photos/a.jpg")
    assert stems("photos", "photos/a.jpg") == {"photos/a.jpg": "a"}
    paths = output_paths(["-", "photos/a.jpg"], ["-", "photos"], OUT)
    assert [str(path.file(".png")) for path in paths.values()] == ["masks/stdin.png", "masks/a.png"]


def test_two_pictures_with_the_same_output_path_are_refused(here):
    here("a/1.jpg", "b/1.jpg")
    with pytest.raises(UsageError, match=r"'a/1.jpg' and 'b/1.jpg' would both be '1.jpg'"):
        stems("a", "b")


def test_an_output_folder_among_the_pictures_is_not_read_and_no_input_folder_may_be_one(here):
    here("photos/1.jpg", "photos/masks/1.png", "photos/masks/sub/2.png")
    assert stems("photos", out=Path("photos/masks")) == {"photos/1.jpg": "1"}
    assert len(stems("photos", "photos/masks/sub/2.png", out=Path("elsewhere"))) == 3
    with pytest.raises(UsageError, match="is the folder of the pictures themselves"):
        stems("photos", out=Path("photos/../photos"))
    Path("photos/1.jpg").unlink()
    with pytest.raises(UsageError, match="All pictures are in --out"):
        stems("photos", out=Path("photos/masks"))


def test_files_that_would_replace_a_picture_or_each_other_are_refused(here):
    here("photos/a.jpg", "photos/a.overlay.jpg", "photos/b.png")
    paths = output_paths(find_pictures(["photos"]), ["photos"], OUT)
    check_no_clash(paths, [".png"])
    with pytest.raises(UsageError, match=r"a\.overlay\.png"):
        check_no_clash(paths, [".png", ".overlay.png"])
    same_folder = output_paths(["photos/b.png"], ["photos/b.png"], Path("photos"))
    with pytest.raises(UsageError, match=r"'photos/b.png', for 'photos/b.png', would replace 'photos/b.png'"):
        check_no_clash(same_folder, [".png"])


def test_names_with_dots_line_breaks_and_bytes_that_are_not_utf8_work():
    inputs = ["odd\udce9/.hidden.jpg", "odd\udce9/two.parts.jpg", "odd\udce9/none", "odd\udce9/new\nline.jpg"]
    paths = output_paths(inputs, inputs, OUT)
    assert [path.file(".png").name for path in paths.values()] == [
        *(".hidden.png", "two.parts.png", "none.png", "new\nline.png")
    ]

import io
import os
import pickle

import pytest
from PIL import Image

from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.formats import FORMATS, is_picture_bytes, looks_like_picture, named_like_picture
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.images.view import open_view

PNG_START = b"\x89PNG\r\n\x1a\n" + bytes(24)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, so that relative paths work."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder, *names, content=b""):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_a_folder_is_searched_to_any_depth_in_natural_order(folder):
    put(folder, "d/img10.jpg", "d/img2.JPG", "d/Img1.png", "d/img3/b.webp", "d/img3/a.heic")
    assert find_pictures(["d"]) == ["d/Img1.png", "d/img2.JPG", "d/img3/a.heic", "d/img3/b.webp", "d/img10.jpg"]


def test_a_folders_pictures_are_known_by_extension_or_first_bytes(folder):
    put(folder, "d/labels.csv", "d/run.py", "d/README.md", "d/empty", "d/BMI.csv", content=b"BMI,age\n" * 9)
    put(folder, "d/Thumbs.db", "d/.DS_Store", content=b"\xd0\xcf\x11\xe0" + bytes(60))
    put(folder, "d/.hidden.jpg", "d/._a.jpg", "d/.git/a.jpg")
    put(folder, "d/lying.txt", "d/without_ending", content=PNG_START)
    put(folder, "d/phone", content=b"\0\0\0\x18ftypheic\0\0\0\0")
    put(folder, "d/text.jpg", content=b"not a picture, but named like one")
    assert find_pictures(["d"]) == ["d/lying.txt", "d/phone", "d/text.jpg", "d/without_ending"]


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\x10\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*", b"\0\0\0\x1cftypavif",
        b"BM\x9a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", b"\0\0\0\x0cjP  \r\n\x87\n", b"qoif",
    ],
)  # fmt: skip
def test_the_first_bytes_of_each_format_are_known(folder, start):
    put(folder, "d/x", content=start + bytes(32))
    assert find_pictures(["d"]) == ["d/x"]


def test_the_extensions_of_each_format_are_known():
    Image.init()
    rare = {".bw", ".rgb", ".rgba", ".icb", ".vda", ".vst", ".j2c", ".jpc"}  # also other programs' raw data
    known = {extension for extension, kind in Image.registered_extensions().items() if kind in FORMATS} - rare
    for extension in known | {".heic", ".heics", ".heif", ".hif", ".mpo"}:
        assert named_like_picture(f"a{extension}")
        assert named_like_picture(f"a{extension.upper()}")
        assert not named_like_picture(f"a{extension}x")


@pytest.mark.parametrize(
    "kind",
    ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "DDS", "DIB"],
)
def test_first_bytes_of_files_that_pillow_writes_are_known(kind):
    stream = io.BytesIO()
    Image.new("RGB", (5, 4)).save(stream, kind)
    assert is_picture_bytes(stream.getvalue()[:32]) == (kind != "DIB")  # DIB has no signature


@pytest.mark.parametrize(
    "text", [b"", b"photos/a.jpg\n", b"BM is no bitmap", b"P1 is no bitmap either", b"RIFF\x10\0\0\0WAVEfmt "]
)
def test_other_first_bytes_are_not_a_pictures(text):
    assert not is_picture_bytes(text.ljust(32, b" "))


def test_what_can_not_be_opened_is_not_a_picture(folder):
    assert not looks_like_picture("missing")
    assert not looks_like_picture(str(folder))


def test_a_file_named_by_itself_is_always_taken(folder):
    put(folder, "labels.csv", ".hidden")
    assert find_pictures(["labels.csv", ".hidden"]) == ["labels.csv", ".hidden"]


def test_each_real_file_comes_once_in_the_order_of_the_inputs(folder):
    put(folder, "d/a.jpg", "d/b.jpg", "e/c.jpg")
    (folder / "link.jpg").symlink_to("d/a.jpg")
    os.link(folder / "d/b.jpg", folder / "e/hard.jpg")
    assert find_pictures(["d/b.jpg", "d", "link.jpg", "d/../d/a.jpg", "e"]) == [
        "d/b.jpg", "d/a.jpg", "e/c.jpg", "e/hard.jpg",
    ]  # fmt: skip


def test_link_loops_and_dangling_links_are_skipped(folder):
    put(folder, "d/a.jpg")
    (folder / "d/loop").symlink_to(folder / "d")
    (folder / "d/self.jpg").symlink_to("self.jpg")
    (folder / "d/gone.jpg").symlink_to("nowhere.jpg")
    (folder / "outside").mkdir()
    put(folder, "outside/b.jpg")
    (folder / "d/z").symlink_to(folder / "outside")
    os.mkfifo(folder / "d/pipe.jpg")
    assert find_pictures(["d"]) == ["d/a.jpg", "d/z/b.jpg"]


def test_unusual_names_are_found(folder):
    names = ["-x.jpg", "q\"uo'te.jpg", "new\nline.jpg", "spa ce.jpg", os.fsdecode(b"caf\xe9.jpg"), "a[1].jpg"]
    put(folder, *(f"d/{name}" for name in names))
    assert sorted(find_pictures(["d"])) == sorted(f"d/{name}" for name in names)
    assert find_pictures(["d/a[1].jpg"]) == ["d/a[1].jpg"]


def test_a_folder_named_like_a_picture_is_searched_and_an_empty_one_is_returned(folder):
    put(folder, "d/a.jpg/inside.png", "d/b.jpg")
    (folder / "d/empty.jpg").mkdir()
    assert find_pictures(["d"]) == ["d/a.jpg/inside.png", "d/b.jpg", "d/empty.jpg"]
    assert find_pictures(["d/a.jpg"]) == ["d/a.jpg/inside.png"]


def test_patterns(folder):
    put(folder, "d/a10.jpg", "d/a9.jpg", "d/deep/er/a1.jpg", "d/notes.txt", content=b"no picture")
    assert find_pictures(["d/*.jpg"]) == ["d/a9.jpg", "d/a10.jpg"]
    assert find_pictures(["d/**/*.jpg"]) == ["d/a9.jpg", "d/a10.jpg", "d/deep/er/a1.jpg"]
    assert find_pictures(["d/*"]) == ["d/a9.jpg", "d/a10.jpg", "d/deep/er/a1.jpg"]
    with pytest.raises(UsageError, match=r"Nothing matches the pattern 'd/\*\.png'"):
        find_pictures(["d/*.png"])
    with pytest.raises(UsageError, match="is a picture"):
        find_pictures(["d/*.txt"])


def test_a_list_in_a_file(folder):
    put(folder, "a.jpg", "b c.jpg", "d/e.jpg", os.fsdecode(b"\xff.jpg"))
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbfb c.jpg\r\n\na.jpg\nd\n\xff.jpg")
    assert find_pictures(["@list.txt"]) == ["b c.jpg", "a.jpg", "d/e.jpg", os.fsdecode(b"\xff.jpg")]
    put(folder, "@file.jpg")
    assert find_pictures(["@file.jpg"]) == ["@file.jpg"]


@pytest.mark.parametrize(
    "kind", [io.BytesIO, lambda text: io.TextIOWrapper(io.BytesIO(text)), lambda t: io.StringIO(t.decode())]
)
def test_a_list_on_standard_input(folder, kind):
    put(folder, "a.jpg", "new\nline.jpg")
    assert find_pictures(["-"], kind(b"a.jpg\n")) == ["a.jpg"]
    assert find_pictures(["-"], kind(b"a.jpg\0new\nline.jpg\0")) == ["a.jpg", "new\nline.jpg"]


def png(*size):
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("copied", [lambda item: item, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_picture_on_standard_input(folder, copied):
    put(folder, "a.jpg")
    pictures = find_pictures(["a.jpg", "-"], io.BytesIO(png(6, 4)))
    assert pictures == ["a.jpg", "-"]
    picture = copied(pictures[1])
    assert isinstance(picture, StandardInput)
    assert (picture.content, picture.stem) == (png(6, 4), "stdin")
    view = open_view(picture, Reading(16, 224))
    assert (view.path, view.size) == ("-", (4, 6))
    assert type(view.path) is str  # so that a row does not keep the bytes


@pytest.mark.parametrize("content", [b"GIF89a\nb.jpg\n", b"GIF89a\r\nb.jpg", b"GIF89a\0b.jpg\0"])
def test_a_list_on_standard_input_may_begin_like_a_picture(folder, content):
    put(folder, "GIF89a", "b.jpg")
    assert find_pictures(["-"], io.BytesIO(content)) == ["GIF89a", "b.jpg"]


def test_standard_input_without_a_pictures_first_bytes_is_a_list(folder):
    with pytest.raises(UsageError, match=r"Line 1 of standard input: 'gone\.jpg' is not there"):
        find_pictures(["-"], io.BytesIO(b"gone.jpg\n"))


def test_standard_input_is_the_default(folder, monkeypatch):
    put(folder, "a.jpg")
    monkeypatch.setattr("sys.stdin", io.StringIO("a.jpg\n"))
    assert find_pictures(["-"]) == ["a.jpg"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("holiday.jgp", "'holiday.jgp' is not there. Did you mean 'holiday.jpg'?"),
        ("fotos/holiday.jpg", "'fotos/holiday.jpg' is not there, nor is 'fotos'. Did you mean 'photos'?"),
        ("0123456789", "'0123456789' is not there."),
        ("photos", "There is no picture in the folder 'photos'."),
        ("@lost.txt", "The list 'lost.txt' is not there. Did you mean 'list.txt'?"),
        ("@list.txt", "Line 2 of 'list.txt': 'gone.jpg' is not there."),
        ("@photos", "The list 'photos' can't be read: Is a directory."),
        ("@blank.lst", "The list 'blank.lst' is empty."),
        ("-", "The list on standard input is empty."),
        ("a\0b", "'a\\x00b' is not there."),
        ("x" * 5000, f"'{'x' * 5000}' is not there."),
    ],
)  # fmt: skip
def test_missing_paths_get_a_message(folder, given, sentence):
    put(folder, "holiday.jpg", "photos/notes.txt", "blank.lst")
    (folder / "list.txt").write_text("holiday.jpg\ngone.jpg\n")
    with pytest.raises(UsageError) as caught:
        find_pictures([given], io.BytesIO())
    assert str(caught.value) == sentence


def test_an_unreadable_folder_is_an_error_if_named_and_skipped_below(folder, monkeypatch):
    put(folder, "d/a.jpg", "d/shut/b.jpg")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("shut"))
    assert find_pictures(["d"]) == ["d/a.jpg"]
    with pytest.raises(UsageError, match="'d/shut' may not be read: permission denied"):
        find_pictures(["d/shut"])

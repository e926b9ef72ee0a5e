"""What Python users hand in: tensors, batches, buffers, files; anything else raises with what is taken."""

import collections
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import TAKEN, is_picture, one_or_several, open_view
from tests.images.pictures import noise

READING = Reading(16, 1600)
HWC = noise(40, 60)


def pixels(picture):
    return open_view(picture, READING).source.pixels


@pytest.fixture(scope="module")
def predictor(model_folder):
    return load(str(model_folder), device="cpu")


def label(row):
    assert row.error is None
    return (row.width, row.height, row.labels[0].label, round(row.labels[0].probability, 4))


TENSORS = {
    "channels last": torch.from_numpy(HWC),
    "channels first": torch.from_numpy(HWC).permute(2, 0, 1),
    "floats": torch.from_numpy(HWC).permute(2, 0, 1) / 255,
    "halves": (torch.from_numpy(HWC) / 255).to(torch.float16),
    "doubles with a gradient": (torch.from_numpy(HWC).double() / 255).requires_grad_(),
    "an opaque fourth channel": torch.cat([torch.from_numpy(HWC), torch.full((40, 60, 1), 255, dtype=torch.uint8)], 2),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_is_one_picture(predictor, name):
    tensor = TENSORS[name]
    assert np.abs(pixels(tensor).astype(int) - HWC).max() <= 1
    assert label(predictor.classify(tensor))[:2] == (60, 40)
    assert [label(row) for row in predictor.classify([tensor])] == [label(predictor.classify(tensor))]


def test_bfloat16_is_read_within_its_precision():
    assert np.abs(pixels(torch.from_numpy(HWC).permute(2, 0, 1).to(torch.bfloat16) / 255).astype(int) - HWC).max() <= 1


@pytest.mark.parametrize("shape", [(40, 60), (1, 40, 60), (40, 60, 1)])
def test_a_grey_tensor(shape):
    grey = torch.from_numpy(HWC[..., 0].copy())
    np.testing.assert_array_equal(pixels(grey.reshape(shape)), HWC[..., :1].repeat(3, -1))


@given(st.sampled_from([1, 3, 4]), st.integers(1, 9), st.integers(1, 9))
def test_the_shape_says_where_the_channels_are(channels, height, width):
    """If both could be, it is not guessed."""
    first = torch.zeros(channels, height, width, dtype=torch.uint8)
    first[:, 0, 0] = 255
    if width in (1, 3, 4):
        with pytest.raises(PictureError, match="whose channels may come first or last; give it as a NumPy array"):
            pixels(first)
    else:
        assert pixels(first).shape == (height, width, 3)
    last = first.permute(1, 2, 0)
    if height in (1, 3, 4):
        with pytest.raises(PictureError, match="whose channels may come first or last"):
            pixels(last)
    else:
        assert pixels(last).shape == (height, width, 3)
        assert pixels(last)[0, 0].tolist()[:3] == [255, 255, 255]


@pytest.mark.parametrize("batch", ["tensor first", "tensor last", "array"])
def test_a_batch_is_several_pictures(predictor, batch):
    arrays = np.stack([noise(40, 60, seed=seed) for seed in range(5)])
    given_batch = {
        "tensor first": torch.from_numpy(arrays).permute(0, 3, 1, 2),
        "tensor last": torch.from_numpy(arrays),
        "array": arrays,
    }[batch]
    rows = list(predictor.classify(given_batch))
    assert [label(row) for row in rows] == [label(predictor.classify(one)) for one in arrays]
    assert list(predictor.classify(given_batch[:0])) == []
    assert len(list(predictor.features(given_batch))) == 5


def test_a_tensor_of_another_shape_or_type_is_refused(predictor):
    for tensor in (torch.zeros(2, 40, 60), torch.zeros(()), torch.zeros(3, 0, 9), torch.zeros(1, 1, 3, 4, 5)):
        assert "a picture is (height, width)" in predictor.classify(tensor).error
    assert "holds int64" in predictor.classify(torch.zeros(3, 40, 60, dtype=torch.int64)).error
    assert predictor.classify(torch.randn(3, 40, 60)).note.startswith("float, scaled from -")


@pytest.fixture
def file(tmp_path):
    Image.fromarray(HWC).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_files_and_buffers(predictor, file):
    content = file.read_bytes()
    with file.open("rb") as stream:
        pictures = [str(file), file, content, bytearray(content), memoryview(content), io.BytesIO(content), stream]
        assert len({label(predictor.classify(picture)) for picture in pictures}) == 1
        assert len({label(row) for row in predictor.classify(pictures)}) == 1
    assert predictor.classify(stream).error == f"{str(file)!r} is an open file that was closed; open it again."
    with file.open() as text:
        assert "open it in binary mode" in predictor.classify(text).error


@pytest.mark.parametrize("value", [None, 5, 0.5, object(), {"a.png": 1}, collections.OrderedDict(), print])
def test_anything_else_raises_with_what_is_taken(predictor, value):
    for use in (predictor.classify, predictor.label, predictor.features):
        with pytest.raises(UsageError) as caught:
            use(value)
        assert str(caught.value) == (
            f"A value of type {type(value).__name__} is no picture, and not several; give {TAKEN}, or a list of them."
        )
    with pytest.raises(PictureError, match="is not a picture; give a path"):
        predictor.explain(value)


def test_one_picture_is_enough_wherever_several_are_taken(predictor, file):
    """A path is a string, and would otherwise be taken for its letters."""
    assert [one.row.error for one in predictor.features(str(file))] == [None]
    assert [answer.row.error for answer in predictor.label(file)] == [None]
    assert list(one_or_several(Path("a.png"))) == [Path("a.png")]
    assert list(one_or_several(["a.png"])) == ["a.png"]
    shapes = {(4,): False, (4, 4): True, (4, 4, 3): True, (2, 4, 4, 3): False}
    assert {shape: is_picture(np.zeros(shape)) for shape in shapes} == shapes


class Column(list):
    """A column of a table, as pandas has it: iterable, with a shape, and an array if asked."""

    @property
    def shape(self):
        return (len(self),)

    def __array__(self, dtype=None, copy=None):
        return np.array(list(self), dtype)


def test_a_column_of_paths_is_several_pictures(predictor, file):
    for column in (Column([str(file)] * 3), np.array([str(file)] * 3), np.array([file] * 3, dtype=object)):
        assert [row.error for row in predictor.classify(column)] == [None] * 3


class Response:
    """Something with a method `read` and nothing else."""

    def __init__(self, content):
        self.content = content

    def read(self):
        return self.content


def test_whatever_can_be_read(predictor, file):
    assert predictor.classify(Response(file.read_bytes())).error is None
    assert (
        predictor.classify(Response(None)).error
        == "The picture can't be read: its read() returned NoneType, not bytes."
    )


def test_something_else_in_a_list_is_an_error_row_and_the_others_go_on(predictor, file):
    rows = list(predictor.classify([str(file), None, str(file)]))
    assert [row.error is None for row in rows] == [True, False, True]
    assert rows[1].error == f"A value of type NoneType is not a picture; give {TAKEN}."


def test_a_tensor_without_readable_values_says_so():
    for tensor in (torch.zeros(3, 40, 50).to_sparse(), torch.zeros(3, 40, 50, device="meta")):
        with pytest.raises(PictureError, match="is a tensor whose values can't be read"):
            pixels(tensor)

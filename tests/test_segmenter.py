from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.heads import segment
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.segmenter import Segmenter
from tests.models.small import SEGMENTING, normalised, small


@pytest.fixture
def predictor(segmenting_folder):
    return load(str(segmenting_folder))


def test_classes_are_those_of_the_scores_resized_to_the_picture(predictor, photos, segmenting_folder):
    path = str(photos / "1.png")
    (answer,) = Segmenter(predictor).segment([path])
    assert answer.classes.shape == answer.view.size == (60, 40) and answer.classes.dtype == np.uint8

    model, reader = load_model(str(segmenting_folder), "cpu").model, predictor.pipeline.reader
    view = reader.open(path)
    grid = view.grid
    with torch.inference_mode():
        selection = model.select(normalised(reader.thumbnail(view)), grid)
        cells = torch.tensor([[row * grid[1] + column for row, column in answer.row.cells]])
        patches = normalised(view.patches(cells[0].numpy()))
        scores = model.answer(Chosen(patches, cells, grid, selection.prefix_tokens))
        assert scores.shape == (1, 3, 2 * grid[0], 2 * grid[1])
        expected = F.interpolate(scores, size=(60, 40), mode="bilinear", align_corners=False)[0].argmax(0)
    assert np.mean(answer.classes == expected.numpy()) > 0.999
    assert len(np.unique(answer.classes)) > 1


def test_rows_hold_shares_largest_first_and_what_it_took(predictor, photos):
    for answer in Segmenter(predictor).segment([str(photos / f"{i}.png") for i in range(4)]):
        row = answer.row
        thumbnail = predictor.pipeline.strategy.thumbnail_grid(row.grid)
        assert row.labels == () and row.macs == passes.count_segment(SEGMENTING, row.grid, thumbnail, row.k).total
        assert [share.share for share in row.shares] == sorted((share.share for share in row.shares), reverse=True)
        assert {share.index: (share.label, share.share) for share in row.shares} == {
            index: (SEGMENTING.labels[index], (answer.classes == index).mean()) for index in np.unique(answer.classes)
        }


def test_all_of_it_may_be_read_coarsely_as_well(predictor, photos, segmenting_folder):
    paths = [str(photos / f"{i}.png") for i in range(4)]
    coarsely = load(str(segmenting_folder), coarse=16)
    for one, plain in zip(Segmenter(coarsely).segment(paths), Segmenter(predictor).segment(paths), strict=True):
        assert one.classes.shape == plain.classes.shape and one.row.cells == plain.row.cells
        assert (one.classes != plain.classes).any()
        rows, columns = one.row.coarse
        thumbnail = predictor.pipeline.strategy.thumbnail_grid(one.row.grid)
        spent = passes.count_segment(SEGMENTING, one.row.grid, thumbnail, one.row.k, coarse=rows * columns)
        assert one.row.macs == spent.total


def test_batches_and_strips_change_nothing(predictor, photos, segmenting_folder, monkeypatch):
    paths = [str(photos / f"{i}.png") for i in range(12)]
    together = [answer.classes for answer in Segmenter(predictor).segment(paths)]
    monkeypatch.setattr(segment, "STRIP", 1)
    alone = [answer.classes for answer in Segmenter(load(str(segmenting_folder), batch_size=1)).segment(paths)]
    assert all(np.mean(one == other) > 0.999 for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_has_the_mask_of_what_is_displayed(predictor, photos, tmp_path, orientation):
    with Image.open(photos / "3.png") as picture:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        displayed = ImageOps.exif_transpose(picture)
    turned, upright = Segmenter(predictor).segment([tmp_path / "turned.png", displayed])
    assert turned.classes.shape == (displayed.height, displayed.width)
    assert np.array_equal(turned.classes, upright.classes)


def test_a_picture_that_cant_be_read_is_a_row_with_error(predictor, photos, tmp_path):
    (tmp_path / "bad.png").write_text("no")
    good, bad = Segmenter(predictor).segment([str(photos / "0.png"), str(tmp_path / "bad.png")])
    assert good.classes is not None
    assert bad.row.error and bad.classes is None and bad.view is None


def test_odd_shapes(predictor):
    pictures = [Image.new("RGB", size) for size in ((1, 1), (5, 5), (2000, 1), (1, 300))]
    shapes = [answer.classes.shape for answer in Segmenter(predictor).segment(pictures)]
    assert shapes == [(1, 1), (5, 5), (1, 2000), (300, 1)]


def test_what_can_not_segment_is_refused(model_folder, segmenting_folder, tmp_path):
    with pytest.raises(ModelError, match="can't segment pictures: it classifies them"):
        Segmenter(load(str(model_folder)))
    with pytest.raises(UsageError, match="'crop' leaves pixels without a class"):
        Segmenter(load(str(segmenting_folder), mode="crop"))
    save_model(tmp_path, small(replace(SEGMENTING, labels=tuple(map(str, range(256))))))
    with pytest.raises(ModelError, match="256 classes; a mask holds at most 255"):
        Segmenter(load(str(tmp_path)))


def test_a_model_that_segments_explains_without_labels_and_does_not_classify(predictor, photos):
    with pytest.raises(ModelError, match="use lookwhere segment"):
        predictor.classify(str(photos / "0.png"))
    explanation = predictor.explain(str(photos / "0.png"))
    assert explanation.row.labels == () and explanation.row.k == 17
    assert set(explanation.predictions.values()) == {()}

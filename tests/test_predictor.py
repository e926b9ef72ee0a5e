from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError, PictureError, UsageError
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.strategies.base import Batch, coarse_of
from lookwhere_cli.strategies.fixed import FixedStrategy
from tests.models.small import LABELLED, SMALL, normalised, small


@pytest.fixture
def predictor(model_folder):
    return load(str(model_folder), device="cpu")


def told(rows):
    """What must not depend on batches and threads: paths, cells, labels."""
    return [(row.path, row.cells, [label.label for label in row.labels]) for row in rows]


def test_the_row_of_one_picture(predictor, files, model_folder):
    row = predictor.classify(files[0])
    assert (row.path, row.width, row.height, row.model) == (files[0], 60, 40, str(model_folder))
    assert row.grid == (5, 7) and row.k == len(row.cells) == 17  # half of 35
    assert len(set(row.cells)) == 17 and all(0 <= r < 5 and 0 <= c < 7 for r, c in row.cells)
    assert sum(label.probability for label in row.labels) == pytest.approx(1)
    assert [label.probability for label in row.labels] == sorted((b.probability for b in row.labels), reverse=True)
    assert all(LABELLED.labels[label.index] == label.label for label in row.labels)
    assert (
        row.macs == passes.count_image(LABELLED, (5, 7), predictor.pipeline.strategy.thumbnail_grid((5, 7)), 17).total
    )
    assert row.macs_full == passes.count_full(LABELLED, (5, 7)) and row.seconds > 0


def test_rows_are_what_the_model_computes_step_by_step(predictor, files, model_folder):
    """The main line, written out once more with nothing but the model and the view."""
    model, reader = load_model(str(model_folder), "cpu").model, predictor.pipeline.reader
    view = reader.open(files[1])
    with torch.inference_mode():
        selection = model.select(normalised(reader.thumbnail(view)), view.grid)
        cells = selection.map[0].argsort(descending=True)[: len(selection.map[0]) // 2]
        patches = normalised(view.patches(cells.numpy()))
        cls = model.extract(Chosen(patches, cells[None], view.grid, selection.prefix_tokens))
        expected = model.logits(cls).softmax(-1)[0]
    row = predictor.classify(files[1])
    assert [r * view.grid[1] + c for r, c in row.cells] == cells.tolist()
    for label in row.labels:
        assert label.probability == pytest.approx(expected[label.index].item(), abs=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (2, 3), (5, 2), (64, 1)])
def test_rows_do_not_depend_on_batches_and_threads(predictor, files, model_folder, batch_size, workers):
    expected = [predictor.classify(file) for file in files]
    found = list(load(str(model_folder), batch_size=batch_size, workers=workers).classify(files))
    assert told(found) == told(expected)
    for row, one in zip(found, expected, strict=True):
        assert [b.probability for b in row.labels] == pytest.approx([b.probability for b in one.labels], abs=1e-5)


def test_pictures_of_one_grid_go_together(predictor, files, monkeypatch):
    batches = []
    answer = FixedStrategy.answer
    monkeypatch.setattr(
        FixedStrategy,
        "answer",
        lambda self, runtime, selected, *rest: (
            batches.append(len(selected.batch.pictures)) or answer(self, runtime, selected, *rest)
        ),
    )
    list(predictor.classify(files))
    assert batches == [3, 3, 3, 3]  # four shapes, three of each


def test_files_images_and_arrays_give_the_same_row(predictor, files):
    opened = Image.open(files[2])
    of_file, of_image, of_array = predictor.classify([files[2], opened, np.asarray(opened)])
    probabilities = [label.probability for label in of_file.labels]
    for row, path in ((of_image, of_file.path), (of_array, "")):
        assert replace(row, seconds=0.0, labels=()) == replace(of_file, path=path, seconds=0.0, labels=())
        assert [label.label for label in row.labels] == [label.label for label in of_file.labels]
        # torch's kernels round the ends of a batch's memory differently from its middle.
        assert [label.probability for label in row.labels] == pytest.approx(probabilities, abs=1e-6)


def test_failures_are_rows_in_their_place(predictor, files, tmp_path):
    (tmp_path / "empty.jpg").touch()
    rows = list(predictor.classify([files[0], tmp_path / "empty.jpg", files[1], np.zeros((2, 2, 2))]))
    assert [row.error is None for row in rows] == [True, False, True, False]
    assert rows[1].path.endswith("empty.jpg") and "empty" in rows[1].error
    assert predictor.classify("nowhere.jpg").error


def test_pictures_are_drawn_from_the_iterable_as_they_are_needed(model_folder, files):
    drawn = []
    predictor = load(str(model_folder), batch_size=1, workers=1)
    rows = predictor.classify(drawn.append(file) or file for file in files)
    next(rows)
    assert len(drawn) < len(files)
    rows.close()


def test_counts_and_shares(model_folder, files):
    def read(k):
        return load(str(model_folder), k=k).classify(files[0]).k

    assert [read(k) for k in (1, 0.01, 0.5, 1.0, 35, 36)] == [1, 1, 17, 35, 35, 35]


def test_k_of_all_cells_is_the_plain_vit(model_folder, files):
    """All cells, best first, give what the blocks of a ViT give on the whole grid, row by row."""
    predictor = load(str(model_folder), k=1.0)
    model, reader = load_model(str(model_folder), "cpu").model, predictor.pipeline.reader
    view, row = reader.open(files[0]), predictor.classify(files[0])
    with torch.inference_mode():
        prefix_tokens = model.select(normalised(reader.thumbnail(view)), (5, 7)).prefix_tokens
        extractor, patches = model.extractor, normalised(view.patches(np.arange(35)))
        prefix = extractor.handover(extractor.prefix(), prefix_tokens)
        tokens = extractor.encode(torch.cat([prefix, extractor.embed(patches, (5, 7))], dim=1))
        expected = model.head(tokens[:, 0]).softmax(-1)[0]
    assert row.k == 35 and row.cells != tuple(divmod(cell, 7) for cell in range(35))
    assert {label.index: label.probability for label in row.labels} == pytest.approx(dict(enumerate(expected.tolist())))
    assert row.macs > row.macs_full * 0.5  # the last block computes only CLS


def test_a_rows_seconds_hold_what_opening_its_picture_took(predictor, files, monkeypatch):
    prepare = PictureReader.prepare

    def slow(reader, picture, reserve):
        opened = prepare(reader, picture, reserve)
        return opened._replace(seconds=opened.seconds + 100 * (1 + files.index(picture)))

    monkeypatch.setattr(PictureReader, "prepare", slow)
    for number, row in enumerate(predictor.classify(files), 1):
        assert 100 * number < row.seconds < 100 * number + 50


def test_a_larger_size_gives_a_finer_grid(model_folder, files):
    assert load(str(model_folder), size=48).classify(files[2]).grid == (12, 12)


COARSE = (3, 4)  # as 16 x 16 pixels of a 5 x 7 grid are


def test_all_of_it_may_be_read_coarsely_as_well(model_folder, files):
    predictor = load(str(model_folder), coarse=16)
    row, plain = predictor.classify(files[0]), load(str(model_folder)).classify(files[0])
    assert row.coarse == COARSE and plain.coarse is None
    assert (row.k, row.grid, row.cells) == (plain.k, plain.grid, plain.cells)
    assert row.labels != plain.labels
    assert (
        row.macs
        == passes.count_image(LABELLED, (5, 7), predictor.pipeline.strategy.thumbnail_grid((5, 7)), 17, coarse=12).total
    )
    assert row.macs_full == plain.macs_full


def test_what_is_read_coarsely_is_a_thumbnail_of_its_own(model_folder, files):
    """The main line once more, with nothing but the model and the view; the files hold noise, so a pixel would show."""
    model, reader = load_model(str(model_folder), "cpu").model, load(str(model_folder), coarse=16).pipeline.reader
    view = reader.open(files[0])
    thumbnail = normalised(view.thumbnail(12, 16))
    cells = [thumbnail[..., 4 * r : 4 * r + 4, 4 * c : 4 * c + 4] for r in range(3) for c in range(4)]
    coarse = Coarse(torch.stack(cells, 1), COARSE)
    with torch.inference_mode():
        selection = model.select(normalised(reader.thumbnail(view)), view.grid)
        chosen = selection.map.argsort(descending=True)[:, :17]
        patches = normalised(view.patches(chosen[0].numpy()))
        cls = model.extract(Chosen(patches, chosen, view.grid, selection.prefix_tokens, coarse))
        expected = model.logits(cls).softmax(-1)[0]
    for label in load(str(model_folder), coarse=16).classify(files[0]).labels:
        assert label.probability == pytest.approx(expected[label.index].item(), abs=1e-5)


def test_it_is_the_same_whatever_cells_are_chosen(model_folder, files):
    read = {}
    for k in (1, 9, 1.0):
        reader = load(str(model_folder), coarse=16, k=k).pipeline.reader
        opened = reader.prepare(files[0])
        read[k] = coarse_of(Batch([opened], opened.view.grid), 4)
    assert all(one.grid == COARSE and np.array_equal(one.patches, read[1].patches) for one in read.values())


def test_only_the_coarse_patches_that_cells_leave_unread_may_be_read(files, tmp_path):
    """The same weights, given by hand the coarse patches that the chosen cells cover least."""
    model = small(replace(LABELLED, coarse_patches="unread"))
    save_model(tmp_path, model)
    predictor = load(str(tmp_path), coarse=16)
    row, reader = predictor.classify(files[0]), predictor.pipeline.reader
    assert (row.k, row.coarse, row.coarse_k) == (17, COARSE, 6)  # 18 of 35 cells are unread: 6 of 12 patches
    opened = reader.prepare(files[0])
    cells = torch.tensor([[r * 7 + c for r, c in row.cells]])
    covered = torch.zeros(35).scatter(0, cells[0], 1.0).reshape(5, 7).repeat_interleave(12, 0).repeat_interleave(20, 1)
    areas = covered.unflatten(0, (3, 20)).unflatten(2, (4, 35)).sum((1, 3)).flatten()
    places = areas.argsort(stable=True)[:6].sort().values[None]
    coarse = coarse_of(Batch([opened], opened.view.grid), 4).patches[0, places[0].numpy()]
    with torch.inference_mode():
        selection = model.select(normalised(opened.thumbnail), opened.view.grid)
        patches = normalised(opened.view.patches(cells[0].numpy()))
        read = Coarse(normalised(coarse), COARSE, places)
        cls = model.extract(Chosen(patches, cells, opened.view.grid, selection.prefix_tokens, read))
        expected = model.logits(cls).softmax(-1)[0]
    for label in row.labels:
        assert label.probability == pytest.approx(expected[label.index].item(), abs=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (5, 2), (64, 1)])
def test_rows_with_it_do_not_depend_on_batches_and_threads(model_folder, files, batch_size, workers):
    expected = [load(str(model_folder), coarse=16).classify(file) for file in files]
    found = list(load(str(model_folder), coarse=16, batch_size=batch_size, workers=workers).classify(files))
    assert told(found) == told(expected)
    for row, one in zip(found, expected, strict=True):
        assert row.coarse == one.coarse
        assert [b.probability for b in row.labels] == pytest.approx([b.probability for b in one.labels], abs=1e-5)


def test_a_model_may_read_so_by_itself(tmp_path, files, model_folder):
    save_model(tmp_path, small(replace(LABELLED, coarse_size=16)))
    asked = load(str(model_folder), coarse=16).classify(files[0])
    assert load(str(tmp_path)).classify(files[0]).labels == asked.labels
    assert load(str(tmp_path), coarse=8).classify(files[0]).coarse == (2, 2)
    off = load(str(tmp_path), coarse=0).classify(files[0])
    assert off.coarse is None and off.labels == load(str(model_folder)).classify(files[0]).labels


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"k": 37}, "more than the 36 cells of 24 x 24 pixels"),
        ({"k": 0}, "at least 1"),
        ({"k": 1.5}, "at most 1.0"),
        ({"size": 30}, "use 28 or 32"),
        ({"size": 2}, "use 4"),
        ({"size": 0}, "use 4"),
        ({"size": -3}, "use 4"),
        (
            {"coarse": 18},
            "coarse size is 18 pixels, .* patch of 4 pixels; use 16 or 20",
        ),
        ({"coarse": 3}, "coarse size is 3 .* use 4"),
        ({"coarse": -4}, "coarse size is -4 .* use 4"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"memory": 0}, "memory 0 is not an amount of memory"),
        ({"max_pixels": 0}, "max pixels is 0"),
        ({"top": 0}, "top is 0"),
        ({"mode": "zoom"}, "no mode 'zoom'"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"dtype": "double"}, "no dtype 'double'"),
    ],
)
def test_what_can_not_be_is_refused_at_once(model_folder, settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        load(str(model_folder), **settings)


def test_a_model_without_labels_can_not_classify(tmp_path):
    save_model(tmp_path, small(SMALL))
    with pytest.raises(ModelError, match="has no labels"):
        load(str(tmp_path)).classify([])


def test_multi_label_models_list_their_best_without_a_threshold(tmp_path, files):
    save_model(tmp_path, small(replace(LABELLED, multi_label=True)))
    labels = load(str(tmp_path), top=2).classify(files[0]).labels
    assert len(labels) == 2
    softmax = load(str(tmp_path)).classify(files[0]).labels
    assert sum(label.probability for label in softmax) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(model_folder, files, dtype):
    rows = list(load(str(model_folder), dtype=dtype).classify(files[:3]))
    assert all(0 < row.labels[0].probability <= 1 for row in rows)


def test_the_displayed_picture_is_the_whole_one_at_full_resolution(model_folder, files):
    cropped = load(str(model_folder), mode="crop")
    assert np.array_equal(cropped.pipeline.reader.displayed(files[0], 40, 60), np.asarray(Image.open(files[0])))


class Unreadable:
    """A source whose thumbnail can be read, and no cell of it."""

    size, path = (40, 60), "torn.tif"

    def read(self, box, height, width):
        if box[2] - box[0] < 60:
            raise PictureError("'torn.tif' is damaged or cut short.")
        return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_whose_cells_can_not_be_read_fails_alone(model_folder, files, workers):
    predictor = load(str(model_folder), workers=workers)
    pictures = [files[0], Unreadable(), *files[1:]]
    rows = list(predictor.classify(pictures))
    assert [(row.path, row.error) for row in rows if row.error] == [("torn.tif", "'torn.tif' is damaged or cut short.")]
    assert told(rows[:1] + rows[2:]) == told(predictor.classify(files))
    features = list(predictor.features(pictures))
    assert [one.row.path for one in features if one.row.error] == ["torn.tif"]
    assert [one.cls is None for one in features] == [bool(one.row.error) for one in features]

"""Scores of boxes: by hand, as pycocotools gives them when asked directly, and as sums over pictures."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lookwhere_cli.metrics.boxes import BoxesScorer, InstancesScorer, PairedBoxes, as_objects, confuse, true_masks
from lookwhere_cli.metrics.intervals import draw_resamples
from lookwhere_cli.metrics.matches import CocoEvaluation, PictureObjects, resampled_precisions
from lookwhere_cli.metrics.scores import Outlines, Scores, TrueBoxes, Truth
from lookwhere_cli.output.masks.run_lengths import area_of, encode_box, encode_outline


def truth(*objects):
    """Objects as (class, left, top, right, bottom), a crowd with one more."""
    return TrueBoxes(
        np.array([one[1:5] for one in objects], np.float32).reshape(-1, 4),
        np.array([one[0] for one in objects], np.int64),
        np.array([len(one) > 5 for one in objects], np.bool_),
    )


def answer(*boxes):
    """Boxes as (score, class, left, top, right, bottom)."""
    return np.array([[*one[2:], *one[:2]] for one in boxes], np.float32).reshape(-1, 6)


def truths(*pictures):
    return [Truth((), None, one) for one in pictures]


def scores_of(answers, pictures, classes=(0, 1), labels=2) -> Scores:
    scorer = BoxesScorer(np.array(classes), labels)
    scorer.add(answers[:1], truths(*pictures[:1]))
    scorer.add(answers[1:], truths(*pictures[1:]))
    return scorer.scores()


def test_by_hand():
    """Class 0: right at 0.9, wrong at 0.8, right at 0.7 with an IoU of 0.62, of three objects. Class 1: one, found."""
    pictures = [truth((0, 0, 0, 10, 10), (0, 50, 50, 60, 60)), truth((0, 0, 0, 10, 10), (1, 20, 20, 120, 120))]
    answers = [
        answer((0.9, 0, 0, 0, 10, 10), (0.8, 0, 30, 30, 40, 40)),
        answer((0.7, 0, 0, 0, 10, 6.2), (0.6, 1, 20, 20, 120, 120)),
    ]
    scores = scores_of(answers, pictures)
    assert list(scores.metrics) == ["ap", "ap50", "ap75", "ap33", "ap_small", "ap_large", "ar"]
    # Recall 1/3 at precision 1 (34 of 101 thresholds), 2/3 at 2/3 (33 thresholds); beyond an IoU of 0.6 the first only.
    both, first = (34 + 33 * 2 / 3) / 101, 34 / 101
    values = {name: score.value for name, score in scores.metrics.items()}
    assert values["ap50"] == values["ap33"] == pytest.approx((both + 1) / 2)
    assert values["ap75"] == pytest.approx((first + 1) / 2)
    assert values["ap"] == pytest.approx(((3 * both + 7 * first) / 10 + 1) / 2)
    assert values["ap_small"] == pytest.approx(2 * values["ap"] - 1)
    assert values["ap_large"] == pytest.approx(1)
    assert scores.per_class.tolist() == pytest.approx([both, 1])
    assert scores.support.tolist() == [3, 1]
    assert scores.confusion.tolist() == [[2, 0, 1], [0, 1, 0], [1, 0, 0]]
    low, high = scores.metrics["ap50"][1:]
    assert low <= values["ap50"] <= high


def made(seed, pictures=40, labels=3):
    """Random objects of all sizes, found ones near them and anywhere, some in crowds; scores that often equal."""
    rng = np.random.default_rng(seed)
    true, found = [], []
    for _ in range(pictures):
        count = rng.integers(0, 6)
        corners, sizes = rng.uniform(0, 200, (count, 2)), np.exp(rng.uniform(1, 5.2, (count, 2)))
        boxes = np.concatenate((corners, corners + sizes), axis=1).astype(np.float32)
        classes, crowd = rng.integers(0, labels, count), rng.random(count) < 0.1
        true.append(TrueBoxes(boxes, classes, crowd))
        near = np.repeat(boxes, rng.integers(0, 3, count), axis=0)
        near += rng.normal(0, 0.07, near.shape) * np.tile(near[:, 2:] - near[:, :2], 2)
        corners = rng.uniform(0, 200, (rng.integers(0, 5), 2))
        boxes = np.concatenate((near, np.concatenate((corners, corners + 30), axis=1))).astype(np.float32)
        scores = np.round(rng.random(len(boxes)), 1 if seed % 2 else 6)
        labels_found = rng.integers(0, labels, len(boxes))
        found.append(np.column_stack([boxes, scores, labels_found]).astype(np.float32))
    return found, true


def asked_directly(answers, pictures, thresholds=None):
    """COCO's own twelve figures, from its own format."""
    images = [{"id": index + 1} for index in range(len(pictures))]
    annotations, results = [], []
    for index, (found, true) in enumerate(zip(answers, pictures, strict=True), start=1):
        for box, label, crowd in zip(true.boxes.astype(float), true.classes, true.crowd, strict=True):
            shape = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append({"id": len(annotations) + 1, "image_id": index, "category_id": int(label) + 1})
            annotations[-1] |= {"bbox": shape, "area": shape[2] * shape[3], "iscrowd": int(crowd)}
        for box in found.astype(float):
            shape = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": index, "category_id": int(box[5]) + 1, "bbox": shape, "score": box[4]})
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": one} for one in (1, 2, 3)]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        if thresholds is not None:
            evaluation.params.iouThrs = np.array(thresholds)
        evaluation.evaluate()
        evaluation.accumulate()
        if thresholds is None:
            evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_pycocotools(seed):
    answers, pictures = made(seed)
    scores = scores_of(answers, pictures, (0, 1, 2), 3)
    stats = asked_directly(answers, pictures).stats
    values = {name: score.value for name, score in scores.metrics.items()}
    expected = dict(zip(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), stats, strict=False))
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert values["ar"] == pytest.approx(stats[8])
    loose = asked_directly(answers, pictures, [0.33]).eval["precision"]
    assert values["ap33"] == pytest.approx(loose[:, :, :, 0, -1].mean())


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_the_set_of_the_pictures_that_were_drawn(seed):
    answers, pictures = made(2 * seed)  # without equal scores, whose order a resample can't keep
    draws = draw_resamples(len(pictures))[:3]
    found = [PictureObjects(one[:, :4], one[:, 5].astype(int), one[:, 4], np.zeros(len(one), bool)) for one in answers]
    evaluation = CocoEvaluation([as_objects(one) for one in pictures], found, (0, 1, 2))
    resampled = np.stack([resampled_precisions(evaluation.matches(label), draws)[0] for label in range(3)], axis=2)
    for draw, precisions in zip(draws, resampled, strict=True):
        drawn = np.repeat(np.arange(len(pictures)), draw)
        direct = asked_directly([answers[one] for one in drawn], [pictures[one] for one in drawn]).eval["precision"]
        assert np.allclose(precisions[1:], direct[:, :, :, 0, -1].mean(axis=1), atol=2e-3)


def test_resampling_once_each_gives_the_value_itself():
    answers, pictures = made(1)
    found = [PictureObjects(one[:, :4], one[:, 5].astype(int), one[:, 4], np.zeros(len(one), bool)) for one in answers]
    evaluation = CocoEvaluation([as_objects(one) for one in pictures], found, (0, 1, 2))
    precisions, recalls = evaluation.average_precisions()
    for place, size in enumerate(("all", "small", "medium", "large")):
        for label in range(3):
            once = resampled_precisions(evaluation.matches(label, size), np.ones((1, len(pictures)), int))
            assert np.allclose(once[0][0], precisions[:, label, place], equal_nan=True)
            assert np.allclose(once[1][0], recalls[:, label, place], equal_nan=True)


def test_nothing_found_and_labels_that_the_data_lack():
    pictures = [truth((0, 0, 0, 10, 10)), truth()]
    scores = scores_of([answer(), answer((0.9, 1, 0, 0, 10, 10))], pictures, classes=(0,))
    assert scores.metrics["ap"].value == scores.metrics["ar"].value == 0
    found = scores_of([answer((0.5, 0, 0, 0, 10, 10)), answer((0.9, 1, 0, 0, 10, 10))], pictures, classes=(0,))
    assert found.metrics["ap"].value == pytest.approx(1)


def test_crowds_do_not_count():
    pictures = [truth((0, 0, 0, 10, 10), (0, 100, 100, 200, 200, "crowd"))]
    answers = [answer((0.9, 0, 110, 110, 120, 120), (0.8, 0, 0, 0, 10, 10))]
    scores = scores_of(answers, pictures, (0,), 1)
    assert scores.metrics["ap"].value == pytest.approx(1)
    assert scores.support.tolist() == [1]
    assert scores.confusion.tolist() == [[1, 0], [0, 0]]


def test_confusion_by_hand():
    true = as_objects(truth((0, 0, 0, 10, 10), (1, 20, 20, 30, 30), (1, 40, 40, 50, 50)))
    found = answer(
        (0.9, 1, 0, 0, 10, 10),  # another class
        (0.8, 0, 0, 0, 10, 9),  # the place is taken
        (0.7, 1, 20, 20, 30, 30),
        (0.2, 1, 40, 40, 50, 50),  # too low a score
    )
    objects = PictureObjects(found[:, :4], found[:, 5].astype(int), found[:, 4], np.zeros(len(found), bool))
    assert confuse(true, objects, 2).tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_sums_over_pictures_give_nearly_the_same(seed):
    answers, pictures = made(seed)
    metric = PairedBoxes(np.arange(3))
    counts = np.stack(
        [
            metric.counts(
                SimpleNamespace(
                    detections=SimpleNamespace(boxes=one[:, :4], scores=one[:, 4], classes=one[:, 5].astype(np.int64))
                ),
                *truths(true),
            )
            for one, true in zip(answers, pictures, strict=True)
        ]
    )
    exact = scores_of(answers, pictures, (0, 1, 2), 3).metrics["ap50"]
    score = metric.score(counts)
    assert score.value == pytest.approx(exact.value, abs=0.02 if seed % 2 else 0.005)
    assert score.low == pytest.approx(exact.low, abs=0.03)
    assert score.high == pytest.approx(exact.high, abs=0.03)


def test_how_much_of_a_picture_is_right():
    metric = PairedBoxes(np.arange(2))
    boxes = np.array([[0, 0, 10, 10], [30, 30, 40, 40], [50, 50, 60, 60]], np.float32)
    found = SimpleNamespace(boxes=boxes, scores=np.array([0.9, 0.5, 0.1], np.float32), classes=np.array([0, 1, 1]))
    result = SimpleNamespace(detections=found)
    (one,) = truths(truth((0, 0, 0, 10, 10), (1, 50, 50, 60, 60)))
    assert metric.correct_share(metric.counts(result, one)) == pytest.approx(2 / 4)
    nothing = SimpleNamespace(boxes=boxes[:0], scores=found.scores[:0], classes=found.classes[:0])
    (empty,) = truths(truth())
    assert metric.correct_share(metric.counts(SimpleNamespace(detections=nothing), empty)) == 1


def shapes(seed, pictures=12, size=(80, 100)):
    """Ellipses as polygons, as run lengths or as boxes only; found ones are shifted or missing."""
    rng = np.random.default_rng(seed)
    for _ in range(pictures):
        count = int(rng.integers(0, 4))
        centres, radii = rng.uniform(20, 60, (count, 2)), rng.uniform(5, 20, (count, 2))
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        rings = centres[:, None] + radii[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=-1)
        polygons = [[ring.ravel().tolist()] for ring in rings]
        outlines = [encode_outline(one, size) if place % 2 else one for place, one in enumerate(polygons)]
        boxes = np.concatenate((rings.min(axis=1), rings.max(axis=1)), axis=1).astype(np.float32).reshape(-1, 4)
        classes = rng.integers(0, 2, count)
        true = TrueBoxes(boxes, classes, np.zeros(count, bool), Outlines(size, tuple(outlines)))
        moved = [[(np.array(one[0]) + rng.normal(0, 2)).tolist()] for one in polygons]
        found = np.column_stack([boxes, rng.random(count), classes]).astype(np.float32)
        yield true, found, [encode_outline(one, size) for one in moved]


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_scored_as_pycocotools_does(seed):
    size, made_set = (80, 100), list(shapes(seed))
    scorer = InstancesScorer(np.arange(2), 2)
    for true, found, masks in made_set:
        scorer.add_instances([found], [masks], truths(true), [size])
    metrics = scorer.scores().metrics
    annotations, results = [], []
    for image, (true, found, masks) in enumerate(made_set, start=1):
        for label, shape in zip(true.classes, true_masks(true, size), strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": int(label) + 1})
            annotations[-1] |= {"segmentation": shape, "area": area_of(shape), "iscrowd": 0, "bbox": [0, 0, 1, 1]}
        for row, shape in zip(found.astype(float), masks, strict=True):
            results.append({"image_id": image, "category_id": int(row[5]) + 1, "segmentation": shape, "score": row[4]})
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": one + 1, "height": 80, "width": 100} for one in range(len(made_set))]
        coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            step()
    values = [metrics[name].value for name in ("mask_ap", "mask_ap50", "mask_ap75")]
    assert values == pytest.approx(evaluation.stats[:3].tolist())
    assert metrics["ap"].value == pytest.approx(1)  # the boxes are exact
    assert values[0] < 0.95


def test_an_object_without_an_outline_fills_its_box():
    true = truth((0, 10, 10, 20, 30))._replace(outlines=Outlines((80, 100), (None,)))
    found = answer((0.9, 0, 10, 10, 20, 30))
    scorer = InstancesScorer(np.arange(1), 1)
    scorer.add_instances([found], [[encode_box((10, 10, 20, 30), (80, 100))]], truths(true), [(80, 100)])
    assert scorer.scores().metrics["mask_ap"].value == pytest.approx(1)

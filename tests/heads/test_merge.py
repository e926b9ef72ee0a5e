"""Merging equals a plain reference, box by box."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookwhere_cli.detections import Detections
from lookwhere_cli.heads import merge
from lookwhere_cli.heads.merge import hull_box, mean_box, merge_boxes, merge_tiles

LABELS = ("a", "b", "c")


def plain_mean(boxes, scores):
    return sum(score * box for score, box in zip(scores, boxes, strict=True)) / sum(scores)


def plain_hull(boxes, scores):
    return [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]


PLAIN = {mean_box: plain_mean, hull_box: plain_hull}


def plain_merge(boxes, scores, classes, iou, limit, measure="union", join=mean_box, join_iou=1.0):
    """Keep one box after the other; drop and join others by their overlaps with it."""
    boxes, scores = boxes.astype(np.float64), scores.astype(np.float64)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    alive, indices, joined = np.ones(len(boxes), np.bool_), [], []
    for index in np.argsort(-scores, kind="stable"):
        if not alive[index]:
            continue
        if len(indices) == limit:
            return indices, joined, True
        alive[index] = False
        corners, ends = np.maximum(boxes[:, :2], boxes[index, :2]), np.minimum(boxes[:, 2:], boxes[index, 2:])
        shared = np.maximum(ends - corners, 0).prod(axis=1)
        divisor = areas + areas[index] - shared if measure == "union" else np.minimum(areas, areas[index])
        overlaps = shared / np.maximum(divisor, np.finfo(np.float64).tiny)
        dropped = (overlaps > iou) & alive & (classes == classes[index])
        alive &= ~dropped
        members = [index, *np.flatnonzero(dropped & (overlaps > join_iou))]
        indices.append(index)
        joined.append(PLAIN[join](boxes[members], scores[members]) if len(members) > 1 else boxes[index])
    return indices, joined, False


@st.composite
def candidates(draw):
    """Boxes of whole pixels in a small picture, so that they touch, equal each other and have no area."""
    count = draw(st.integers(0, 25))
    side = draw(st.sampled_from([4, 12, 40]))
    starts = draw(arrays(np.float32, (count, 2), elements=st.integers(0, side)))
    sizes = draw(arrays(np.float32, (count, 2), elements=st.integers(0, 8)))
    scores = draw(arrays(np.float32, count, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    classes = draw(arrays(np.int64, count, elements=st.integers(0, 2)))
    return np.concatenate((starts, starts + sizes), axis=1), scores, classes


THRESHOLDS = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])


@given(candidates(), THRESHOLDS, st.integers(1, 12), st.sampled_from(["union", "smaller"]))
def test_equals_a_plain_reference(boxes, iou, limit, measure):
    merged = merge_boxes(*boxes, iou, limit, measure=measure)
    indices, _, is_cut = plain_merge(*boxes, iou, limit, measure)
    assert merged.indices.tolist() == indices
    assert merged.is_cut == is_cut
    assert np.array_equal(merged.boxes, boxes[0][indices])
    assert merged.boxes.dtype == np.float32


@given(candidates(), THRESHOLDS, THRESHOLDS, st.sampled_from([mean_box, hull_box]))
def test_joining_equals_a_plain_reference(boxes, iou, join_iou, join):
    boxes = boxes[0], boxes[1] + np.float32(0.25), boxes[2]  # a mean without weights is nobody's
    merged = merge_boxes(*boxes, iou, 100, join=join, join_iou=join_iou)
    _, kept, _ = plain_merge(*boxes, iou, 100, join=join, join_iou=join_iou)
    assert np.array_equal(merged.boxes, np.array(kept, np.float32).reshape(-1, 4))


@given(candidates(), THRESHOLDS, st.integers(1, 12), st.integers(1, 40))
def test_blocks_of_any_size_give_the_same(boxes, iou, limit, pairs):
    once = merge_boxes(*boxes, iou, limit, join_iou=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "PAIRS", pairs)
        blocks = merge_boxes(*boxes, iou, limit, join_iou=0.0)
    assert blocks.indices.tolist() == once.indices.tolist()
    assert np.array_equal(blocks.boxes, once.boxes)
    assert blocks.is_cut == once.is_cut


@pytest.mark.parametrize("measure", ["union", "smaller"])
@pytest.mark.parametrize("join", [mean_box, hull_box])
@pytest.mark.parametrize("seed", range(8))
def test_many_boxes_equal_a_plain_reference(seed, join, measure):
    """Clusters and ties; whole pixels and sixteenths, so that sums are exact in whatever order they are taken."""
    rng = np.random.default_rng(seed)
    things = rng.uniform(0, (300, 2000) if seed % 2 else (2000, 300), (80, 2))
    starts = things[rng.integers(0, 80, 700)] + rng.normal(0, 6, (700, 2))
    boxes = np.concatenate((starts, starts + rng.uniform(0, 90, (700, 2))), axis=1).round().astype(np.float32)
    scores, classes = rng.integers(1, 17, 700).astype(np.float32) / 16, rng.integers(0, 1 + seed % 4, 700)
    iou, join_iou, limit = rng.choice([0.2, 0.5, 0.8]), rng.choice([0.0, 0.5, 0.65, 0.9]), int(rng.choice([20, 1000]))
    merged = merge_boxes(boxes, scores, classes, iou, limit, measure=measure, join=join, join_iou=join_iou)
    indices, joined, is_cut = plain_merge(boxes, scores, classes, iou, limit, measure, join, join_iou)
    assert merged.indices.tolist() == indices
    assert np.array_equal(merged.boxes, np.array(joined, np.float32))
    assert merged.is_cut == is_cut


@given(candidates(), THRESHOLDS)
def test_what_is_kept_does_not_depend_on_other_classes_or_far_away_boxes(boxes, iou):
    """The slices that are searched lie apart for classes and for places."""
    both = [np.concatenate((array, array)) for array in boxes]
    both[0][len(boxes[0]) :] += 1e5
    once, twice = merge_boxes(*boxes, iou, 1000), merge_boxes(*both, iou, 1000)
    first_half = twice.indices[twice.indices < len(boxes[0])]
    assert first_half.tolist() == once.indices.tolist()
    assert len(twice.indices) == 2 * len(once.indices)


def test_tall_and_wide_pictures_give_the_same():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, (40, 4000), (300, 2))
    boxes = np.concatenate((starts, starts + rng.uniform(5, 60, (300, 2))), axis=1).astype(np.float32)
    scores, classes = rng.random(300, np.float32), rng.integers(0, 2, 300)
    tall, wide = merge_boxes(boxes, scores, classes), merge_boxes(boxes[:, [1, 0, 3, 2]], scores, classes)
    assert tall.indices.tolist() == wide.indices.tolist()
    assert tall.indices.tolist() == plain_merge(boxes, scores, classes, 0.5, 300)[0]


def test_the_mean_is_weighted_by_score():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [4, 0, 14, 10]], np.float32)
    scores, classes = np.array([0.75, 0.25, 0.1], np.float32), np.zeros(3, np.int64)
    merged = merge_boxes(boxes, scores, classes, 0.3, join_iou=0.5)  # overlaps: 0.82 and 0.43
    assert merged.indices.tolist() == [0]
    assert merged.boxes.tolist() == [[0.25, 0, 10.25, 10]]


@st.composite
def whole_things(draw):
    """Boxes far apart in a picture of 60 x 60, with tiles of 36 that overlap by 12: each box lies in some tile."""
    places = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, max_size=9))
    sizes = draw(st.lists(st.tuples(st.integers(4, 11), st.integers(4, 11)), min_size=9, max_size=9))
    boxes = [[15 * x, 15 * y, 15 * x + w, 15 * y + h] for (x, y), (w, h) in zip(places, sizes, strict=False)]
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    classes = np.array(draw(st.lists(st.integers(0, 2), min_size=len(boxes), max_size=len(boxes))), np.int64)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, classes, LABELS)


@given(whole_things(), st.sampled_from(["union", "smaller"]))
def test_merging_tiles_equals_one_pass_where_nothing_is_cut(whole, measure):
    corners = np.array([(left, top) for top in (0, 24) for left in (0, 24)])
    tiles = []
    for corner in corners:
        local = whole.boxes - np.tile(corner, 2).astype(np.float32)
        tile = Detections(local, whole.scores, whole.classes, LABELS)
        tiles.append(tile.select(((local >= 0) & (local <= 36)).all(axis=1)))
    merged, is_cut = merge_tiles(tiles, corners, measure=measure)
    assert not is_cut
    assert merged.boxes.tolist() == whole.boxes.tolist()
    assert merged.classes.tolist() == whole.classes.tolist()
    assert merged.scores.tolist() == whole.scores.tolist()


def test_a_thing_that_tiles_cut_becomes_whole():
    left = Detections(np.array([[20, 10, 36, 20]], np.float32), np.array([0.8], np.float32), np.array([0]), LABELS)
    right = Detections(np.array([[0, 10, 20, 20]], np.float32), np.array([0.9], np.float32), np.array([0]), LABELS)
    merged, _ = merge_tiles([left, right], np.array([[0, 0], [24, 0]]))
    assert merged.boxes.tolist() == [[20, 10, 44, 20]]
    assert merged.scores.tolist() == [np.float32(0.9)]


@pytest.mark.parametrize("things", [1, 50, 5000])
def test_five_thousand_candidates_take_little_time(things):
    """Under 50 ms of processor time, the best of several tries: other work on the machine slows some of them."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, (1360, 800), (things, 2))[rng.integers(0, things, 5000)] + rng.normal(0, 3, (5000, 2))
    sizes = rng.uniform(16, 120, (5000, 2))
    boxes = np.concatenate((centres - sizes / 2, centres + sizes / 2), axis=1).astype(np.float32)
    scores, classes = rng.random(5000, np.float32), rng.integers(0, 4, 5000)
    seconds = []
    for _ in range(7):
        start = time.process_time()
        merge_boxes(boxes, scores, classes)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


@pytest.mark.parametrize("count", [0, 1])
def test_few_boxes(count):
    merged = merge_boxes(np.ones((count, 4), np.float32), np.ones(count, np.float32), np.zeros(count, np.int64))
    assert merged.indices.tolist() == list(range(count))
    assert merged.boxes.shape == (count, 4)

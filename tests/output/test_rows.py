"""The keys and values of a row, as JSON stores it and docs/rows.md describes it."""

from lookwhere_cli.output.rows import SCHEMA, Row
from tests.output.rows import CLASSIFIED, COARSE, EARLY_EXIT, FAILED, SEGMENTED

KEYS = [
    *(
        "schema",
        "path",
        "width",
        "height",
        "model",
        "revision",
        "k",
        "grid",
        "cells",
        "labels",
        "macs",
        "macs_full",
        "seconds",
    )
]


def test_a_row_has_the_documented_keys_in_order():
    assert list(CLASSIFIED.to_dict()) == KEYS
    assert CLASSIFIED.to_dict()["labels"][0] == {"label": "tabby, cat", "index": 281, "probability": 0.871235}
    assert Row("a.gif", note="first of 3 frames").to_dict()["note"] == "first of 3 frames"


def test_only_rows_of_segmented_pictures_have_shares_and_a_mask():
    row = SEGMENTED.to_dict()
    assert list(row) == [*KEYS, "shares", "mask"]
    assert row["shares"][0] == {"label": "road", "index": 3, "share": 0.75}
    assert row["mask"] == r"masks/caf\udce9.png"


def test_only_rows_of_pictures_with_coarse_patches_have_the_coarse_grid():
    row = COARSE.to_dict()
    assert list(row) == [*KEYS, "coarse", "coarse_k"]
    assert row["coarse"] == [3, 4] and row["coarse_k"] == 8


def test_only_rows_of_models_with_several_stages_have_an_exit():
    row = EARLY_EXIT.to_dict()
    assert list(row) == [*KEYS, "exit"]
    assert row["exit"] == 1


def test_a_row_of_a_failed_picture_has_path_and_error_only():
    assert FAILED.to_dict() == {"schema": SCHEMA, "path": "b.jpg", "error": "'b.jpg' is empty (0 bytes)."}

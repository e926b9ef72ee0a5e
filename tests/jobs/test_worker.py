"""A Worker for other people's pipelines."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lookwhere_cli.errors import UsageError
from lookwhere_cli.jobs import Worker
from lookwhere_cli.loading import load
from lookwhere_cli.options import Options
from lookwhere_cli.output import arrow_schema

OPTIONS = Options(device="cpu", workers=1)


@pytest.fixture
def worker(model_folder):
    return pickle.loads(pickle.dumps(Worker(str(model_folder), OPTIONS)))


def test_paths_bytes_and_arrays_give_the_rows_of_classify(worker, model_folder, files):
    rows = [row.to_dict() for row in load(str(model_folder), OPTIONS).classify(files[:5])]
    content = [open(file, "rb").read() for file in files[:5]]  # noqa: SIM115, PTH123
    arrays = np.empty(5, object)
    for number, one in enumerate(content):
        arrays[number] = np.asarray(Image.open(io.BytesIO(one)))
    names = np.array(files[:5], object)
    for batch in (
        {"path": names},
        {"bytes": np.array(content, object), "path": names},
        {"image": arrays, "path": names},
    ):
        columns = worker(batch)
        assert columns["path"] == files[:5] and columns["error"] == [None] * 5
        assert columns["cells"] == [row["cells"] for row in rows]
        assert [labels[0]["label"] for labels in columns["labels"]] == [row["labels"][0]["label"] for row in rows]


def test_columns_fit_the_schema_and_others_are_kept(worker, files):
    columns = worker({"path": np.array([*files[:2], "none.jpg"], object), "id": np.array([7, 8, 9])})
    assert columns.pop("id") == [7, 8, 9]
    assert columns["error"][2] == "'none.jpg' is not there." and columns["k"][2] is None
    assert pa.table(columns, schema=arrow_schema()).num_rows == 3


def test_features_are_a_column(model_folder, files):
    columns = Worker(str(model_folder), OPTIONS, features="cls")({"path": [files[0], "none.jpg"]})
    assert columns["cls"][0].shape == (24,) and columns["cls"][1] is None and columns["path"][0] == files[0]


def test_a_batch_without_pictures_is_refused(worker):
    with pytest.raises(UsageError, match="The batch has no column image, bytes or path; it has a, b"):
        worker({"a": [], "b": []})
    assert worker({"path": []})["path"] == []


def test_a_worker_is_small_when_it_is_pickled_also_after_work(worker, files):
    worker({"path": files[:1]})
    assert len(pickle.dumps(worker)) < 2000

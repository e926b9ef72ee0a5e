import shutil

import pytest

from lookwhere_cli.checkpoints import resolve
from lookwhere_cli.checkpoints.resolve import bundled_models, find
from lookwhere_cli.errors import ModelError


@pytest.fixture
def shelves(model_folder, tmp_path, monkeypatch):
    """Two shelves: `first` holds near and shared, `second` holds far and shared."""
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first / "near", first / "shared", second / "far", second / "shared"):
        shutil.copytree(model_folder, place)
    monkeypatch.setattr(resolve, "_BUNDLES", (first, second))
    return first, second


def test_models_beside_the_package_come_before_those_of_the_tree(shelves):
    first, second = shelves
    assert [model.name for model in bundled_models()] == ["far", "near", "shared"]
    assert find("shared").folder == first / "shared" and find("far").folder == second / "far"


def test_a_bundled_name_comes_before_a_folder_of_that_name(shelves, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "near")
    assert find("near").folder == shelves[0] / "near"
    assert find("./near").folder.resolve() == tmp_path / "near"


def test_a_half_written_model_is_not_bundled(shelves):
    (shelves[0] / "near" / "model.safetensors").unlink()
    assert "near" not in [model.name for model in bundled_models()]


def test_unknown_names_offer_near_ones(shelves):
    with pytest.raises(ModelError, match=r"no model 'neer'.*Did you mean 'near'"):
        find("neer")
    with pytest.raises(ModelError, match="There are: far, near, shared, imagenet-base"):
        find("zzzz")

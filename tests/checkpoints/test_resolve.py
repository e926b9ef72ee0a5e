import shutil

import pytest

from lookwhere_cli.checkpoints import resolve
from lookwhere_cli.checkpoints.resolve import bundled_models, find
from lookwhere_cli.errors import ModelError


@pytest.fixture
def bundles(model_folder, tmp_path, monkeypatch):
    """Two folders of bundled models: `first` holds near and shared, `second` holds far and shared."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first / "near", first / "shared", second / "far", second / "shared"):
        shutil.copytree(model_folder, folder)
    monkeypatch.setattr(resolve, "_BUNDLES", (first, second))
    return first, second


def test_models_of_an_installed_package_come_before_those_of_a_checkout(bundles):
    first, second = bundles
    assert [model.name for model in bundled_models()] == ["far", "near", "shared"]
    assert find("shared").folder == first / "shared" and find("far").folder == second / "far"


def test_a_bundled_name_comes_before_a_folder_of_that_name(bundles, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "near")
    assert find("near").folder == bundles[0] / "near"
    assert find("./near").folder.resolve() == tmp_path / "near"


def test_a_half_written_model_is_not_bundled(bundles):
    (bundles[0] / "near" / "model.safetensors").unlink()
    assert "near" not in [model.name for model in bundled_models()]


def test_unknown_names_offer_near_ones(bundles):
    with pytest.raises(ModelError, match=r"no model 'neer'.*Did you mean 'near'"):
        find("neer")
    with pytest.raises(ModelError, match="There are: far, near, shared, imagenet-base"):
        find("zzzz")


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-has-this-name", "~nobody-has-this-name/x", "a\0b"])
def test_a_name_that_no_folder_can_have_is_unknown(bundles, name):
    with pytest.raises(ModelError, match="There is no model"):
        find(name)


def test_a_folder_in_the_home_directory(model_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(model_folder.parent))
    assert find("~/tiny").folder == model_folder


def test_the_shell_is_offered_bundled_models_and_aliases(bundles):
    assert resolve.known_names()[:6] == ["far", "near", "shared", "imagenet-base", "dinov2-base", "franca-base"]

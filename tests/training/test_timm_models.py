"""Teachers by name, by file, and by both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.distil.distillation import student_of
from lookwhere_cli.training.timm_models import config_of, load_vit
from tests.training.tiny import teacher_file


def test_the_architecture_is_inferred_from_a_file(tmp_path: Path) -> None:
    source = load_vit(str(teacher_file(tmp_path)))
    config = config_of(source)
    assert (config.patch, config.dim, config.heads, config.extractor_depth, config.grid) == (8, 48, 1, 3, (4, 4))
    assert (config.hidden, config.prefix_positions, config.registers) == (192, True, 0)
    assert source.mean == (0.5, 0.5, 0.5)


def test_registers_layer_scale_and_positions_without_prefix_are_inferred(tmp_path: Path) -> None:
    file = teacher_file(tmp_path, reg_tokens=2, init_values=1e-5, no_embed_class=True, num_classes=0)
    config = config_of(load_vit(str(file)))
    assert (config.registers, config.layer_scale, config.prefix_positions) == (2, True, False)


def test_a_name_adds_the_statistics_of_the_pixels(tmp_path: Path) -> None:
    vit = import_timm().create_model("deit_tiny_patch16_224", num_classes=5)
    from safetensors.torch import save_file

    save_file(vit.state_dict(), tmp_path / "deit.safetensors")
    source = load_vit(f"deit_tiny_patch16_224={tmp_path / 'deit.safetensors'}")
    assert source.mean == pytest.approx((0.485, 0.456, 0.406))
    assert source.vit.num_classes == 5


@pytest.mark.parametrize("size", [32, 48])
def test_our_extractor_computes_what_timm_computes(tmp_path: Path, size: int) -> None:
    """Our ViT with timm's weights gives what timm gives, at the teacher's own size and with positions resized."""
    source = load_vit(str(teacher_file(tmp_path)), size)
    config = config_of(source)
    model = LookWhere(config)
    model.extractor.load_state_dict(source.vit.state_dict(), strict=False)
    picture = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = super(type(model.extractor), model.extractor).forward(cut(picture, config.patch), config.grid)
        torch.testing.assert_close(ours, source.vit.forward_features(picture), rtol=1e-4, atol=1e-5)


def test_a_student_on_all_cells_computes_what_its_teacher_computes(tmp_path: Path) -> None:
    from dataclasses import replace

    source = load_vit(str(teacher_file(tmp_path)))
    config = replace(config_of(source), labels=("a", "b", "c", "d"), thumbnail_grid=(2, 2), selector_depth=1)
    model = student_of(source.vit, config).eval()
    picture = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    cells = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        prefix = model.select(picture[..., ::2, ::2], (4, 4)).prefix_tokens
        logits = model.logits(model.extract(Chosen(cut(picture, 8), cells, (4, 4), prefix)))
        torch.testing.assert_close(logits, source.vit(picture), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no/such.safetensors", "does not exist"),
        ("vit_tinny_patch16", "timm has no model 'vit_tinny_patch16'"),
        ("resnet18=FILE", "'resnet18' is a ResNet"),
        ("nothing_of_timms=FILE", "timm has no model 'nothing_of_timms'"),
        ("vit_tiny_patch16_224=FILE", "The tensors do not fit 'vit_tiny_patch16_224'"),
        ("BROKEN", "can't be read as safetensors"),
        ("STRANGE", "holds no plain ViT"),
    ],
)
def test_an_unusable_teacher_is_refused(tmp_path: Path, spec: str, words: str) -> None:
    from safetensors.torch import save_file

    file = str(teacher_file(tmp_path))
    if spec == "BROKEN":
        Path(file).write_bytes(Path(file).read_bytes()[:999])
    if spec == "STRANGE":
        save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(ModelError, match=words):
        load_vit(spec.replace("FILE", file).replace("BROKEN", file).replace("STRANGE", file))

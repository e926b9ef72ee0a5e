"""Conversion of the authors' files, pickles of tensors, to model folders; only tensors are read from a pickle."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.layout import ORIGIN
from lookwhere_cli.checkpoints.names import HubName, is_commit
from lookwhere_cli.checkpoints.published import cropr, dvt, lookwhere
from lookwhere_cli.checkpoints.records import read_origin
from lookwhere_cli.checkpoints.sums import changed_files, read_sums
from lookwhere_cli.checkpoints.timm_package import imagenet_names
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.build import Model
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.output.files import whole_file, writing

Card: TypeAlias = Callable[[Config], str]
"""Returns the paragraph of README.md that describes a model with this config."""
CROPR, CASCADE = "cropr", "dvt"
"""Layouts without an alias: their files come in any size."""
IMAGENET = 1000  # classes
LISTED = 5  # tensors that an error lists


def convert(file: Path, folder: Path, half: bool = False, layout: str | None = None, card: Card | None = None) -> str:
    """Write the model in one of the authors' files to a folder of ours; return its layout: an alias, "cropr" or "dvt".

    half: store float16. layout: the alias whose layout the file must have; by default the layout is inferred.
    card: describes the model in README.md, which names source and paper in any case.

    Raises ModelError for a file that is damaged, holds anything but tensors, or lacks or adds tensors to its layout.
    """
    tensors = read_tensors(file)
    model: Model
    if layout is None and cropr.is_cropr(tensors):
        layout, paper, model = CROPR, cropr.PAPER, _build_cropr(tensors, file)
    elif layout is None and dvt.is_dvt(tensors):
        layout, paper, model = CASCADE, dvt.PAPER, _build_dvt(tensors, file)
    else:
        layout, paper = layout or _nearest_layout(tensors), lookwhere.PAPER
        model = _build_lookwhere(tensors, file, layout)
    description = [card(model.config)] if card else []
    readme = [f"# {layout}", *description, f"Converted from `{file.name}`.", f"Weights: {paper}"]
    save_model(folder, model.half() if half else model, "\n\n".join(readme) + "\n")
    return layout


def convert_download(file: Path, folder: Path, model: HubName, digest: str, card: Card | None = None) -> None:
    """Convert a downloaded file to its place in the cache, named by its commit, with a record of its origin.

    The folder appears whole or not at all. Raises ModelError as `convert` does.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        convert(file, unfinished, layout=model.name, card=card)
        _write_origin(unfinished, model, folder.name, digest)
        _replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def reuse_conversion(folder: Path, model: HubName, digest: str) -> bool:
    """Return True if the cache has an intact conversion of the file with that hash.

    If it belongs to another commit, `folder` becomes a copy of it, with links to the same files.
    """
    for other in sorted(folder.parent.glob("*")):
        if not is_commit(other.name) or not _is_conversion_of(other, digest):
            continue
        if other != folder:
            copy = folder.with_name(f".{folder.name}.{os.getpid()}")
            shutil.copytree(other, copy, copy_function=_link_or_copy)
            _write_origin(copy, model, folder.name, digest)
            _replace(copy, folder)
        return True
    return False


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return all tensors of a pickle, nested names joined by dots. Raises ModelError."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except OSError as failure:
        raise ModelError(f"{str(file)!r} can't be read: {failure.strerror or failure}.") from failure
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as failure:
        raise ModelError(_refusal(file, failure)) from failure
    if not isinstance(state, Mapping):
        raise ModelError(f"{str(file)!r} holds a {type(state).__name__}, not a model's tensors by name.")
    return lookwhere.flatten(state)


def check_layout(tensors: Mapping[str, Any], expected: Mapping[str, Tensor], file: Path, layout: str) -> None:
    """Raise ModelError unless the file has exactly the `expected` tensors (by their names in the file)."""
    lacking = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    misshapen = [
        f"{key} is {_shape(tensors[key])} instead of {_shape(expected[key])}"
        for key in sorted(expected.keys() & tensors.keys())
        if _shape(tensors[key]) != _shape(expected[key])
    ]
    parts = [("lacks", lacking), ("has in excess", extra), ("has other shapes", misshapen)]
    complaints = [f"it {what} {len(names)}: {_listed(names)}" for what, names in parts if names]
    if complaints:
        raise ModelError(f"{str(file)!r} does not have the layout of {layout}: {'; '.join(complaints)}.")


def _build_lookwhere(tensors: Mapping[str, Tensor], file: Path, layout: str) -> LookWhere:
    config = lookwhere.LAYOUTS[layout]
    with torch.device("meta"):  # every tensor comes from the file
        model = LookWhere(_with_imagenet_names(config) if config.labels else config)
    expected = {lookwhere.name_in_file(key, tensors): tensor for key, tensor in model.state_dict().items()}
    check_layout(tensors, expected, file, layout)
    model.load_state_dict(lookwhere.rename_tensors(tensors), assign=True)
    return model


def _build_cropr(tensors: Mapping[str, Tensor], file: Path) -> LookWhere:
    try:
        config, pruning = cropr.infer_config(tensors)
        config = replace(config, prune=pruning.amount, prune_fusion=pruning.fusion)
        config = _with_imagenet_names(config) if len(config.labels) == IMAGENET else config
        with torch.device("meta"):
            model = LookWhere(config)
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} does not have the layout of Token Cropr: {failure}.") from failure
    check_layout(tensors, cropr.expected_tensors(config, pruning), file, "Token Cropr")
    model.load_state_dict(cropr.rename_tensors(tensors), assign=True)
    return model


def _build_dvt(tensors: Mapping[str, Tensor], file: Path) -> DVT:
    try:
        config = dvt.infer_config(tensors)
        config = _with_imagenet_names(config) if len(config.labels) == IMAGENET else config
        with torch.device("meta"):
            model = DVT(config, shapes_of(config))
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} does not have the layout of {CASCADE}: {failure}.") from failure
    names = dvt.names_in_file(tensors)
    expected = {names.get(ours, ours): tensor for ours, tensor in model.state_dict().items()}
    check_layout({name: tensors[name] for name in names.values()}, expected, file, CASCADE)
    model.load_state_dict(dvt.rename_tensors(tensors), assign=True)
    return model


def _with_imagenet_names(config: Config) -> Config:
    return replace(config, labels=imagenet_names())


def _nearest_layout(tensors: Mapping[str, Any]) -> str:
    """Return the layout whose names of tensors differ least from the file's."""

    def difference(layout: str) -> int:
        """Count the names that only one of both has: the layout, or the file."""
        with torch.device("meta"):
            expected = LookWhere(lookwhere.LAYOUTS[layout]).state_dict()
        return len({lookwhere.name_in_file(key, tensors) for key in expected} ^ tensors.keys())

    return min(lookwhere.LAYOUTS, key=difference)


def _shape(value: Any) -> str:
    return " x ".join(map(str, value.shape)) or "one number" if isinstance(value, Tensor) else type(value).__name__


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _refusal(file: Path, failure: Exception) -> str:
    if isinstance(failure, pickle.UnpicklingError):
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(failure))
        what = f"asks for {forbidden[1]}" if forbidden else "holds more than tensors, or is broken"
        return (
            f"{str(file)!r} is refused: it is a pickle that {what}, and could run code when read. Only tensors are "
            "read from pickles; no code in it was run."
        )
    reason = str(failure).partition("\n")[0] or type(failure).__name__
    return f"{str(file)!r} is broken, or not a file of weights ({reason})."


def _is_conversion_of(folder: Path, digest: str) -> bool:
    try:
        from_file = read_origin(folder).get("sha256") == digest
        return from_file and bool(read_sums(folder)) and not changed_files(folder)
    except ModelError:  # damaged: convert it again
        return False


def _write_origin(folder: Path, model: HubName, commit: str, digest: str) -> None:
    origin = {"repository": model.repository, "file": model.file, "commit": commit, "sha256": digest}
    with whole_file(folder / ORIGIN) as stream, writing(folder / ORIGIN):
        stream.write(json.dumps(origin, indent=2).encode() + b"\n")


def _replace(new: Path, folder: Path) -> None:
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

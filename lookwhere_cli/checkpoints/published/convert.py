"""The authors' files, pickles of tensors, become model folders: read once, with nothing in them ever run."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lookwhere_cli.checkpoints.card import converted_card
from lookwhere_cli.checkpoints.folder import Model, save_model
from lookwhere_cli.checkpoints.names import HubName
from lookwhere_cli.checkpoints.published import cropr as published_cropr
from lookwhere_cli.checkpoints.published import dvt as published_dvt
from lookwhere_cli.checkpoints.published import lookwhere as published
from lookwhere_cli.checkpoints.sums import differing, read_sums
from lookwhere_cli.checkpoints.timm_package import imagenet_names
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.cascade.dvt import DVT, shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.output.files import whole_file, writing

CROPR, CASCADE = "cropr", "dvt"
"""Layouts that have no alias: each file is a model of its own size."""
IMAGENET = 1000  # classes
ORIGIN = "origin.json"
NAMED = 5  # tensors that a complaint names


def convert(file: Path, folder: Path, half: bool = False, layout: str | None = None) -> str:
    """Write the model in one of the authors' files to a folder of our own; gives the layout's alias, or "cropr".

    half: store float16. layout: the alias whose layout the file must have; by default the one it comes nearest to.
    A file of Token Cropr is told by its pruning modules.
    Raises ModelError for a file that is broken, holds anything but tensors, or has other tensors than its layout.
    """
    state = read_tensors(file)
    model: Model
    if layout is None and published_cropr.is_cropr(state):
        layout, paper, model = CROPR, published_cropr.PAPER, _cropr(state, file)
    elif layout is None and published_dvt.is_dvt(state):
        layout, paper, model = CASCADE, published_dvt.PAPER, _dvt(state, file)
    else:
        layout, paper = layout or _nearest(state), published.PAPER
        model = _lookwhere(state, file, layout)
    card = converted_card(layout, model.config, f"`{file.name}`", paper)
    save_model(folder, model.half() if half else model, card)
    return layout


def _lookwhere(state: Mapping[str, Tensor], file: Path, layout: str) -> LookWhere:
    with torch.device("meta"):  # every tensor comes from the file
        model = LookWhere(_named(published.LAYOUTS[layout]))
    check(state, _in_file(model.state_dict(), state), file, layout)
    model.load_state_dict(published.tensors(state), assign=True)
    return model


def _cropr(state: Mapping[str, Tensor], file: Path) -> LookWhere:
    try:
        config, pruning = published_cropr.described(state)
        config = replace(config, prune=pruning.amount, prune_fusion=pruning.fusion)
        config = _named(config) if len(config.labels) == IMAGENET else config
        with torch.device("meta"):
            model = LookWhere(config)
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} does not have the layout of Token Cropr: {failure}.") from failure
    check(state, published_cropr.layout(config, pruning), file, "Token Cropr")
    model.load_state_dict(published_cropr.tensors(state), assign=True)
    return model


def _dvt(state: Mapping[str, Tensor], file: Path) -> DVT:
    """A cascade over grids, of any size."""
    try:
        config = published_dvt.described(state)
        config = _named(config) if len(config.labels) == IMAGENET else config
        with torch.device("meta"):
            model = DVT(config, shapes_of(config))
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} does not have the layout of {CASCADE}: {failure}.") from failure
    names = published_dvt.names(state)
    wanted = {names.get(ours, ours): tensor for ours, tensor in model.state_dict().items()}
    check({name: state[name] for name in names.values()}, wanted, file, CASCADE)
    model.load_state_dict(published_dvt.tensors(state), assign=True)
    return model


def convert_pulled(file: Path, folder: Path, wanted: HubName, commit: str, digest: str) -> None:
    """Convert a download into the cache: the folder appears whole, with a note of where it came from."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        convert(file, unfinished, layout=wanted.name)
        _write_origin(unfinished, wanted, commit, digest)
        _replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def take_over(snapshots: Path, wanted: HubName, commit: str, digest: str) -> bool:
    """Whether the cache has the file of that hash converted and whole; for another commit, it is linked to this one."""
    for folder in snapshots.glob("[0-9a-f]*"):
        if read_origin(folder).get("sha256") != digest or not read_sums(folder) or differing(folder):
            continue
        if folder.name != commit:
            twin = folder.with_name(f".{commit}.{os.getpid()}")
            shutil.copytree(folder, twin, copy_function=_link_or_copy)
            _write_origin(twin, wanted, commit, digest)
            _replace(twin, folder.with_name(commit))
        return True
    return False


def read_origin(folder: Path) -> dict[str, str]:
    """Where a converted model came from: repository, file, commit, sha256; empty for any other."""
    file = folder / ORIGIN
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a pickle, nested names joined by dots. Raises ModelError."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except OSError as failure:
        raise ModelError(f"{str(file)!r} can't be read: {failure.strerror or failure}.") from failure
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as failure:
        raise ModelError(_why_not(file, failure)) from failure
    if not isinstance(state, Mapping):
        raise ModelError(f"{str(file)!r} holds a {type(state).__name__}, not a model's tensors by name.")
    return published.flat(state)


def _in_file(expected: Mapping[str, Tensor], state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our tensors by the file's own names."""
    return {published.name_in_file(key, state): tensor for key, tensor in expected.items()}


def check(state: Mapping[str, Any], expected: Mapping[str, Tensor], file: Path, layout: str) -> None:
    """Raise ModelError unless the file has exactly the tensors of its layout, `expected` by the file's own names."""
    wanted = {key: tensor.shape for key, tensor in expected.items()}
    lacking = sorted(wanted.keys() - state.keys())
    extra = sorted(state.keys() - wanted.keys())
    wrong = [
        f"{key} is {_shape(state[key])} instead of {_shape(expected_)}"
        for key, expected_ in ((key, torch.empty(wanted[key], device="meta")) for key in sorted(wanted.keys() & state))
        if _shape(state[key]) != _shape(expected_)
    ]
    parts = [("lacks", lacking), ("has in excess", extra), ("has other shapes", wrong)]
    complaints = [f"it {what} {len(names)}: {_listed(names)}" for what, names in parts if names]
    if complaints:
        raise ModelError(f"{str(file)!r} does not have the layout of {layout}: {'; '.join(complaints)}.")


def _named(config: Config) -> Config:
    return replace(config, labels=imagenet_names()) if config.labels else config


def _nearest(state: Mapping[str, Any]) -> str:
    """The layout whose tensors' names differ least from the file's."""

    def distance(layout: str) -> int:
        with torch.device("meta"):
            expected = LookWhere(published.LAYOUTS[layout]).state_dict()
        return len({published.name_in_file(key, state) for key in expected} ^ state.keys())

    return min(published.LAYOUTS, key=distance)


def _shape(value: Any) -> str:
    return " x ".join(map(str, value.shape)) or "one number" if isinstance(value, Tensor) else type(value).__name__


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _why_not(file: Path, failure: Exception) -> str:
    if isinstance(failure, pickle.UnpicklingError):
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(failure))
        what = f"asks for {forbidden[1]}" if forbidden else "holds more than tensors, or is broken"
        return (
            f"{str(file)!r} is refused: it is a pickle that {what}, and could run code when read. Only tensors are "
            "taken from pickles; nothing of it was run."
        )
    reason = str(failure).partition("\n")[0] or type(failure).__name__
    return f"{str(file)!r} is broken, or no file of weights ({reason})."


def _write_origin(folder: Path, wanted: HubName, commit: str, digest: str) -> None:
    origin = {"repository": wanted.repository, "file": wanted.file, "commit": commit, "sha256": digest}
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

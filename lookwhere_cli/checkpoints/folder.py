"""A model's folder: reading and writing its config.json, model.safetensors and README.md."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lookwhere_cli.checkpoints.layout import CARD, CONFIG, WEIGHTS
from lookwhere_cli.checkpoints.names import ModelLocation
from lookwhere_cli.checkpoints.numbers import check_cast, check_finite, check_floats, without_prefix
from lookwhere_cli.checkpoints.placement import device_named, dtype_named
from lookwhere_cli.checkpoints.records import read_json
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.encodings import pointer_sentence, starts_as_pointer
from lookwhere_cli.errors import ModelError, OutputError, UsageError
from lookwhere_cli.models.build import Model, build_model
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import uninitialised
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.cropr import check_own_schedule
from lookwhere_cli.models.pruning.schedule import pruning_of
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import printable

REVISION_DIGITS = 12  # of the hash that identifies weights which did not come from the Hub


@dataclass(frozen=True)
class Loaded:
    """A model ready for use: in evaluation mode, without gradients, on its device and in its dtype.

    Attributes:
        revision: the commit of a model from the Hub, else the short hash of its weights.
    """

    model: Model
    config: Config
    name: str
    revision: str
    folder: Path
    device: torch.device
    dtype: torch.dtype

    @property
    def lookwhere(self) -> LookWhere:
        """The model, for what a cascade over grids can't do. Raises ModelError for such a cascade."""
        if not isinstance(self.model, LookWhere):
            raise only_classifies(self.name)
        return self.model


def only_classifies(name: str) -> ModelError:
    """Return the error for a cascade over grids that is used for anything but classification."""
    return ModelError(
        f"The model {name!r} is a cascade over grids (DVT), which reads the whole picture and only classifies it; "
        "choose another model."
    )


def load_folder(location: ModelLocation, device: str = "auto", dtype: str = "float32") -> Loaded:
    """Load the model in a folder.

    The weights are mapped from the file without a copy if they stay on the CPU in the dtype of the file; otherwise they
    are cast. Raises ModelError if the model is damaged, holds NaN or infinity, or has weights too large for the dtype;
    UsageError for an unknown device or dtype.
    """
    torch_device, torch_dtype = device_named(device), dtype_named(dtype)
    folder = location.folder
    config = read_config(folder)
    tensors, revision = _read_tensors(folder / WEIGHTS, location.commit)
    tensors = without_prefix(tensors)
    with uninitialised():  # every tensor comes from the file
        model = _build(config, folder)
    check_floats(tensors, folder / WEIGHTS)
    check_finite(tensors, repr(str(folder / WEIGHTS)))
    cast = {key: tensor.to(torch_device, torch_dtype) for key, tensor in tensors.items()}
    check_cast(tensors, cast, folder / WEIGHTS)
    _check_tensors(_assign(model, cast), tensors, folder / WEIGHTS)
    return Loaded(model, config, location.name, revision, folder, torch_device, torch_dtype)


def save_model(folder: Path, model: Model, card: str | None = None) -> str:
    """Write the model's folder, created if it is missing; return the revision (the short hash of the weights).

    Each file is written whole or not at all, weights and their SHA256SUMS last. The weights keep the model's dtype.
    card: the text of README.md; None leaves that file as it is.

    Raises ModelError, before anything is written, for weights with NaN or infinity, UsageError if the folder can't be
    created, OutputError if writing fails.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    check_finite(tensors, "The model is not saved: it")
    revision = _hash(tensors)
    _create(folder)
    write_config(folder, model.config)
    if card is not None:
        with whole_file(folder / CARD) as stream, writing(folder / CARD):
            stream.write(printable(card).encode())
    _write_tensors(tensors, folder / WEIGHTS, revision)
    write_sums(folder)
    return revision


def write_config(folder: Path, config: Config) -> None:
    """Write the folder's config. Raises OutputError."""
    text = json.dumps(config.to_dict(), indent=2, ensure_ascii=False)
    with whole_file(folder / CONFIG) as stream, writing(folder / CONFIG):
        stream.write(text.encode("utf-8", "backslashreplace") + b"\n")  # \udcff, which JSON reads as it was


def read_config(folder: Path) -> Config:
    """Return the folder's config. Raises ModelError with the file's name and what is wrong in it."""
    values = read_json(folder / CONFIG)
    try:
        config = Config.from_dict(values)
        check_own_schedule(config, pruning_of(config))
    except ValueError as failure:
        raise ModelError(f"In {str(folder / CONFIG)!r}: {failure}.") from failure
    return config


def weights_match_header(folder: Path) -> bool | None:
    """Return True if the hash of all tensors equals the one in the file's header; None if the header has none.

    Raises ModelError for a damaged file.
    """
    file = folder / WEIGHTS
    tensors, revision = _read_tensors(file, None)
    with safe_open(file, framework="pt") as stored:
        recorded = (stored.metadata() or {}).get("revision")
    return None if recorded is None else _hash(tensors) == revision


def check_stored_numbers(folder: Path) -> None:
    """Raise ModelError for weights with NaN or infinity, or damaged ones."""
    check_finite(_read_tensors(folder / WEIGHTS, "unread")[0], repr(str(folder / WEIGHTS)))


def _build(config: Config, folder: Path) -> Model:
    try:
        return build_model(config)
    except ValueError as failure:
        raise ModelError(f"In {str(folder / CONFIG)!r}: {failure}.") from failure


def _read_tensors(file: Path, commit: str | None) -> tuple[dict[str, Tensor], str]:
    """Return the tensors, mapped from the file, and the revision: the commit, else the hash in the header."""
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (it is not a dict)
            revision = commit or (stored.metadata() or {}).get("revision") or _hash(tensors)
    except (OSError, SafetensorError) as failure:
        if starts_as_pointer(file):
            raise ModelError(pointer_sentence(repr(str(file)))) from failure
        raise ModelError(f"{str(file)!r} is broken or truncated ({failure}); fetch it again.") from failure
    return tensors, revision


def _write_tensors(tensors: dict[str, Tensor], file: Path, revision: str) -> None:
    """Write the tensors directly from memory; through the stream they would all be copied first."""
    with whole_file(file) as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        try:
            save_file(tensors, stream.name, metadata={"format": "pt", "revision": revision})
        except SafetensorError as failure:
            raise OutputError(
                f"Writing {str(file)!r} failed: {failure}; make room or choose another place."
            ) from failure
        Path(stream.name).chmod(mode)  # safetensors replaces the file by one that only its owner may read


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the short hash of names, dtypes, shapes and bytes; it does not depend on the tensors' order."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:REVISION_DIGITS]


def _check_tensors(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError if names or shapes differ from those that the config describes."""
    for key in expected.keys() & stored.keys():
        if expected[key].shape != stored[key].shape:
            raise ModelError(
                f"In {str(file)!r} the tensor {key!r} has the shape {list(stored[key].shape)}, "
                f"but {CONFIG} describes one of {list(expected[key].shape)}."
            )
    for what, keys in (("lacks", expected.keys() - stored.keys()), ("has unexpected", stored.keys() - expected.keys())):
        if keys:
            raise ModelError(
                f"{str(file)!r} {what} {len(keys)} tensor{'s' * (len(keys) > 1)}, {min(keys)!r} first; "
                f"it does not belong to the {CONFIG} in that folder."
            )


def _assign(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make these tensors the model's parameters, frozen, in evaluation mode; return the parameters they replace.

    The same as load_state_dict(assign=True) and eval(), in a fraction of their time.
    """
    replaced: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        module.training = False
        for key, parameter in module._parameters.items():
            name = f"{path}.{key}" if path else key
            if parameter is not None:
                replaced[name] = parameter
            if parameter is not None and name in tensors:
                module._parameters[key] = nn.Parameter(tensors[name], requires_grad=False)
    return replaced


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(f"The folder {str(folder)!r} can't be created: {failure.strerror}.") from failure

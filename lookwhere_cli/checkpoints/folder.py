"""A model's folder: config.json, model.safetensors, README.md. Reading and writing it."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lookwhere_cli.checkpoints.names import CARD, CONFIG, RESULTS, TRAINING, WEIGHTS, find
from lookwhere_cli.checkpoints.placement import device_named, dtype_named
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.errors import ModelError, OutputError, UsageError
from lookwhere_cli.models.blank import blank
from lookwhere_cli.models.cascade.dvt import DVT, shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.cropr import check_own
from lookwhere_cli.models.pruning.schedule import pruning_of
from lookwhere_cli.output.files import whole_file, writing

REVISION_DIGITS = 12
Model: TypeAlias = LookWhere | DVT


@dataclass(frozen=True)
class Loaded:
    """A model ready for use: in evaluation mode, without gradients, on its device and in its dtype."""

    model: Model
    config: Config
    name: str
    revision: str
    folder: Path
    device: torch.device
    dtype: torch.dtype

    @property
    def lookwhere(self) -> LookWhere:
        """The model, for all that a cascade over grids can't do. Raises ModelError where it is one."""
        if isinstance(self.model, DVT):
            raise only_classifies(self.name)
        return self.model


def only_classifies(name: str) -> ModelError:
    """What is said of a cascade over grids that is asked for anything else."""
    return ModelError(
        f"The model {name!r} is a cascade over grids (DVT), which reads all of a picture and only classifies it; "
        "choose another one."
    )


def load_model(name: str, device: str = "auto", dtype: str = "float32") -> Loaded:
    """Load a model by any name that `names` knows, fetched from the Hub first where it has to be.

    The weights are mapped from the file, not copied, where they are on the CPU in the `dtype` that it holds; else they
    are cast. `revision` is the commit of a model that was pulled, else the short hash of the weights as saved.
    Raises ModelError where the model is missing or broken, UsageError for an unknown device or dtype.
    """
    where, kind = device_named(device), dtype_named(dtype)
    place = find(name)
    folder = place.folder
    config = read_config(folder)
    tensors, revision = _read_tensors(folder / WEIGHTS, place.commit)
    with blank():  # every tensor comes from the file
        model = _described(config, folder)
    expected = _assign(model, {key: tensor.to(where, kind) for key, tensor in tensors.items()})
    _check(expected, tensors, folder / WEIGHTS)
    return Loaded(model, config, place.name, revision, folder, where, kind)


def _described(config: Config, folder: Path) -> Model:
    if not config.exits:
        return LookWhere(config)
    try:
        return DVT(config, shapes_of(config))
    except ValueError as failure:
        raise ModelError(f"In {str(folder / CONFIG)!r}: {failure}.") from failure


def save_model(folder: Path, model: Model, card: str | None = None) -> str:
    """Write the model's folder, made where it is missing, each file whole; gives the revision.

    Weights come last, but for the hashes.

    The weights are stored in the model's own dtype. Raises UsageError or OutputError where it can't be written.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    revision = _hash(tensors)
    _make(folder)
    write_config(folder, model.config)
    if card is not None:
        with whole_file(folder / CARD) as stream, writing(folder / CARD):
            stream.write(card.encode())
    _save(tensors, folder / WEIGHTS, revision)
    write_sums(folder)
    return revision


def write_config(folder: Path, config: Config) -> None:
    """Write the folder's config. Raises OutputError."""
    with whole_file(folder / CONFIG) as stream, writing(folder / CONFIG):
        stream.write(json.dumps(config.to_dict(), indent=2, ensure_ascii=False).encode() + b"\n")


def read_config(folder: Path) -> Config:
    """The folder's config. Raises ModelError with the file's name and what is wrong in it."""
    values = _read_json(folder / CONFIG)
    try:
        config = Config.from_dict(values)
        check_own(config, pruning_of(config))
    except ValueError as failure:
        raise ModelError(f"In {str(folder / CONFIG)!r}: {failure}.") from failure
    return config


def read_results(folder: Path) -> dict[str, Any]:
    """What was measured of a model (results.json), empty where there is none; "accuracy" holds shares by data set."""
    return _read_json(folder / RESULTS) if (folder / RESULTS).is_file() else {}


def read_training(folder: Path) -> dict[str, Any]:
    """How a model was trained (training.json), empty where that is not on record."""
    return _read_json(folder / TRAINING) if (folder / TRAINING).is_file() else {}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ModelError(f"{str(file)!r} can't be read: {failure.strerror}.") from failure
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} is not valid JSON: {failure}.") from failure
    if not isinstance(values, dict):
        raise ModelError(f"{str(file)!r} holds a {type(values).__name__}; it must be a JSON object.")
    return values


def weights_as_saved(folder: Path) -> bool | None:
    """Whether the weights have the hash in their own header, once read whole; None where it holds none.

    Raises ModelError for a file that is broken.
    """
    file = folder / WEIGHTS
    tensors, revision = _read_tensors(file, None)
    with safe_open(file, framework="pt") as stored:
        recorded = (stored.metadata() or {}).get("revision")
    return None if recorded is None else _hash(tensors) == revision


def _read_tensors(file: Path, commit: str | None) -> tuple[dict[str, Tensor], str]:
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (it is no dict)
            revision = commit or (stored.metadata() or {}).get("revision") or _hash(tensors)
    except (OSError, SafetensorError) as failure:
        raise ModelError(f"{str(file)!r} is broken or truncated ({failure}); fetch it again.") from failure
    return tensors, revision


def _save(tensors: dict[str, Tensor], file: Path, revision: str) -> None:
    """Write the tensors from where they lie: through the stream they would all be copied first."""
    with whole_file(file) as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        try:
            save_file(tensors, stream.name, metadata={"format": "pt", "revision": revision})
        except SafetensorError as failure:
            raise OutputError(
                f"Writing {str(file)!r} failed: {failure}; make room or choose another place."
            ) from failure
        Path(stream.name).chmod(mode)  # safetensors puts a file of its own there, for its owner's eyes only


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """Of names, dtypes, shapes and bytes: the same however a file orders its tensors."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:REVISION_DIGITS]


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError where names or shapes differ from what the config describes."""
    for key in expected.keys() & found.keys():
        if expected[key].shape != found[key].shape:
            raise ModelError(
                f"In {str(file)!r} the tensor {key!r} has the shape {list(found[key].shape)}, "
                f"but {CONFIG} describes one of {list(expected[key].shape)}."
            )
    for what, keys in (("lacks", expected.keys() - found.keys()), ("has unexpected", found.keys() - expected.keys())):
        if keys:
            raise ModelError(
                f"{str(file)!r} {what} {len(keys)} tensor{'s' * (len(keys) > 1)}, {min(keys)!r} first; "
                f"it does not belong to the {CONFIG} beside it."
            )


def _assign(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let the model have these tensors as its own, frozen, in evaluation mode; gives those that it had before.

    What load_state_dict(assign=True) and eval() do, in a fraction of their time.
    """
    before: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        module.training = False
        for key, parameter in module._parameters.items():
            name = f"{path}.{key}" if path else key
            if parameter is not None:
                before[name] = parameter
            if parameter is not None and name in tensors:
                module._parameters[key] = nn.Parameter(tensors[name], requires_grad=False)
    return before


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(f"The folder {str(folder)!r} can't be made: {failure.strerror}.") from failure

"""Exporting a model: its graphs, config, records and card in a new folder, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import torch

from lookwhere_cli.card import full_card
from lookwhere_cli.checkpoints.configs import write_config
from lookwhere_cli.checkpoints.exported import VERSION, ExportRecord, is_exported, write_record
from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.checkpoints.layout import CARD, CONFIG, RESULTS, TRAINING
from lookwhere_cli.checkpoints.records import read_results, read_training
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.errors import LookWhereError, ModelError, UsageError
from lookwhere_cli.export.compare import TOLERANCES, Differences, compare
from lookwhere_cli.export.formats import FORMATS, OPSET, halved
from lookwhere_cli.export.graphs import TracedGraph
from lookwhere_cli.export.heads.registry import HEADS, graphs_of
from lookwhere_cli.export.programs import ProgramGraph, open_programs
from lookwhere_cli.export.quantise import QUANTISED, quantise
from lookwhere_cli.images.view import Picture
from lookwhere_cli.loading import predictor_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.runtimes.graphs import GraphRuntime
from lookwhere_cli.runtimes.onnx import open_onnx
from lookwhere_cli.text import counted, shared_name


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    format: "onnx" or "torch". half: store weights as float16. int8: store the extractor's weights as bytes, and compute
    with them. opset: of ONNX. verify: pictures to compare on.
    """

    format: str = "onnx"
    half: bool = False
    int8: bool = False
    opset: int = OPSET
    verify: Sequence[Picture] = ()

    @property
    def weights(self) -> str:
        """How the weights are stored."""
        return "float16" if self.half else "int8" if self.int8 else "float32"


Notice = Callable[[str], None]
"""Is told what is being done, for a line of progress: "selector", "picture 3 of 12"."""


def check_exportable(loaded: Loaded) -> LookWhere:
    """Return the model. Raises ModelError for a cascade over grids, and for a task that has no graphs."""
    if not isinstance(loaded.model, LookWhere):
        raise ModelError(
            f"The model {loaded.name!r} is a cascade over grids, whose stages depend on the answers before; it can't "
            "be exported. Export a model that chooses cells."
        )
    if HEADS.get(loaded.model.config.task) is None:
        raise ModelError(
            f"The model {loaded.name!r} is made to {loaded.model.config.task}, of which there is no exported form; "
            f"models for {', '.join(HEADS)} can be exported."
        )
    return loaded.model


def check_target(folder: Path, overwrite: bool) -> None:
    """Raise UsageError for a folder that holds anything else than an exported model to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {str(folder)!r} is a file; name a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not is_exported(folder):
        raise UsageError(f"--out {str(folder)!r} is in use: it holds other files; choose a new folder.")
    if not overwrite:
        raise UsageError(
            f"--out {str(folder)!r} holds an exported model already; choose another folder, or replace it with "
            "--overwrite."
        )


def export_model(loaded: Loaded, folder: Path, options: ExportOptions, notice: Notice) -> Differences | None:
    """Export a model to a folder, and return what the comparison with `options.verify` found.

    Raises ModelError for a cascade over grids, UsageError if the folder can't be created, OutputError if writing fails,
    and LookWhereError if the comparison finds more than the tolerance; nothing is written then.
    """
    model = check_exportable(loaded)
    target = folder.resolve()
    unfinished = _temporary_folder(target, folder)
    try:
        with writing(folder):
            differences = _fill(loaded, model, unfinished, options, notice)
            _move(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return differences


def _temporary_folder(target: Path, folder: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
        made.chmod(0o755)  # mkdtemp lets only its owner in
    except OSError as error:
        raise UsageError(
            f"--out {str(folder)!r} can't be created ({error.strerror}); choose another folder."
        ) from error
    return made


def _fill(loaded: Loaded, model: LookWhere, folder: Path, options: ExportOptions, notice: Notice) -> Differences | None:
    config = exported_config(loaded.config)
    graphs = graphs_of(model)
    files = {name: f"{name}{FORMATS[options.format].ending}" for name in graphs}
    for name, graph in graphs.items():
        notice(name)
        traced = halved(graph) if options.half else graph
        FORMATS[options.format].write(traced.eval(), config, folder / files[name], options.opset)
        if options.int8 and name in QUANTISED:
            quantise(folder / files[name])
    differences = _verify(loaded, graphs, {name: folder / file for name, file in files.items()}, options, notice)
    opset = options.opset if options.format == "onnx" else 0
    tools = {"torch": torch.__version__, **_onnx_version()}
    verified = None if differences is None else differences.to_dict()
    record = ExportRecord(
        VERSION,
        options.format,
        files,
        options.weights,
        opset,
        shared_name(loaded.name),
        loaded.revision,
        tools,
        verified,
    )
    write_config(folder, config)
    _write_records(loaded, config, record, folder)
    write_sums(folder, (CONFIG, *files.values()))
    write_record(folder, record)
    return differences


def exported_config(config: Config) -> Config:
    """Return the config of the exported model: without looks, which change the number of cells by the answer.

    Without a coarse thumbnail in the config, graphs read none, so that there is no default k beside one.
    """
    coarse_k = config.coarse_k if config.coarse_size else None
    return replace(config, looks=(), thresholds=(), expected_macs=0, second_look="restart", coarse_k=coarse_k)


def _verify(
    loaded: Loaded, graphs: dict[str, TracedGraph], files: dict[str, Path], options: ExportOptions, notice: Notice
) -> Differences | None:
    """Compare the files with the model. Raises LookWhereError if they differ by more than the tolerance."""
    if not options.verify:
        return None
    pipeline = predictor_of(replace(loaded, config=exported_config(loaded.config)), Options()).pipeline
    done = iter(range(1, len(options.verify) + 1))
    differences = compare(
        pipeline,
        _opened(loaded.config, graphs, files, options),
        options.verify,
        lambda: notice(f"picture {next(done)} of {len(options.verify)}"),
    )
    if not differences.pictures:
        raise UsageError("None of the pictures of --verify can be read; name others.")
    if not differences.within(TOLERANCES[options.weights]):
        raise LookWhereError(
            f"The exported model differs from {loaded.name!r} by too much, and was not saved: "
            f"{describe_differences(differences)}."
        )
    return differences


def _opened(
    config: Config, graphs: dict[str, TracedGraph], files: dict[str, Path], options: ExportOptions
) -> GraphRuntime:
    if options.format == "onnx":
        return open_onnx(config, files, "cpu", options.weights)
    return open_programs(
        config, {name: ProgramGraph(files[name], graph.inputs, graph.outputs) for name, graph in graphs.items()}
    )


def describe_differences(found: Differences) -> str:
    """Return what differs, as the end of a sentence."""
    failed = f" ({found.failed} more can't be read)" if found.failed else ""
    boxes = f", of a box {found.boxes:.2g} pixels" if found.boxes else ""
    labels = f" and {found.labels:,} of {counted(found.labels_compared, 'label')}" if found.labels_compared else ""
    return (
        f"on {counted(found.pictures, 'picture')}{failed} the largest difference of an output is {found.output:.2g}"
        f"{boxes}; {found.cells:,} of {counted(found.cells_read, 'cell')}{labels} differ"
    )


def _onnx_version() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write_records(loaded: Loaded, config: Config, record: ExportRecord, folder: Path) -> None:
    """Copy the records of the model, and write a card. Results were measured with float32, so others have none."""
    results = read_results(loaded.folder) if record.weights == "float32" else {}
    for name, content in ((TRAINING, read_training(loaded.folder)), (RESULTS, results)):
        if content:
            shutil.copyfile(loaded.folder / name, folder / name)
    card = full_card(shared_name(loaded.name), config, read_training(loaded.folder), results, record)
    with whole_file(folder / CARD) as stream, writing(folder / CARD):
        stream.write(encode_text(card))


def _move(unfinished: Path, target: Path) -> None:
    """Put the finished folder in place; an exported model that it replaces is deleted once it is."""
    if not target.is_dir():
        unfinished.rename(target)
        return
    old = Path(mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
    target.rename(old / "old")
    try:
        unfinished.rename(target)
    except OSError:
        (old / "old").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)

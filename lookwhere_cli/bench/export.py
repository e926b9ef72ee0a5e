"""An exported model against the same one through torch: one photograph from start to end, memory, a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import measure_command_memory, run
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.start import TOOL
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor

ONE_AT_A_TIME = 20  # photographs


def export(settings: BenchSettings) -> Iterator[Measurement]:
    """Export the model, and measure it in turn with the model itself. Both use the CPU."""
    with TemporaryDirectory() as place:
        folder = str(Path(place) / "exported")
        run((*TOOL, "export", settings.model, "--out", folder, "--quiet"))
        models = {"exported": folder, "torch": settings.model}
        yield from _whole_process(models, settings)
        yield _memory(models, settings)
        yield from _rates(models, settings)


def _whole_process(models: dict[str, str], settings: BenchSettings) -> Iterator[Measurement]:
    photograph = str(settings.photographs[0])
    commands = {name: (*TOOL, *_classify(photograph, model)) for name, model in models.items()}
    seconds = alternate({name: partial(run, one) for name, one in commands.items()}, settings.rounds)
    what, against = "classify, one photograph", f"torch: {seconds['torch']:.2f} s"
    yield Measurement("export", what, seconds["exported"], "s", limit=Limit("at most", 0.7))
    ratio = seconds["exported"] / seconds["torch"]
    yield Measurement("export", what, seconds["exported"], "s", against, ratio, limit=Limit("at most", 0.5))


def _classify(photograph: str, model: str) -> tuple[str, ...]:
    return "classify", photograph, "--model", model, "--device", "cpu"


def _memory(models: dict[str, str], settings: BenchSettings) -> Measurement:
    photograph = str(settings.photographs[0])
    used = {name: measure_command_memory(*_classify(photograph, model)) for name, model in models.items()}
    ratio = used["exported"] / used["torch"]
    against = f"torch: {used['torch']:.0f} MiB"
    return Measurement(
        "export",
        "classify, one photograph",
        used["exported"],
        "MiB at peak",
        against,
        ratio,
        limit=Limit("at most", 0.5),
    )


def _rates(models: dict[str, str], settings: BenchSettings) -> Iterator[Measurement]:
    """Measure pictures per second of the folder in batches, and of a few pictures one at a time."""
    predictors = {name: load(model, device="cpu") for name, model in models.items()}
    few = settings.photographs[:ONE_AT_A_TIME]
    for what, pictures, least in (
        (f"classify, {len(settings.photographs)} photographs", (settings.photographs,), 0.9),
        ("classify, one at a time", tuple((one,) for one in few), 1.2),
    ):
        functions = {name: partial(_answer, one, pictures) for name, one in predictors.items()}
        seconds = alternate(functions, settings.rounds)
        rates = {name: len(list(chain(*pictures))) / spent for name, spent in seconds.items()}
        against, ratio = f"torch: {rates['torch']:.1f} pictures/s", rates["exported"] / rates["torch"]
        limit = Limit("at least", least)
        yield Measurement("export", what, rates["exported"], "pictures/s", against, ratio, limit=limit)


def _answer(predictor: Predictor, groups: Sequence[Sequence[Path]]) -> None:
    for pictures in groups:
        for _ in predictor.answers(pictures):
            pass

"""`lookwhere features --window`: a row of features for each window, with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lookwhere_cli.cli.output import array_output
from lookwhere_cli.cli.results import ResultOutput
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.cli.window_results import write_in_windows
from lookwhere_cli.cli.window_resume import PictureKeys, kept_sentence, say_kept
from lookwhere_cli.features import compute_features
from lookwhere_cli.heads.features import Features
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.names import in_message
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import check_free, kept_files
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.console import make_console
from lookwhere_cli.text import counted
from lookwhere_cli.windows.journal import picture_key
from lookwhere_cli.windows.kept import KeptArrays, kept_beside
from lookwhere_cli.windows.picture import PlannedPicture, open_planned
from lookwhere_cli.windows.plan import Window, WindowPlan
from lookwhere_cli.windows.resume import in_order, missing_windows
from lookwhere_cli.windows.source import window_sources

if TYPE_CHECKING:
    from lookwhere_cli.output.arrays import Arrays, Place
    from lookwhere_cli.predictor import Predictor


class PlacedFeatures(NamedTuple):
    """The features of a window, and where it lies; a picture that failed has neither."""

    row: Row
    arrays: Arrays
    place: Place


class FeatureRun:
    """A run over pictures whose windows' features are written.

    arrays_of: the arrays to write, by name. out: the file, beside which finished windows are kept. key: returns what
    identifies a picture with all that decides its features.
    """

    def __init__(
        self,
        predictor: Predictor,
        request: WindowRequest,
        arrays_of: Callable[[Features], Arrays],
        dense: bool,
        out: Path,
        key: Callable[[str], str],
        overwrite: bool,
    ) -> None:
        self._overwrite = overwrite
        self.predictor, self.request, self.out = predictor, request._replace(rows=True), out
        self.arrays_of, self.dense, self._key = arrays_of, dense, key
        self._kept: list[KeptArrays] = []
        self._quiet = False

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Remember what may be said; what an earlier run left is used as a picture is opened.

        Raises UsageError for a file that exists, unless a stopped run of the same command left it, or it is to be
        overwritten.
        """
        self._quiet = quiet
        self._kept = list(map(self._kept_of, pictures))
        if not any(kept.belongs for kept in self._kept):
            check_free(self.out, self._overwrite)

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if the file is whole; else leave it, to go on from there."""
        for kept in self._kept:
            kept.close()
        if not is_written and self._kept and not any(kept.belongs for kept in self._kept):
            self._kept[0].leave()
        for file in kept_files(self.out) if is_written else ():
            file.unlink(missing_ok=True)

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        return kept_sentence([kept.path for kept in self._kept])

    @contextmanager
    def open(self, picture: str) -> Iterator[_FeatureReading]:
        """Open a picture, and what an earlier run has kept of it."""
        kept = self._kept_of(picture)
        with open_planned(self.predictor, picture, self.request.options, kept) as reading:
            say_kept(kept, self._quiet)
            yield _FeatureReading(self, reading, kept)

    def _kept_of(self, picture: str) -> KeptArrays:
        key = self._key(picture)
        return KeptArrays(kept_beside(self.out.with_name(f"{self.out.name}.{key[:12]}")), key)


class _FeatureReading:
    """A picture that is open; see `WindowReading`."""

    def __init__(self, run: FeatureRun, reading: PlannedPicture, kept: KeptArrays) -> None:
        self._run, self._kept, self.plan, self.source = run, kept, reading.plan, reading.source
        self._failed, self._error = 0, ""
        self._resolution = _resolution(reading)

    def answers(self) -> Iterator[PlacedFeatures]:
        """Yield the features of each window, in reading order."""
        missing = missing_windows(self.plan, self._kept.numbers)
        yield from in_order(self.plan, missing, self._finished, self._computed(self.plan.only(missing)))

    def _finished(self, window: Window) -> PlacedFeatures:
        return self._placed(*self._kept.read(window.number), window.box)

    def _computed(self, plan: WindowPlan) -> Iterator[PlacedFeatures]:
        """Yield the features of windows, and keep them; what can't be read is tried again."""
        pictures = window_sources(self.source, (window.box for window in plan.windows))
        computed = compute_features(plan.pipeline, pictures, self._run.dense)
        for window, one in zip(plan.windows, computed, strict=True):
            left, top, right, bottom = (int(edge) for edge in window.box)
            row, arrays = replace(one.row, window=(left, top, right, bottom)), self._run.arrays_of(one)
            if row.error is None:
                self._kept.keep(window.number, row, arrays)
            yield self._placed(row, arrays, window.box)

    def whole(self) -> PlacedFeatures:
        """Return the row of the picture, without features: it has `error` if no window could be read."""
        path = getattr(self.source, "path", "")
        counts = replace(self.plan.counts, failed=self._failed)
        row = Row(path, windows=counts)
        if self._failed and not counts.read:
            sentence = f"{in_message(path)}: none of its windows can be read; the first one: {self._error}"
            row = replace(row, error=sentence)
        return PlacedFeatures(row, {}, {})

    def _placed(self, row: Row, arrays: Arrays, box: Box) -> PlacedFeatures:
        if row.error is not None:
            self._failed += 1
            self._error = self._error or row.error
        place: Place = {"x": int(box[0]), "y": int(box[1]), "window_size": self.plan.side, **self._resolution}
        return PlacedFeatures(row, arrays, place)


def features_in_windows(
    predictor: Predictor,
    request: WindowRequest,
    arrays_of: Callable[[Features], Arrays],
    kinds: tuple[bool, bool],
    out: Path,
    pictures: Sequence[str],
    settings: Options,
    manners: Manners,
    overwrite: bool,
) -> None:
    """Write the features of pictures in windows, say what was written, and exit with 1 if something failed.

    kinds: whether features are dense, and whether selector maps are written.
    """
    keys = PictureKeys(predictor, request, settings)
    key = lambda picture: picture_key(picture, keys(picture), kinds)  # noqa: E731
    run = FeatureRun(predictor, request, arrays_of, kinds[0], out, key, overwrite)
    what = f"the features of the windows of {counted(len(pictures), 'picture')}"
    write_in_windows(run, pictures, _output(out), manners, what)


@contextmanager
def _output(out: Path) -> Iterator[ResultOutput]:
    """Write the features of windows, the errors of windows and pictures, and no rows of whole pictures."""
    console = make_console(stderr=True)
    with array_output(out) as write:

        def write_one(one: Any) -> None:
            """Write a window's arrays and place, or a failed window's row with `error`."""
            if isinstance(one, PlacedFeatures) and one.place:
                write(one.row, one.arrays, one.place)
            elif one.row.error is not None:
                write(one.row, {}, {})

        yield ResultOutput(write_one, console, console.is_terminal, messages=True)


def _resolution(reading: PlannedPicture) -> Place:
    """Return how large the pixels are that are read: `level` in full-resolution pixels, `mpp` in µm, `gsd` in m."""
    source, (_, scale) = reading.source, reading.plan.size.scale
    spacing = source.spacing if is_large(source) else None
    size = None if spacing is None else spacing.across * scale
    is_slide = spacing is not None and spacing.unit == "µm"
    return {"level": scale, "mpp": size if is_slide else None, "gsd": None if is_slide else size}

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
from lookwhere_cli.cli.window_results import ResumableRun, write_in_windows
from lookwhere_cli.cli.window_segment import kept_sentence, say_kept
from lookwhere_cli.features import compute_features
from lookwhere_cli.heads.features import Features
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.names import in_message
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import kept_files
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.console import make_console
from lookwhere_cli.text import counted
from lookwhere_cli.windows.journal import picture_key
from lookwhere_cli.windows.kept import KeptArrays, kept_beside
from lookwhere_cli.windows.picture import WindowReading, open_windows
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
    ) -> None:
        self.predictor, self.request, self.out = predictor, request._replace(rows=True), out
        self.arrays_of, self.dense, self._key = arrays_of, dense, key
        self._kept: list[KeptArrays] = []
        self._quiet = False

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Remember what may be said; what an earlier run left is used as a picture is opened."""
        self._quiet = quiet

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if the file is whole; else leave it, to go on from there."""
        for kept in self._kept:
            kept.close()
        for file in kept_files(self.out) if is_written else ():
            file.unlink(missing_ok=True)

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        return kept_sentence([kept.path for kept in self._kept])

    @contextmanager
    def open(self, picture: str) -> Iterator[_FeatureReading]:
        """Open a picture, and what an earlier run has kept of it."""
        key = self._key(picture)
        kept = KeptArrays(kept_beside(self.out.with_name(f"{self.out.name}.{key[:12]}")), key)
        self._kept.append(kept)
        say_kept(kept, self._quiet)
        with open_windows(self.predictor, picture, self.request.options) as reading:
            try:
                yield _FeatureReading(self, reading, kept)
            finally:
                kept.close()


class _FeatureReading:
    """A picture that is open; see `WindowReading`."""

    def __init__(self, run: FeatureRun, reading: WindowReading, kept: KeptArrays) -> None:
        self._run, self._kept, self.plan, self.source = run, kept, reading.plan, reading.source
        self._failed, self._error = 0, ""
        self._resolution = _resolution(reading)

    def answers(self) -> Iterator[PlacedFeatures]:
        """Yield the features of each window, in reading order."""
        done = 0
        for window, (row, arrays) in zip(self.plan.windows, self._kept.finished(), strict=False):
            done += 1
            yield self._placed(row, arrays, window.box)
        rest = self.plan.after(done).windows
        pictures = window_sources(self.source, (window.box for window in rest))
        computed = compute_features(self.plan.pipeline, pictures, self._run.dense)
        for window, one in zip(rest, computed, strict=True):
            left, top, right, bottom = (int(edge) for edge in window.box)
            row, arrays = replace(one.row, window=(left, top, right, bottom)), self._run.arrays_of(one)
            self._kept.keep(row, arrays)
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
) -> None:
    """Write the features of pictures in windows, say what was written, and exit with 1 if something failed.

    kinds: whether features are dense, and whether selector maps are written.
    """
    keys = ResumableRun(predictor, request, settings, None, overwrite=True)
    key = lambda picture: picture_key(picture, keys.key(picture), kinds)  # noqa: E731
    run = FeatureRun(predictor, request, arrays_of, kinds[0], out, key)
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


def _resolution(reading: WindowReading) -> Place:
    """Return how large the pixels are that are read: `level` in full-resolution pixels, `mpp` in µm, `gsd` in m."""
    source, (_, scale) = reading.source, reading.plan.size.scale
    spacing = source.spacing if is_large(source) else None
    size = None if spacing is None else spacing.across * scale
    is_slide = spacing is not None and spacing.unit == "µm"
    return {"level": scale, "mpp": size if is_slide else None, "gsd": None if is_slide else size}

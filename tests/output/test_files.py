"""Wherever writing ends, a file is complete or absent, and no temporary file remains."""

import os
import sys
from itertools import count
from pathlib import Path

import pytest

from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.output import files
from lookwhere_cli.output.files import whole_file

CONTENT = b"all of it"


def interrupt_at(number):
    """A tracer that raises KeyboardInterrupt before the number-th executed line of files.py, and the lines it saw."""
    lines = []

    def trace(frame, event, _):
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == number:
                raise KeyboardInterrupt
        return trace

    return trace, lines


def write_until(path, number):
    """Return True if the file was written before the number-th line, False if the interrupt came first."""
    trace, lines = interrupt_at(number)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with whole_file(path) as stream:
            stream.write(CONTENT)
    except KeyboardInterrupt:
        assert len(lines) >= number
        return False
    finally:
        sys.settrace(before)
    return True


@pytest.mark.parametrize("old", [None, b"the old content"])
def test_ctrl_c_at_any_line_leaves_the_old_or_the_new_file_and_no_other(tmp_path, old):
    file, contents = tmp_path / "a.png", set()
    for number in count(1):
        file.unlink(missing_ok=True)
        if old is not None:
            file.write_bytes(old)
        complete = write_until(file, number)
        assert [entry for entry in tmp_path.iterdir() if entry != file] == [], f"Ctrl-C at executed line {number}"
        contents.add(file.read_bytes() if file.exists() else None)
        if complete:
            break
    assert number > 10 and file.read_bytes() == CONTENT and contents == {old, CONTENT}


def test_the_content_is_on_disk_before_the_file_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    events, replace, fsync = [], Path.replace, os.fsync

    def record_sync(descriptor):
        status = os.fstat(descriptor)
        events.append("folder" if status.st_ino == tmp_path.stat().st_ino else status.st_size)
        fsync(descriptor)

    def record_replace(path, target):
        events.append("renamed")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_replace)
    with whole_file(tmp_path / "a.png") as stream:
        stream.write(CONTENT)
    assert events == [len(CONTENT), "renamed", "folder"]


def test_content_that_cannot_reach_the_disk_leaves_no_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=r"Writing .*a\.png' failed: No space left"), whole_file(tmp_path / "a.png"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_opened_does_not_stop_the_file(tmp_path, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", fail)
    with whole_file(tmp_path / "a.png") as stream:
        stream.write(CONTENT)
    assert (tmp_path / "a.png").read_bytes() == CONTENT


@pytest.mark.parametrize("folder", ["missing", "a.txt"])
def test_a_path_below_no_folder_is_refused_and_nothing_is_created(tmp_path, folder):
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match="can't be written"), whole_file(tmp_path / folder / "a.png"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]

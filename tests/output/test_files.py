"""A file is whole or not there, and nothing lies beside it, wherever the writing ends."""

import sys
from itertools import count

import pytest

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output import files
from lookwhere_cli.output.files import whole_file

CONTENT = b"all of it"


def ctrl_c_at(place):
    """A tracer that interrupts before the line of files.py that is the place-th to run; it tells what it has seen."""
    seen = []

    def trace(frame, event, _):
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            seen.append(frame.f_lineno)
            if len(seen) == place:
                raise KeyboardInterrupt
        return trace

    return trace, seen


def written(path, place):
    """Whether the file was written without coming to that place."""
    trace, seen = ctrl_c_at(place)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with whole_file(path) as stream:
            stream.write(CONTENT)
    except KeyboardInterrupt:
        assert len(seen) >= place
        return False
    finally:
        sys.settrace(before)
    return True


@pytest.mark.parametrize("old", [None, b"what was there"])
def test_ctrl_c_at_any_line_leaves_the_old_or_the_new_and_nothing_beside_it(tmp_path, old):
    file, ends = tmp_path / "a.png", set()
    for place in count(1):
        file.unlink(missing_ok=True)
        if old is not None:
            file.write_bytes(old)
        done = written(file, place)
        assert [entry for entry in tmp_path.iterdir() if entry != file] == [], f"Ctrl-C at line {place} of the run"
        ends.add(file.read_bytes() if file.exists() else None)
        if done:
            break
    assert place > 10 and file.read_bytes() == CONTENT and ends == {old, CONTENT}


@pytest.mark.parametrize("folder", ["missing", "a.txt"])
def test_a_place_that_is_no_folder_is_told_and_nothing_else(tmp_path, folder):
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match="can't be written"), whole_file(tmp_path / folder / "a.png"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]

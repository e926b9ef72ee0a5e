import hashlib
import shutil
import subprocess

import pytest

from lookwhere_cli.checkpoints.sums import changed_files, read_sums, sha256, write_sums
from lookwhere_cli.errors import ModelError

ZEROS = "0" * 64


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_sums(tmp_path)
    return tmp_path


def test_sums_are_the_hashes_of_config_and_weights(folder):
    expected = {"config.json": b"{}", "model.safetensors": b"weights"}
    assert read_sums(folder) == {name: hashlib.sha256(content).hexdigest() for name, content in expected.items()}
    assert changed_files(folder) == []


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_our_sums_and_we_read_its(folder):
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count("OK") == 2
    ours = read_sums(folder)
    for flag in ("--text", "--binary"):
        written = subprocess.run(["sha256sum", flag, *ours], cwd=folder, capture_output=True, text=True, check=True)
        (folder / "SHA256SUMS").write_text(written.stdout)
        assert read_sums(folder) == ours


def test_changed_and_missing_files_are_named(folder):
    (folder / "config.json").write_text("{ }")
    assert changed_files(folder) == ["config.json"]
    (folder / "model.safetensors").unlink()
    assert changed_files(folder) == ["config.json", "model.safetensors"]


def test_a_folder_without_sums_has_none(tmp_path):
    assert read_sums(tmp_path) == {} and changed_files(tmp_path) == []
    assert sha256(tmp_path / "nothing") is None and sha256(tmp_path) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "config.json",
        f"{ZEROS}",
        f"{ZEROS}  ",
        f"{ZEROS} config.json",
        f"{ZEROS[1:]}  config.json",
        f"{ZEROS}0  config.json",
        f"{'G' * 64}  config.json",
        f"{ZEROS}  ../config.json",
        f"{ZEROS}  /etc/passwd",
        f"{ZEROS}  a\\b",
        f"{ZEROS}  ..",
        f"{ZEROS}  .",
    ],
)
def test_damaged_sums_name_the_line(folder, line):
    (folder / "SHA256SUMS").write_text(f"{ZEROS}  config.json\n{line}\n{ZEROS}  model.safetensors\n")
    with pytest.raises(ModelError) as failure:
        read_sums(folder)
    assert f"SHA256SUMS' is damaged: the line {line!r} is not a SHA-256" in str(failure.value)


def test_a_damaged_line_is_quoted_in_part(folder):
    (folder / "SHA256SUMS").write_text("x" * 1000)
    with pytest.raises(ModelError, match=r"the line 'x{100}' is not"):
        read_sums(folder)


def test_sums_that_are_not_text(folder):
    (folder / "SHA256SUMS").write_bytes(b"\xff\xff")
    with pytest.raises(ModelError, match=r"SHA256SUMS' can't be read"):
        read_sums(folder)

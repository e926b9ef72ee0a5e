"""The command line that records, cards and results repeat."""

import sys

import pytest

from lookwhere_cli.cli.runs import command_line


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        (["train", "/home/me/my data", "--out", "/tmp/my-model"], "train 'my data' --out my-model"),
        (["train", "data/", "--out=/tmp/m", "--lr", "3e-4"], "train data/ --out=m --lr 3e-4"),
        (
            ["pretrain", "@/tmp/list.txt", "--teacher", "vit=/w/a=b.safetensors"],
            "pretrain @list.txt --teacher vit=a=b.safetensors",
        ),
    ],
)
def test_the_recorded_command_has_no_absolute_paths(monkeypatch, words, recorded):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/lookwhere", *words])
    assert command_line() == f"lookwhere {recorded}"

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lookwhere_cli.training import transfer
from lookwhere_cli.training.transfer import PackedBatch, TransferableBatches, tensor_bytes, unpacked


class Two(NamedTuple):
    numbers: Tensor
    rest: Tensor | None
    k: int


class Numbered(Dataset):
    """A batch of 4 KB for each step."""

    def __getitem__(self, step):
        return Two(torch.full((1000,), float(step)), torch.ones(24), step)


def loaded(monkeypatch, free):
    monkeypatch.setattr(transfer, "fits_in_shared_memory", lambda size: size <= free)
    return list(DataLoader(TransferableBatches(Numbered(), range(3, 7)), batch_size=None, num_workers=2))


@pytest.mark.parametrize("free", [0, 12_287, 12_288, 10**9])
def test_batches_arrive_whole_whatever_room_there_is(monkeypatch, free):
    """Two processes may place a batch each while a third one waits to be read."""
    arrived = loaded(monkeypatch, free)
    assert {isinstance(batch, PackedBatch) for batch in arrived} == {free < 3 * (4000 + 96)}
    for step, batch in zip(range(3, 7), map(unpacked, arrived), strict=True):
        assert isinstance(batch, Two)
        assert batch.k == step
        assert torch.equal(batch.numbers, torch.full((1000,), float(step)))


def test_nothing_is_packed_within_one_process(monkeypatch):
    monkeypatch.setattr(transfer, "fits_in_shared_memory", lambda size: False)
    batches = TransferableBatches(Numbered(), range(2))
    assert len(batches) == 2
    assert isinstance(batches[1], Two)


def test_the_bytes_of_tensors_are_counted_wherever_they_are():
    batch = {"a": [torch.zeros(3), (torch.zeros(2, dtype=torch.uint8), None)], "b": 7}
    assert tensor_bytes(batch) == 14


def test_the_room_is_that_of_the_disk_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(transfer, "SHARED_MEMORY", str(tmp_path))
    assert transfer.fits_in_shared_memory(1)
    assert not transfer.fits_in_shared_memory(2**62)
    monkeypatch.setattr(transfer, "SHARED_MEMORY", str(tmp_path / "none"))
    assert transfer.fits_in_shared_memory(2**62)

"""Download of one file: requests, ranges, progress, attempts, hashes."""

import hashlib

import httpx2
import pytest

from lookwhere_cli.checkpoints import transfer
from lookwhere_cli.checkpoints.progress import ignore_progress
from lookwhere_cli.checkpoints.transfer import ATTEMPTS, PAUSE, RemoteFile, fetch, has_digest
from lookwhere_cli.errors import ModelError

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_SHA1 = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


@pytest.fixture
def remote(hub, home):
    hub.publish("someone/birds", {"big.pt": CONTENT})
    return RemoteFile("big.pt", f"{hub.endpoint}/lfs/{SHA256}", len(CONTENT), SHA256)


@pytest.fixture
def pauses(home, monkeypatch):
    """The lengths of all pauses between attempts, in seconds; no time passes."""
    pauses = []
    monkeypatch.setattr(transfer, "PAUSE", PAUSE)
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    return pauses


def test_a_file_arrives_whole_and_its_partial_file_goes(remote, tmp_path, pauses):
    fetch(remote, tmp_path / "deep" / "big.pt", ignore_progress)
    assert (tmp_path / "deep" / "big.pt").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["big.pt"]
    assert pauses == []


def test_a_file_with_the_listed_hash_is_not_downloaded_again(hub, remote, tmp_path):
    (tmp_path / "big.pt").write_bytes(CONTENT)
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert not hub.requests


def test_a_file_with_another_hash_is_replaced(remote, tmp_path):
    (tmp_path / "big.pt").write_bytes(CONTENT[:-1] + b"x")
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert (tmp_path / "big.pt").read_bytes() == CONTENT


def test_bodies_are_requested_uncompressed(hub, remote, tmp_path):
    (tmp_path / "big.pt.partial").write_bytes(CONTENT[:100])
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    (request,) = hub.downloads()
    assert (request.encoding, request.range) == ("identity", "bytes=100-")
    assert request.agent.startswith("lookwhere/")


def test_progress_counts_the_bytes_of_the_whole_file(remote, tmp_path):
    reports = []
    fetch(remote, tmp_path / "big.pt", lambda *report: reports.append(report))
    assert reports[-1] == ("big.pt", len(CONTENT), len(CONTENT))
    counts = [downloaded for _, downloaded, _ in reports]
    assert counts[0] > 0 and counts == sorted(set(counts))
    assert {(file, total) for file, _, total in reports} == {("big.pt", len(CONTENT))}


def test_progress_of_a_resumed_download_starts_at_the_bytes_that_are_there(remote, tmp_path):
    start = len(CONTENT) - 1000
    (tmp_path / "big.pt.partial").write_bytes(CONTENT[:start])
    reports = []
    fetch(remote, tmp_path / "big.pt", lambda *report: reports.append(report))
    assert all(start < downloaded <= len(CONTENT) for _, downloaded, _ in reports)
    assert reports[-1] == ("big.pt", len(CONTENT), len(CONTENT))
    assert (tmp_path / "big.pt").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_file_from_its_start(hub, remote, tmp_path):
    hub.faults.no_ranges = True
    (tmp_path / "big.pt.partial").write_bytes(CONTENT[:5000])
    reports = []
    fetch(remote, tmp_path / "big.pt", lambda *report: reports.append(report))
    assert hub.ranges() == ["bytes=5000-"]
    assert reports[-1] == ("big.pt", len(CONTENT), len(CONTENT))
    assert (tmp_path / "big.pt").read_bytes() == CONTENT


def test_a_server_that_announces_too_few_bytes_is_asked_for_the_rest(hub, remote, tmp_path, pauses):
    hub.faults.short_length = True
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert (tmp_path / "big.pt").read_bytes() == CONTENT
    assert len(pauses) == len(hub.ranges()) - 1 > 2 and set(pauses) == {1.0}


def test_more_bytes_than_listed_are_not_read_to_the_end(hub, remote, tmp_path, monkeypatch):
    chunks = []
    monkeypatch.setattr(
        httpx2.Response, "iter_bytes", lambda response: (chunks.append(1) or b"x" * 60_000 for _ in range(10))
    )
    with pytest.raises(ModelError, match="arrived damaged"):
        fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert len(chunks) == 2
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_exactly_as_long_as_listed_is_read_to_the_end(remote, tmp_path, monkeypatch):
    ended = []

    def chunks(response):
        yield CONTENT
        ended.append(True)

    monkeypatch.setattr(httpx2.Response, "iter_bytes", chunks)
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert ended == [True]


def test_wrong_bytes_are_deleted(hub, remote, tmp_path):
    hub.faults.flip = True
    with pytest.raises(ModelError, match=r"'big.pt' arrived damaged.*pull the model again"):
        fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert not list(tmp_path.glob("big.pt*"))


def test_five_attempts_in_a_row_without_a_byte_are_the_last(remote, tmp_path, monkeypatch, pauses):
    attempts = []

    def refuse(*_):
        attempts.append(1)
        raise httpx2.ConnectError("refused")

    monkeypatch.setattr(transfer, "_append", refuse)
    with pytest.raises(ModelError, match=rf"broke \(refused\) after 0 of {len(CONTENT)} bytes of 'big.pt'"):
        fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert len(attempts) == ATTEMPTS == 5 and pauses == [1.0] * 4
    assert (tmp_path / "big.pt.partial").exists()


def test_an_attempt_that_brings_bytes_starts_the_count_again(remote, tmp_path, monkeypatch, pauses):
    attempts = []

    def send_one_byte_in_four(remote, partial, start, on_progress):
        attempts.append(start)
        if len(attempts) % 4 == 0:
            partial.write_bytes(CONTENT[: start + 1])
        if len(attempts) == 12:
            partial.write_bytes(CONTENT)
        raise httpx2.ReadError("broke")

    monkeypatch.setattr(transfer, "_append", send_one_byte_in_four)
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert attempts == [0] * 4 + [1] * 4 + [2] * 4
    assert len(pauses) == 11  # none after the last


def test_an_attempt_that_ends_early_without_an_error_counts_as_well(remote, tmp_path, monkeypatch, pauses):
    monkeypatch.setattr(transfer, "_append", lambda *_: None)
    with pytest.raises(ModelError, match="The connection broke after 0 of"):
        fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert len(pauses) == 4


def test_the_server_has_ten_seconds_to_answer(remote, tmp_path, monkeypatch):
    timeouts = []
    send = httpx2.Client.send

    def recording(client, request, **options):
        timeouts.append(request.extensions["timeout"]["read"])
        return send(client, request, **options)

    monkeypatch.setattr(httpx2.Client, "send", recording)
    fetch(remote, tmp_path / "big.pt", ignore_progress)
    assert timeouts == [10.0]


@pytest.mark.parametrize("digest", [SHA256, GIT_SHA1])
def test_digests_are_sha_256_or_those_of_git(digest, tmp_path):
    file = tmp_path / "file"
    assert not has_digest(file, digest)
    file.write_bytes(CONTENT)
    assert has_digest(file, digest)
    file.write_bytes(CONTENT[:-1])
    assert not has_digest(file, digest)
    file.write_bytes(CONTENT)
    assert not has_digest(file, digest[:-1]) and not has_digest(file, digest + "0") and not has_digest(file, "")
    assert not has_digest(tmp_path, digest)

"""The cache: what is listed, what is deleted, and what tampered or damaged caches can't do."""

import json
import shutil

import pytest
from huggingface_hub import constants

from lookwhere_cli.checkpoints import cache
from lookwhere_cli.checkpoints.cache import (
    cache_root,
    cached_models,
    cached_repositories,
    find_cached,
    is_intact,
    remove,
)
from lookwhere_cli.checkpoints.hub import pull
from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES, PUBLISHED_REPOSITORY
from lookwhere_cli.checkpoints.names import HubName
from lookwhere_cli.checkpoints.resolve import find
from lookwhere_cli.checkpoints.verify import verify
from lookwhere_cli.errors import ModelError, OutputError

NAME = "someone/birds"
BIRDS = HubName(NAME, NAME)
DINOV2 = HubName("dinov2-base", PUBLISHED_REPOSITORY, file=PUBLISHED_FILES["dinov2-base"])
COMMITS = ("1" * 40, "2" * 40)


def at(model, revision):
    return HubName(model.name, model.repository, revision, model.file)


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@pytest.fixture
def converted(home, files):
    """A cache with two conversions of one published file: `main` is the second."""
    root = cache_root(DINOV2)
    for commit in COMMITS:
        for name, content in files.items():
            write(root / "snapshots" / commit / name, content)
    write(root / "refs" / "main", COMMITS[1].encode() + b"\n")
    write(root / "refs" / "old" / "one", COMMITS[0].encode())
    return root


@pytest.fixture
def victim(home, files):
    """A model's folder outside the cache of models."""
    for name, content in files.items():
        write(home / "victim" / name, content)
    yield home / "victim"
    assert {file.name: file.read_bytes() for file in (home / "victim").iterdir()} == files


def test_an_empty_cache_lists_nothing(home):
    assert cached_models() == [] and cached_repositories() == [] and find_cached(BIRDS) is None
    with pytest.raises(ModelError, match=r"Nothing is cached of 'someone/birds'\. See: lookwhere models list"):
        remove(BIRDS)


def test_a_cache_lists_main_by_name_and_other_revisions_by_commit(hub, home, files, converted):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    second = hub.publish(NAME, files | {"README.md": b"# later\n"})
    pull(BIRDS)
    hub.publish("other/fish", files, "v1")
    fish = pull(HubName("other/fish", "other/fish", "v1")).commit
    hub.publish("a/cats", files)
    pull(HubName("a/cats", "a/cats"))
    expected = ["dinov2-base", f"dinov2-base@{COMMITS[0]}", "a/cats", f"other/fish@{fish}", NAME, f"{NAME}@{first}"]
    assert [str(model) for model in cached_models()] == expected
    assert cached_repositories() == expected[2:]
    assert find_cached(BIRDS).commit == second and find_cached(DINOV2).commit == COMMITS[1]
    assert find_cached(at(BIRDS, first)).folder == cache_root(BIRDS) / "snapshots" / first


def test_only_models_of_ours_are_listed(hub, home, files):
    hub.publish(NAME, files)
    folder = pull(BIRDS).folder
    for kind, content in (
        ("llm", b'{"hidden_size": 3}'),
        ("list", b"[]"),
        ("deep", b"[" * 100_000),
        ("bytes", b"\xff"),
    ):
        copy = shutil.copytree(cache_root(BIRDS), cache_root(HubName("x", f"other/{kind}")), symlinks=True)
        write(copy / "snapshots" / folder.name / "new.json", content)
        (copy / "snapshots" / folder.name / "new.json").rename(copy / "snapshots" / folder.name / "config.json")
    shutil.copytree(cache_root(BIRDS), home / "hub" / "datasets--other--set", symlinks=True)
    shutil.copytree(cache_root(BIRDS), home / "hub" / "models--no-owner", symlinks=True)
    shutil.copytree(cache_root(BIRDS), home / "hub" / "models--..--up", symlinks=True)
    renamed = shutil.copytree(cache_root(BIRDS), cache_root(HubName("x", "other/name")), symlinks=True)
    (renamed / "snapshots" / folder.name).rename(renamed / "snapshots" / "latest")
    (renamed / "refs" / "main").unlink()
    without = shutil.copytree(cache_root(BIRDS), cache_root(HubName("x", "other/half")), symlinks=True)
    (without / "snapshots" / folder.name / "model.safetensors").unlink()
    assert cached_repositories() == [NAME]


def test_remove_frees_one_revision_or_all_of_them(hub, home, files):
    first = hub.publish(NAME, files, "v1")
    pull(at(BIRDS, "v1"))
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    pull(BIRDS)
    assert remove(at(BIRDS, first)) == len(files["README.md"])
    assert all(verify(BIRDS).values()) and find_cached(at(BIRDS, "v1")) is None
    assert [ref.name for ref in (cache_root(BIRDS) / "refs").iterdir()] == ["main"]
    assert (
        remove(BIRDS) == len(files["model.safetensors"]) + len(files["config.json"]) + len(b"# later\n") + 40
    )  # the ref
    assert not cache_root(BIRDS).exists()
    with pytest.raises(ModelError, match="Nothing is cached"):
        remove(BIRDS)


def test_a_revision_that_is_not_cached_is_not_removed(hub, home, files):
    hub.publish(NAME, files)
    pull(BIRDS)
    for revision in ("v1", "3" * 40):
        with pytest.raises(ModelError, match=f"Nothing is cached of '{NAME}@{revision}'"):
            remove(at(BIRDS, revision))
    assert all(verify(BIRDS).values())


def test_the_same_commits_in_another_repository_stay(hub, home, files):
    hub.publish(NAME, files)
    pull(BIRDS)
    commit = hub.publish(NAME, files | {"README.md": b"# later\n"}, "v1")
    pull(at(BIRDS, "v1"))
    forks = [HubName(name, name) for name in ("a/fork", "z/fork")]
    for fork in forks:
        shutil.copytree(cache_root(BIRDS), cache_root(fork), symlinks=True)
    remove(at(BIRDS, commit))
    assert all(all(verify(at(fork, commit)).values()) for fork in forks)
    remove(BIRDS)
    assert all(all(verify(at(fork, commit)).values()) for fork in forks)


def test_remove_takes_a_broken_off_download_away(hub, home, files):
    hub.publish(NAME, files)
    hub.faults.cut_after, hub.faults.cuts = 5000, 100
    hub.faults.no_ranges = True
    with pytest.raises(ModelError, match="The connection broke"):
        pull(BIRDS)
    assert remove(BIRDS) == 5000 + len(files["config.json"]) + len(files["README.md"])
    assert not cache_root(BIRDS).exists()


def test_remove_deletes_conversions_by_revision_or_all_of_them(converted, files):
    size = sum(map(len, files.values()))
    assert remove(at(DINOV2, "old/one")) == size
    assert [folder.name for folder in (converted / "snapshots").iterdir()] == [COMMITS[1]]
    assert [str(ref.relative_to(converted)) for ref in converted.rglob("refs/**/*") if ref.is_file()] == ["refs/main"]
    assert remove(DINOV2) == size + len(COMMITS[1]) + 1
    assert not converted.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"../../../victim",
        b"../../../../home/victim",
        b"/etc",
        b".",
        b"",
        b"main",
        b"\xff\xfe garbage \x00",
        b"A" * 40,
        b"1" * 39,
        b"1" * 40 + b"/../../../../victim",
    ],
)
@pytest.mark.parametrize("revision", ["main", "v1"])
def test_a_tampered_ref_is_no_revision_and_leads_nowhere(hub, home, files, victim, content, revision):
    commit = hub.publish(NAME, files, revision)
    pull(at(BIRDS, revision))
    write(cache_root(BIRDS) / "refs" / revision, content)
    assert find_cached(at(BIRDS, revision)) is None
    if revision == "main":
        remove(BIRDS)
        assert not cache_root(BIRDS).exists()
    else:
        with pytest.raises(ModelError, match="Nothing is cached"):
            remove(at(BIRDS, revision))
        assert find(f"{NAME}@{revision}").commit == commit  # a pull repairs it
        assert (cache_root(BIRDS) / "refs" / revision).read_text() == commit


@pytest.mark.parametrize("content", [b"../../../../victim", b"/etc", b"\xff", b""])
def test_a_tampered_ref_of_a_conversion_leads_nowhere(converted, victim, content):
    write(converted / "refs" / "main", content)
    assert find_cached(DINOV2) is None
    assert [str(model) for model in cached_models()] == [f"dinov2-base@{commit}" for commit in COMMITS]
    remove(at(DINOV2, COMMITS[0]))
    assert (converted / "refs" / "main").read_bytes() == content
    remove(DINOV2)
    assert not converted.exists()


def test_a_ref_that_is_a_folder_is_no_revision(hub, home, files):
    hub.publish(NAME, files)
    pull(BIRDS)
    write(cache_root(BIRDS) / "refs" / "a" / "b", b"x")
    assert find_cached(at(BIRDS, "a")) is None


def test_a_snapshot_that_links_out_of_the_cache_is_not_deleted_through_its_links(hub, home, files, victim):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    pull(BIRDS)
    link = cache_root(BIRDS) / "snapshots" / first / "README.md"
    link.unlink()
    link.symlink_to(victim / "README.md")
    with pytest.raises(ModelError, match=rf"links to '{victim}/README.md', which is outside.*remove {NAME}"):
        remove(at(BIRDS, first))
    assert find_cached(at(BIRDS, first)) is not None
    remove(BIRDS)
    assert not cache_root(BIRDS).exists()


def test_a_cache_behind_a_link_is_emptied(hub, home, files, tmp_path, monkeypatch):
    home.mkdir()
    (tmp_path / "linked").symlink_to(home, target_is_directory=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "linked" / "hub"))
    first = hub.publish(NAME, files)
    pull(BIRDS)
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    pull(BIRDS)
    assert all(verify(BIRDS).values())
    assert remove(at(BIRDS, first)) == len(files["README.md"])
    assert remove(BIRDS) > len(files["model.safetensors"]) and not (home / "hub" / "models--someone--birds").exists()


def test_a_damaged_repository_is_deleted_as_a_whole(hub, home, files):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    write(cache_root(BIRDS) / "refs" / "gone", b"4" * 40)
    with pytest.raises(ModelError, match=f"is damaged; delete all of it: lookwhere models remove {NAME}"):
        remove(at(BIRDS, first))
    assert remove(BIRDS) >= sum(map(len, files.values()))
    assert not cache_root(BIRDS).exists()


def test_a_repository_without_snapshots_is_deleted(home):
    write(cache_root(BIRDS) / "blobs" / "x", b"12345")
    (cache_root(BIRDS) / "snapshots").mkdir()
    assert remove(BIRDS) == 5 and not cache_root(BIRDS).exists()


def test_a_cache_that_can_not_be_read_is_one_sentence(hub, home, files, lookwhere):
    hub.publish(NAME, files)
    pull(BIRDS)
    write(home / "hub" / "models--other--fish" / "refs" / "main", b"\xff")
    write(home / "hub" / "models--other--fish" / "snapshots" / "x" / "y", b"")
    with pytest.raises(ModelError, match=rf"The Hub's cache '{home}/hub' can't be read \(.*\); repair it"):
        cached_models()
    assert cached_repositories() == []
    ran = lookwhere("models", "list")
    assert ran.code == 3 and "lookwhere-tiny-in1k" in ran.out and ran.err.startswith("Error: The Hub's cache")
    assert ran.err.count("\n") == 1
    remove(BIRDS)
    assert not cache_root(BIRDS).exists()


def test_what_can_not_be_deleted_is_one_sentence(hub, home, files, converted, monkeypatch):
    hub.publish(NAME, files)
    pull(BIRDS)

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(OutputError, match=r"models--someone--birds' can't be deleted; check its permissions"):
        remove(BIRDS)
    with pytest.raises(OutputError, match=r"dinov2-base' can't be deleted completely: Permission denied"):
        remove(DINOV2)


def test_the_clients_warnings_are_silent_only_while_it_deletes(hub, home, files, capfd, monkeypatch):
    from huggingface_hub.utils import logging

    hub.publish(NAME, files)
    pull(BIRDS)
    before = logging.get_verbosity()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(OutputError):
        remove(BIRDS)
    assert logging.get_verbosity() == before and "denied" not in capfd.readouterr().err


def test_intact_folders(home, files, tmp_path):
    for name, content in files.items():
        write(tmp_path / "model" / name, content)
    assert is_intact(tmp_path / "model") and not is_intact(tmp_path)
    write(tmp_path / "model" / "config.json", b"{")
    assert not is_intact(tmp_path / "model")


def test_models_of_the_same_file_share_no_state(converted):
    """A revision of an alias has a place of its own, which the name of its repository does not reach."""
    assert cache_root(DINOV2) == converted and converted.parent.name == "lookwhere"
    assert cache_root(HubName("a/b", "a/b")).name == "models--a--b"
    assert cache.SNAPSHOTS in str(find_cached(DINOV2).folder)
    assert json.loads((find_cached(DINOV2).folder / "config.json").read_text())

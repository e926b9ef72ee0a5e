"""Pulling from a Hub on loopback with its real client: resumed, refused, and used without a network."""

import json
import os
import socket
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from lookwhere_cli.checkpoints.cache import BLOBS, cache_root, cached_repositories, find_cached
from lookwhere_cli.checkpoints.hub import pull
from lookwhere_cli.checkpoints.names import HubName
from lookwhere_cli.checkpoints.resolve import find, load_model, resolve
from lookwhere_cli.checkpoints.verify import verify
from lookwhere_cli.errors import ModelError, OutputError

NAME = "someone/birds"
BIRDS = HubName(NAME, NAME)


def forbid_sockets(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def has_no_weights(home):
    return find_cached(BIRDS) is None and not list(home.rglob("*.safetensors"))


def test_the_first_use_fetches_a_model_and_the_second_opens_no_socket(hub, home, files, monkeypatch, model_folder):
    commit = hub.publish(NAME, files)
    first = load_model(NAME, "cpu")
    forbid_sockets(monkeypatch)
    second = load_model(NAME, "cpu")
    assert first.revision == second.revision == commit and second.name == NAME
    assert second.config == load_model(str(model_folder), "cpu").config
    assert cached_repositories() == [NAME]


def test_pull_follows_a_branch_that_has_moved_and_other_uses_do_not(hub, home, files):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    second = hub.publish(NAME, files | {"README.md": b"# changed\n"})
    assert find(NAME).commit == first
    downloads = len(hub.ranges())
    assert pull(BIRDS).commit == second and find(NAME).commit == second
    assert len(hub.ranges()) == downloads  # the weights have not changed
    assert find(f"{NAME}@{first}").commit == first


def test_branches_tags_and_commits_can_be_named(hub, home, files):
    pinned = hub.publish(NAME, files, "v1.0")
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    assert find(f"{NAME}@v1.0").commit == find(f"{NAME}@{pinned}").commit == pinned
    assert cached_repositories() == [f"{NAME}@{pinned}"]
    assert [ref.name for ref in (cache_root(BIRDS) / "refs").iterdir()] == ["v1.0"]  # a commit needs no ref
    with pytest.raises(ModelError, match="has no revision 'v2'"):
        find(f"{NAME}@v2")


def test_files_of_a_snapshot_are_links_to_blobs(hub, home, files):
    hub.publish(NAME, files)
    folder = pull(BIRDS).folder
    for name in files:
        assert (folder / name).is_symlink() and not (folder / name).readlink().is_absolute()
        assert (folder / name).resolve().parent == cache_root(BIRDS) / BLOBS


def test_without_links_a_snapshot_holds_copies_which_the_hub_verifies(hub, home, files, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    hub.publish(NAME, files)
    folder = pull(BIRDS).folder
    assert not any((folder / name).is_symlink() for name in files)
    assert verify(BIRDS) == dict.fromkeys(sorted(files), True)
    (folder / "README.md").write_text("# edited\n")
    assert verify(BIRDS) == {"README.md": False, "config.json": True, "model.safetensors": True}


@pytest.mark.parametrize("cuts", [1, 4])
def test_a_download_that_breaks_off_continues_from_there(hub, home, files, cuts):
    hub.publish(NAME, files)
    hub.faults.cut_after, hub.faults.cuts = 5000, cuts
    pull(BIRDS)
    assert hub.ranges() == [None, *(f"bytes={5000 * (cut + 1)}-" for cut in range(cuts))]
    assert all(verify(BIRDS).values())


def test_the_next_pull_continues_a_download_that_failed(hub, home, files):
    hub.publish(NAME, files)
    hub.faults.cut_after, hub.faults.cuts = 5000, 1
    send_large = hub.server.RequestHandlerClass.send_large
    hub.server.RequestHandlerClass.send_large = lambda self, digest: (
        send_large(self, digest) if len(hub.ranges()) == 1 else setattr(self, "close_connection", True)
    )
    with pytest.raises(ModelError, match=r"after 5000 of \d+ bytes .* Pull the model again"):
        pull(BIRDS)
    assert has_no_weights(home)
    hub.server.RequestHandlerClass.send_large = send_large
    hub.requests.clear()
    pull(BIRDS)
    assert hub.ranges() == ["bytes=5000-"] and all(verify(BIRDS).values())


def test_a_byte_that_changes_in_transit_is_noticed(hub, home, files):
    hub.publish(NAME, files)
    hub.faults.flip = True
    with pytest.raises(ModelError, match="arrived damaged"):
        find(NAME)
    assert has_no_weights(home)
    hub.faults.flip = False
    assert find(NAME) == pull(BIRDS)
    assert all(verify(BIRDS).values())


def damage(location, change):
    blob = (location.folder / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    change(content)
    blob.write_bytes(content)


def test_verify_finds_a_byte_that_changed_in_the_cache_and_pull_repairs_it(hub, home, files, lookwhere):
    hub.publish(NAME, files)
    damage(pull(BIRDS), lambda content: content.__setitem__(-1, content[-1] ^ 1))
    assert verify(BIRDS) == {"README.md": True, "config.json": True, "model.safetensors": False}
    ran = lookwhere("models", "verify", NAME)
    assert ran.code == 3 and f"lookwhere models pull {NAME}" in ran.err and "CHANGED" in ran.out
    pull(BIRDS)
    assert all(verify(BIRDS).values())


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.__delitem__(slice(-10, None)),  # too short
        lambda content: content.extend(b"more"),  # too long
        lambda content: content.__setitem__(0, content[0] ^ 8),  # another length of the header
        lambda content: content.clear(),
    ],
)
def test_damaged_weights_in_the_cache_are_fetched_again(hub, home, files, change, monkeypatch):
    hub.publish(NAME, files)
    damage(pull(BIRDS), change)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is damaged in the cache, and HF_HUB_OFFLINE"):
        load_model(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    load_model(NAME)
    assert all(verify(BIRDS).values())


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_config_in_the_cache_is_fetched_again(hub, home, files, content):
    hub.publish(NAME, files)
    (pull(BIRDS).folder / "config.json").resolve().write_bytes(content)
    load_model(NAME)
    assert all(verify(BIRDS).values())


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, None, r"no model 'someone/birds' without a valid token.*hf auth login.*HF_TOKEN"),
        (401, "GatedRepo", "is gated: ask for access.*hf auth login"),
        (403, "GatedRepo", "is gated"),
        (403, None, "not allowed.*hf auth login"),
        (404, "RepoNotFound", "There is no model 'someone/birds' on the Hub"),
        (404, None, "There is no model 'someone/birds' on the Hub"),
        (429, None, r"refuses more requests from here for now \(429\)"),
        (500, None, r"failed with status 500"),
    ],
)
def test_each_refusal_is_one_sentence(hub, home, lookwhere, status, code, message, photos):
    hub.faults.status, hub.faults.code = status, code
    ran = lookwhere("classify", photos / "0.png", "--model", NAME)
    assert ran.code == 3 and ran.err.count("\n") == 1
    with pytest.raises(ModelError, match=message):
        pull(BIRDS)


def test_a_repository_that_does_not_exist_has_similar_names_offered(hub, home, files):
    hub.publish(NAME, files)
    pull(BIRDS)
    with pytest.raises(ModelError, match=r"There is no model 'someone/bird' .* Did you mean 'someone/birds'\?"):
        find("someone/bird")


def test_the_token_is_sent_to_the_hub(hub, home, files, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.publish(NAME, files)
    pull(BIRDS)
    assert "Bearer hf_secret" in [request.token for request in hub.requests]


@pytest.mark.parametrize("sha", ["../../victim", "/etc", "main", "A" * 40, "a" * 39, "a" * 40 + "\n", "", None, 7])
def test_a_commit_from_the_server_that_could_not_be_a_folder_is_refused(hub, home, files, sha, tmp_path):
    hub.publish(NAME, files)
    hub.faults.sha = {} if sha is None else sha
    with pytest.raises(ModelError, match="not with its commit"):
        pull(BIRDS)
    assert not list(tmp_path.rglob("config.json"))


def test_a_server_that_answers_with_another_commit_than_the_pinned_one_is_refused(hub, home, files):
    pinned = hub.publish(NAME, files)
    hub.faults.sha = hub.publish(NAME, files | {"README.md": b"# later\n"})
    with pytest.raises(ModelError, match=f"'{NAME}@{pinned}' with '{hub.faults.sha}', not with its commit"):
        find(f"{NAME}@{pinned}")


@pytest.mark.parametrize("oid", ["../../../victim", "/etc/passwd", "x", "a" * 41, "A" * 64, "", 7])
def test_a_hash_from_the_server_that_could_not_be_a_file_is_refused(hub, home, files, oid, tmp_path):
    hub.publish(NAME, files)
    hub.faults.oid = oid
    with pytest.raises(ModelError, match="instead of a hash"):
        pull(BIRDS)
    assert not list(tmp_path.rglob("*.partial")) and not hub.downloads("/resolve/")


def test_a_repository_without_a_model(hub, home):
    hub.publish(NAME, {"pytorch_model.bin": b"weights", "README.md": b"# hello"})
    with pytest.raises(ModelError, match=r"has no config.json, .* it has: README.md, pytorch_model.bin"):
        find(NAME)


def test_a_config_of_another_library(hub, home, files):
    hub.publish(NAME, files | {"config.json": json.dumps({"hidden_size": 3}).encode()})
    with pytest.raises(ModelError, match="unknown key 'hidden_size'"):
        find(NAME)


def test_weights_that_were_uploaded_damaged(hub, home, files):
    hub.publish(NAME, files | {"model.safetensors": files["model.safetensors"][:-3]})
    with pytest.raises(ModelError, match=r"uploaded damaged: the header of its model.safetensors"):
        find(NAME)
    assert not (home / "hub" / "models--someone--birds" / "refs" / "main").exists()


def test_a_full_disk_is_one_sentence_and_leaves_nothing(hub, home, files, monkeypatch):
    hub.publish(NAME, files)
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device, not a path
        opened = Path.open
        monkeypatch.setattr(
            Path,
            "open",
            lambda path, *given, **named: (
                os.fdopen(os.dup(full.fileno()), "wb")
                if path.suffix == ".partial" and given != ("rb",)
                else opened(path, *given, **named)
            ),
        )
        with pytest.raises(OutputError, match="No space left on device; make room"):
            pull(BIRDS)
    monkeypatch.undo()
    assert not list(home.rglob("*.partial"))


def test_neither_network_nor_cache(hub, home, files):
    hub.close()
    with pytest.raises(
        ModelError, match=r"neither a folder here nor in the cache.*can't be reached.*check the network"
    ):
        find(NAME)


def test_a_pull_without_a_network_says_that_the_model_is_cached(hub, home, files):
    hub.publish(NAME, files)
    pull(BIRDS)
    hub.close()
    close_session()  # the client would go on with its open connection
    with pytest.raises(ModelError, match=r"is in the cache, but the Hub can't be reached"):
        pull(BIRDS)


def test_names_resolve_in_the_documented_order(hub, home, files, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("imagenet-base") == HubName(
        "imagenet-base", "antofuller/lookwhere", "main", "is_LW=True_K=128_LR=1e-05_E=30.pt"
    )
    assert resolve("dinov2-base@v2").revision == "v2"
    assert resolve(NAME) == BIRDS
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "birds").symlink_to(model_folder)
    assert resolve(NAME).folder.samefile(model_folder)
    for name in ("a/b/c", "imagenet-bas", "someone/birds@../..", "someone/birds@", "/nowhere/birds"):
        with pytest.raises(ModelError, match="There is no model"):
            find(name)
    with pytest.raises(ModelError, match="Did you mean 'imagenet-base'"):
        find("imagenet-bse")
    assert not hub.requests


@pytest.mark.slow
def test_a_model_pulled_by_one_process_is_used_by_another_without_a_network(hub, files, start_command, photos):
    commit = hub.publish(NAME, files)
    pulled = start_command("models", "pull", NAME)
    out, err = pulled.communicate(timeout=60)
    assert pulled.returncode == 0 and out == f"{NAME}\t{commit}\n", err
    hub.close()
    for variables in ({"HF_HUB_OFFLINE": "1"}, {}):
        classified = start_command("classify", photos / "0.png", "--model", NAME, "--format", "json", **variables)
        out, err = classified.communicate(timeout=60)
        assert classified.returncode == 0, err
        assert json.loads(out)[0]["revision"] == commit


def test_offline_mode_says_what_to_do(hub, start_command, photos):
    process = start_command("classify", photos / "0.png", "--model", NAME, HF_HUB_OFFLINE="1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err == (
        f"Error: '{NAME}' is not in the cache, and HF_HUB_OFFLINE forbids fetching it; unset that variable and run: "
        f"lookwhere models pull {NAME}\n"
    )


@pytest.mark.slow
def test_two_processes_that_pull_at_once_download_once(hub, files, start_command):
    commit = hub.publish(NAME, files)
    both = [start_command("models", "pull", NAME) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and commit in out, err
    assert len(hub.ranges()) == 1


def test_the_commands_of_models(hub, home, files, lookwhere, model_folder):
    commit = hub.publish(NAME, files)
    assert lookwhere("models", "pull", NAME).out == f"{NAME}\t{commit}\n"
    listed = lookwhere("models", "list").out
    assert any(line.startswith(NAME) and commit[:8] in line and "classify" in line for line in listed.splitlines())
    assert "imagenet-base" in listed and "on the Hub" in listed
    shown = lookwhere("models", "show", NAME).out
    assert commit in shown and "cat, dog, bird" in shown
    assert lookwhere("models", "verify", NAME).code == 0
    assert lookwhere("models", "verify", model_folder).code == 0
    assert lookwhere("models", "show", "franca-base").code == 0
    assert f"Removed {NAME}; freed " in lookwhere("models", "remove", NAME).err
    for verb in ("pull", "remove"):
        ran = lookwhere("models", verb, model_folder)
        assert ran.code == 2 and "is not from the Hub" in ran.err
    assert lookwhere("models", "verify", NAME).code == 3
    ran = lookwhere("models", "show", NAME)
    assert ran.code == 3 and "not in the cache" in ran.err

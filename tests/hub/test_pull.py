"""Models from a Hub on loopback, by its real client: pulled, resumed, refused, used without a network."""

import json
import os
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

from lookwhere_cli.checkpoints.cache import cached_repositories, find_cached, remove
from lookwhere_cli.checkpoints.hub import pull
from lookwhere_cli.checkpoints.names import HubName
from lookwhere_cli.checkpoints.resolve import find, load_model, resolve
from lookwhere_cli.checkpoints.verify import verify
from lookwhere_cli.errors import ModelError, OutputError

NAME = "someone/birds"
BIRDS = HubName(NAME, NAME)


def no_sockets(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def nothing_half_written(here):
    return find_cached(BIRDS) is None and not list(here.rglob("*.safetensors"))


def test_the_first_use_fetches_and_the_second_touches_no_socket(hub, here, files, monkeypatch, model_folder):
    commit = hub.publish(NAME, files)
    first = load_model(NAME, "cpu")
    no_sockets(monkeypatch)
    second = load_model(NAME, "cpu")
    assert first.revision == second.revision == commit and second.name == NAME
    assert second.config == load_model(str(model_folder), "cpu").config
    assert cached_repositories() == [NAME]


def test_a_moved_branch_is_followed_by_pull_and_not_before(hub, here, files):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    second = hub.publish(NAME, files | {"README.md": b"# changed\n"})
    assert find(NAME).commit == first
    bodies = len(hub.sent("/lfs/"))
    assert pull(BIRDS).commit == second and find(NAME).commit == second
    assert len(hub.sent("/lfs/")) == bodies  # the weights are the same, and here already
    assert find(f"{NAME}@{first}").commit == first


def test_branches_tags_and_commits_can_be_named(hub, here, files):
    pinned = hub.publish(NAME, files, "v1.0")
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    assert find(f"{NAME}@v1.0").commit == find(f"{NAME}@{pinned}").commit == pinned
    assert sorted(cached_repositories()) == [f"{NAME}@{pinned}"]
    with pytest.raises(ModelError, match="has no revision 'v2'"):
        find(f"{NAME}@v2")


@pytest.mark.parametrize("cuts", [1, 4])
def test_a_cut_file_goes_on_where_it_ended(hub, here, files, cuts):
    hub.publish(NAME, files)
    hub.mishaps.cut_after, hub.mishaps.cuts = 5000, cuts
    pull(BIRDS)
    ranges = hub.sent("/lfs/")
    assert ranges == [None, *(f"bytes={5000 * (cut + 1)}-" for cut in range(cuts))]
    assert all(verify(BIRDS).values())


def test_a_file_that_breaks_off_for_good_is_taken_up_by_the_next_pull(hub, here, files):
    hub.publish(NAME, files)
    hub.mishaps.cut_after, hub.mishaps.cuts = 5000, 1
    whole = hub.server.RequestHandlerClass.send_large
    hub.server.RequestHandlerClass.send_large = lambda self, digest: (
        whole(self, digest) if len(hub.sent("/lfs/")) == 1 else setattr(self, "close_connection", True)
    )
    with pytest.raises(ModelError, match=r"5000 of \d+ bytes .* Pull the model again"):
        pull(BIRDS)
    assert nothing_half_written(here)
    hub.server.RequestHandlerClass.send_large = whole
    hub.requests.clear()
    pull(BIRDS)
    assert hub.sent("/lfs/") == ["bytes=5000-"] and all(verify(BIRDS).values())


def test_a_server_without_ranges_is_heard_from_the_beginning(hub, here, files):
    hub.publish(NAME, files)
    hub.mishaps.cut_after, hub.mishaps.cuts, hub.mishaps.no_ranges = 5000, 1, True
    pull(BIRDS)
    assert all(verify(BIRDS).values())


def test_a_length_that_lies_costs_more_requests_and_no_bytes(hub, here, files):
    hub.publish(NAME, files)
    hub.mishaps.lying_length = True
    pull(BIRDS)
    assert len(hub.sent("/lfs/")) > 2 and all(verify(BIRDS).values())


def test_bytes_that_changed_on_the_way_are_refused_and_fetched_anew(hub, here, files):
    hub.publish(NAME, files)
    hub.mishaps.flip = True
    with pytest.raises(ModelError, match="arrived damaged"):
        find(NAME)
    assert nothing_half_written(here)
    hub.mishaps.flip = False
    assert find(NAME) == pull(BIRDS)
    assert all(verify(BIRDS).values())


def damage(place, change):
    blob = (place.folder / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    change(content)
    blob.write_bytes(content)


def test_a_byte_that_changes_in_the_cache_is_seen_by_verify_and_mended_by_pull(hub, here, files, lookwhere):
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
def test_a_damaged_file_in_the_cache_is_not_used(hub, here, files, change, monkeypatch):
    hub.publish(NAME, files)
    damage(pull(BIRDS), change)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is damaged in the cache, and HF_HUB_OFFLINE"):
        load_model(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    load_model(NAME)
    assert all(verify(BIRDS).values())


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
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
def test_each_refusal_is_a_sentence(hub, here, lookwhere, status, code, sentence, photos):
    hub.mishaps.status, hub.mishaps.code = status, code
    ran = lookwhere("classify", photos / "0.png", "--model", NAME)
    assert ran.code == 3 and ran.err.count("\n") == 1
    with pytest.raises(ModelError, match=sentence):
        pull(BIRDS)


def test_a_token_is_sent_to_the_hub_and_its_refusal_told(hub, here, files, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.publish(NAME, files)
    pull(BIRDS)
    assert "Bearer hf_secret" in hub.tokens


def test_a_repository_that_holds_something_else(hub, here):
    hub.publish(NAME, {"pytorch_model.bin": b"weights", "README.md": b"# hello"})
    with pytest.raises(ModelError, match=r"has no config.json, .* it has: README.md, pytorch_model.bin"):
        find(NAME)


def test_a_config_of_another_library(hub, here, files):
    hub.publish(NAME, files | {"config.json": json.dumps({"hidden_size": 3}).encode()})
    with pytest.raises(ModelError, match="unknown key 'hidden_size'"):
        find(NAME)


def test_weights_that_were_broken_when_they_were_uploaded(hub, here, files):
    hub.publish(NAME, files | {"model.safetensors": files["model.safetensors"][:-3]})
    with pytest.raises(ModelError, match=r"uploaded damaged: the header of its model.safetensors"):
        find(NAME)
    assert not (here / "hub" / "models--someone--birds" / "refs" / "main").exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(hub, here, files, monkeypatch):
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
    assert not list(here.rglob("*.partial"))


def test_no_network_and_no_cache(hub, here):
    hub.close()
    with pytest.raises(ModelError, match=r"can't be reached.*check the network"):
        find(NAME)


def test_names_resolve_in_the_documented_order(hub, here, files, model_folder, tmp_path, monkeypatch):
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


def test_remove_frees_all_of_it_or_one_revision(hub, here, files):
    first = hub.publish(NAME, files)
    pull(BIRDS)
    hub.publish(NAME, files | {"README.md": b"# later\n"})
    pull(BIRDS)
    assert remove(HubName(NAME, NAME, first)) == len(files["README.md"])
    assert all(verify(BIRDS).values())
    assert remove(BIRDS) > len(files["model.safetensors"]) and find_cached(BIRDS) is None
    with pytest.raises(ModelError, match="Nothing is cached"):
        remove(BIRDS)


def test_pulled_by_one_process_used_by_another_without_a_network(hub, files, command, photos):
    commit = hub.publish(NAME, files)
    pulled = command("models", "pull", NAME)
    out, err = pulled.communicate(timeout=60)
    assert pulled.returncode == 0 and out == f"{NAME}\t{commit}\n", err
    hub.close()
    for variables in ({"HF_HUB_OFFLINE": "1"}, {}):
        classified = command("classify", photos / "0.png", "--model", NAME, "--format", "json", **variables)
        out, err = classified.communicate(timeout=60)
        assert classified.returncode == 0, err
        assert json.loads(out)[0]["revision"] == commit


def test_offline_says_what_to_do(hub, command, photos):
    process = command("classify", photos / "0.png", "--model", NAME, HF_HUB_OFFLINE="1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err == (
        f"Error: '{NAME}' is not in the cache, and HF_HUB_OFFLINE forbids fetching it; unset that variable and run: "
        f"lookwhere models pull {NAME}\n"
    )


def test_two_processes_that_pull_at_once_fetch_once(hub, files, command):
    commit = hub.publish(NAME, files)
    both = [command("models", "pull", NAME) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and commit in out, err
    assert len(hub.sent("/lfs/")) == 1


def test_the_commands_of_models(hub, here, files, lookwhere, model_folder):
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
    assert "; freed " in lookwhere("models", "remove", NAME).err
    for verb in ("pull", "remove"):
        ran = lookwhere("models", verb, model_folder)
        assert ran.code == 2 and "is not from the Hub" in ran.err
    assert lookwhere("models", "verify", NAME).code == 3

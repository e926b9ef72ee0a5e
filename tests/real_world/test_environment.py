"""Settings of the network, closed streams, terminals of other encodings: a sentence that names what is wrong.

"This should not happen" is for bugs: every command runs under every one of these environments (slow) without it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookwhere_cli.checkpoints import environment
from lookwhere_cli.cli.streams import ClosedStream, prepare_streams
from lookwhere_cli.errors import ModelError
from lookwhere_cli.output.rows import Label, Row
from lookwhere_cli.output.writers import TextWriter
from lookwhere_cli.show.console import make_console
from tests.data.labelled import coloured
from tests.training.tiny import teacher_file

NOWHERE = "http://127.0.0.1:9"
FILE = __file__
NO_FOLDER = f"{FILE}/nowhere"  # below a file, so that nobody, not even root, can make it meanwhile
WRONG = {
    "SOCKS proxy": ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, "ALL_PROXY is 'socks5://127.0.0.1:1080', and SOCKS pro"),
    "small letters": ({"https_proxy": "socks5h://h:1"}, "https_proxy is 'socks5h://h:1'"),
    "malformed proxy": ({"HTTPS_PROXY": "::not a proxy"}, "HTTPS_PROXY is '::not a proxy', which is no address"),
    "port": ({"HTTP_PROXY": "http://host:abc"}, "HTTP_PROXY is 'http://host:abc', which is no address"),
    "half a bracket": ({"HTTPS_PROXY": "http://[::1"}, "HTTPS_PROXY is 'http://[::1', which is no address"),
    "no host": ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY is 'http://', which is no address of a host"),
    "scheme": ({"ALL_PROXY": "ftp://host:1"}, "ALL_PROXY is 'ftp://host:1', which does not begin with http://"),
    "password": ({"ALL_PROXY": "socks5://me:secret@host:1"}, r"ALL_PROXY is 'socks5://***@host:1'"),
    "certificates": ({"SSL_CERT_FILE": NO_FOLDER}, f"SSL_CERT_FILE is {NO_FOLDER!r}, which holds no cert"),
    "no certificates": ({"SSL_CERT_FILE": FILE}, "which holds no certificates"),
    "folder of them": ({"SSL_CERT_DIR": NO_FOLDER}, f"SSL_CERT_DIR is {NO_FOLDER!r}, which holds no certificates"),
    "endpoint": ({"HF_ENDPOINT": "not-a-url"}, "HF_ENDPOINT is 'not-a-url', which does not begin with http://"),
    "cache": ({"HF_HOME": FILE}, f"HF_HOME is {FILE!r}, which is a file, not a folder"),
    "below a file": ({"HF_HUB_CACHE": f"{FILE}/hub"}, "HF_HUB_CACHE is .*, which is below the file"),
    "seconds": ({"HF_HUB_DOWNLOAD_TIMEOUT": "abc"}, "HF_HUB_DOWNLOAD_TIMEOUT is 'abc', not a whole number"),
    "token": ({"HF_TOKEN": "hf_日"}, "HF_TOKEN holds characters that no token has"),
}
VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_ENDPOINT", "HF_HOME"),
    *("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT", "XDG_CACHE_HOME", "HF_ASSETS_CACHE"),
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named_with_its_value(monkeypatch, case):
    settings, words = WRONG[case]
    monkeypatch.setattr(environment, "_has_socks", lambda: False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelError) as raised:
        environment.check_network()
    sentence = str(raised.value)
    assert words in sentence or __import__("re").search(words, sentence), sentence
    assert "secret" not in sentence and "hf_日" not in sentence


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": "localhost,[::1],fe80::/10"},
        {"ALL_PROXY": "socks5://host:1080"},
        {"HF_ENDPOINT": "https://hub.example/sub", "HF_TOKEN": "hf_abc\n", "HF_HUB_ETAG_TIMEOUT": " 10 "},
        {"HF_HOME": f"{Path(FILE).parent}/cache", "HTTP_PROXY": ""},
        {"HF_HUB_OFFLINE": "1", "ALL_PROXY": "::"},
    ],
)
def test_settings_that_work_pass(monkeypatch, settings):
    monkeypatch.setattr(environment, "_has_socks", lambda: True)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    environment.check_network()


def test_a_network_that_fails_names_what_is_set(lookwhere, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    ran = lookwhere("models", "pull", "someone/birds")
    assert ran.code == 3 and "secret" not in ran.err
    assert f"(set: HTTPS_PROXY=http://***@127.0.0.1:9, HF_ENDPOINT={NOWHERE})" in ran.err


def test_bundled_models_need_no_network(lookwhere, photos, monkeypatch):
    for settings, _ in WRONG.values():
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
    assert lookwhere("classify", photos / "0.png").code == 0


@pytest.mark.parametrize(("stream", "words"), [("stdin", "Standard input is closed"), ("stdout", "it is closed")])
def test_closed_streams_are_told(lookwhere, photos, monkeypatch, stream, words):
    monkeypatch.setattr(sys, stream, None)
    argument = "-" if stream == "stdin" else photos / "0.png"
    for command in ("classify", "explain"):
        ran = lookwhere(command, argument)
        assert ran.code == (2 if stream == "stdin" else 1), ran
        assert words in ran.err and "should not happen" not in ran.err
        monkeypatch.setattr(sys, stream, None)


def test_results_in_a_file_need_no_standard_output(lookwhere, photos, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", None)
    assert lookwhere("classify", photos, "--out", tmp_path / "rows.csv").code == 0
    monkeypatch.setattr(sys, "stdout", None)
    assert lookwhere("models", "list").code == 1
    monkeypatch.setattr(sys, "stderr", None)
    assert lookwhere("classify", photos / "0.png", photos / "none.png").code == 2


def test_a_closed_stream_fails_at_the_first_write():
    stream = io.TextIOWrapper(ClosedStream(), write_through=True)
    with pytest.raises(OSError, match="it is closed"):
        stream.write("x")
    with pytest.raises(OSError, match="it is closed"):
        stream.buffer.write(b"x")


@pytest.mark.parametrize(
    ("encoding", "expected"), [("ascii", r"caf\xe9\u65e5"), ("latin-1", r"café\u65e5"), ("utf-8", "café日")]
)
def test_letters_that_a_terminal_lacks_are_escaped(encoding, expected, monkeypatch):
    raw = io.BytesIO()
    TextWriter(raw, encoding).write(Row("café日", labels=(Label("é日", 0, 0.5),)))
    assert raw.getvalue().decode(encoding).startswith(expected)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    prepare_streams()
    print("café日")
    make_console().print("café日 ▀▄█")
    sys.stdout.flush()
    lines = written.getvalue().decode(encoding).splitlines()
    assert lines == [expected, f"{expected} {'▀▄█' if encoding == 'utf-8' else '###'}"]


def test_a_folder_that_is_gone_is_told(lookwhere, photos, tmp_path, monkeypatch):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    ran = lookwhere("classify", photos / "0.png")
    assert ran.code == 2 and "The current folder does not exist any more" in ran.err


def test_bugs_are_called_so(lookwhere, photos, monkeypatch):
    from lookwhere_cli.predictor import Predictor

    def broken(*_):
        raise TypeError("a bug")

    monkeypatch.setattr(Predictor, "answers", broken)
    ran = lookwhere("classify", photos / "0.png")
    assert ran.code == 1 and ran.err.startswith("Error: This should not happen (TypeError: a bug)")


ENVIRONMENTS = {
    **{case: settings for case, (settings, _) in WRONG.items()},
    "all of them": {name: value for settings, _ in WRONG.values() for name, value in settings.items()},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home": {"HOME": NO_FOLDER},
    "odd terminal": {"TERM": "", "COLUMNS": "1", "LINES": "0"},
    "closed stdin": {"CLOSE": "0"},
    "closed stdout": {"CLOSE": "1"},
    "closed stderr": {"CLOSE": "2"},
    "all closed": {"CLOSE": "012"},
}
LOADED = "vit_tiny_patch16_224"
RUNNER = """
import json, os, sys, time
begun = time.time()
for number in os.environ.get("CLOSE", ""):
    os.close(int(number))
    setattr(sys, ("stdin", "stdout", "stderr")[int(number)], None)
from lookwhere_cli.cli.app import main
results = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["lookwhere", *arguments]
    os.environ.get("SHOW") and print(arguments[:2], time.time() - begun, file=open(os.environ["SHOW"], "a"), flush=True)
    try:
        main()
    except SystemExit as ended:
        results.append(ended.code or 0)
with open(os.environ["RESULTS"], "w") as file:
    json.dump(results, file)
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory, model_folder, segmenting_folder, cascade_folder, photos):
    """Every command on something small; those for the Hub have none."""
    folder = tmp_path_factory.mktemp("commands")
    labelled, teacher = coloured(folder / "made"), teacher_file(folder)
    for example in labelled.examples:
        place = folder / "data" / f"{labelled.classes[example.classes[0]]} é日"
        place.mkdir(parents=True, exist_ok=True)
        Path(example.path).rename(place / Path(example.path).name)
    data, out = folder / "data", folder / "OUT"
    fast = ("--epochs", 1, "--batch-size", 6, "--device", "cpu", "--dtype", "float32", "--workers", 0)
    tiny = (
        "--device",
        "cpu",
        "--dtype",
        "float32",
        "--size",
        32,
        "--thumbnail-size",
        16,
        "--selector-depth",
        1,
        "--patches",
        "4-12",
        "--batch-size",
        2,
    )
    return [
        ("--version",),
        ("--help",),
        ("classify", photos, "--model", model_folder),
        ("classify", "-", "--model", model_folder),
        ("classify", data, "--model", model_folder, "--format", "jsonl"),
        ("classify", photos / "0.png", "--model", "someone/birds"),
        ("segment", photos, "--model", segmenting_folder, "--out", out / "masks"),
        ("explain", photos / "0.png", "--model", model_folder, "--html", f"{out}.html"),
        ("features", photos, "--model", model_folder, "--out", f"{out}.safetensors"),
        ("train", data, "--model", model_folder, "--out", out / "trained", "-k", "4-12", *fast),
        ("pretrain", photos, "--teacher", teacher, "--out", out / "pre", "--steps", 1, "--workers", 0, *tiny),
        ("pretrain", photos, "--teacher", LOADED, "--out", out / "other", "--steps", 1),
        ("evaluate", data, "--model", out / "trained", "--no-time"),
        ("calibrate", photos, "--model", cascade_folder, "--budget", "60%", "--out", out / "calibrated"),
        ("compare", data, "--methods", "full", "--model", model_folder, "--no-time", "--out", out / "compared", *fast),
        ("bench", "--help"),
        ("models", "list"),
        ("models", "show", model_folder),
        ("models", "verify", model_folder),
        ("models", "pull", "someone/birds"),
        ("models", "push", model_folder, "someone/birds"),
        ("models", "remove", "someone/birds"),
        ("models", "convert", teacher, out / "converted"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_command_is_surprised(commands, name, tmp_path):
    if name in WRONG:  # settings of the network: the commands that may use it
        commands = [one for one in commands if one[0] == "models" or "birds" in str(one) or LOADED in one]
    arguments = [[str(one).replace("OUT", f"OUT{abs(hash(name))}") for one in command] for command in commands]
    for command in arguments:
        if "--html" in command:
            Path(command[-1]).parent.mkdir(parents=True, exist_ok=True)
    settings = {"HF_ENDPOINT": NOWHERE, "HF_HOME": str(tmp_path / "hub"), "RESULTS": str(tmp_path / "results.json")}
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(arguments)],
        env={**os.environ, **settings, **ENVIRONMENTS[name]},
        stdin=subprocess.DEVNULL,
        timeout=100,
        capture_output=True,
        check=False,
    )
    said = ran.stderr.decode("utf-8", "replace") + ran.stdout.decode("utf-8", "replace")
    assert "should not happen" not in said and "Traceback" not in said and "Exception ignored" not in said, said
    codes = json.loads((tmp_path / "results.json").read_text())
    assert ran.returncode == 0 and len(codes) == len(commands) and set(codes) <= {0, 1, 2, 3}
    by_command = dict(zip([" ".join(map(str, command[:2])) for command in commands], codes, strict=True))
    assert by_command["models pull"] == by_command["models push"] == 3
    if name not in WRONG and "1" not in ENVIRONMENTS[name].get("CLOSE", ""):
        assert by_command[f"classify {commands[2][1]}"] == 0, said
        starts = name != "all of them"  # training imports the Hub's client, which some settings keep from starting
        assert by_command[f"train {commands[9][1]}"] == (0 if starts else 3), said

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES
from lookwhere_cli.checkpoints.names import HubName, is_commit, is_digest, parse_alias, parse_repository

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "x/..",
    "x/../y",
    "/x",
    "x/",
    "x//y",
    "x y",
    "x\n",
    "~x",
    "é",
    "x\0",
    "x\\..",
    ".x",
    "x/.y",
]


def test_an_alias_may_be_pinned():
    assert parse_alias("dinov2-base") == HubName("dinov2-base", "antofuller/lookwhere", "main", "lookwhere_dinov2.pt")
    assert parse_alias("dinov2-base@v2").revision == "v2"
    assert {parse_alias(alias).file for alias in PUBLISHED_FILES} == set(PUBLISHED_FILES.values())
    assert parse_alias("dinov2-bass") is None and parse_alias("dinov2-base@") is None


def test_a_repository_has_an_owner_and_may_be_pinned():
    assert parse_repository("someone/birds") == HubName("someone/birds", "someone/birds", "main", None)
    assert parse_repository("someone/birds@refs/pr/1") == HubName("someone/birds", "someone/birds", "refs/pr/1")
    assert parse_repository("some.one-1_/b.i-r_ds2").repository == "some.one-1_/b.i-r_ds2"
    for name in ("birds", "a/b/c", "/birds", "someone/", "someone/birds@", "someone/birds@a@b"):
        assert parse_repository(name) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_what_could_lead_out_of_the_cache_is_not_a_name(text):
    with pytest.raises(ValueError, match="is not a repository or revision on the Hub"):
        HubName("x", text)
    with pytest.raises(ValueError, match="is not a repository or revision on the Hub"):
        HubName("x", "a/b", text)
    assert parse_repository(f"a/b@{text}") is None and parse_alias(f"dinov2-base@{text}") is None


def test_a_name_that_no_file_system_takes_is_not_a_name():
    assert parse_repository("a/" + "b" * 198) is not None and parse_repository("a/" + "b" * 199) is None
    assert parse_repository("a/b@" + "v" * 200) is not None and parse_repository("a/b@" + "v" * 201) is None


@given(st.text(max_size=30) | st.from_regex(r"[\w.-]{1,5}/[\w.-]{1,5}(@[\w./-]{1,8})?", fullmatch=True))
def test_a_parsed_name_can_be_written_again_and_stays_below_its_folder(text):
    model = parse_repository(text)
    if model is not None:
        assert parse_repository(str(model)) == model
        for part in (model.repository, model.revision):
            path = PurePosixPath(part)
            assert not path.is_absolute() and not {"..", "."} & set(path.parts) and str(path) == part


def test_main_is_not_written():
    assert str(HubName("a/b", "a/b")) == "a/b" and str(HubName("a/b", "a/b", "v1")) == "a/b@v1"
    assert str(HubName("dinov2-base", "x/y", "v1", "z.pt")) == "dinov2-base@v1"


@pytest.mark.parametrize(
    ("value", "commit", "digest"),
    [
        ("0123456789abcdef" * 2 + "01234567", True, True),
        ("0123456789abcdef" * 4, False, True),
        ("a" * 39, False, False),
        ("a" * 41, False, False),
        ("a" * 63, False, False),
        ("a" * 65, False, False),
        ("A" * 40, False, False),
        ("g" * 40, False, False),
        ("a" * 40 + "\n", False, False),
        ("../" + "a" * 37, False, False),
        ("", False, False),
        (None, False, False),
        (7, False, False),
        (["a" * 40], False, False),
    ],
)
def test_commits_and_digests_are_lower_case_hexadecimal_digits(value, commit, digest):
    assert (is_commit(value), is_digest(value)) == (commit, digest)

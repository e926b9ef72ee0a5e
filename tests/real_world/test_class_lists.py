"""Class lists as tools write them: the names at their indices, or a refusal; never names moved by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.data.class_list import read_class_list
from lookwhere_cli.errors import DataError
from lookwhere_cli.output.masks.labelmap import labelmap
from lookwhere_cli.show.colours import class_colours
from lookwhere_cli.training.distil.labels import class_names

NAMES = ("bg", "road", "traffic light")


def listed(root: Path, content: str | bytes, name: str = "classes.txt") -> tuple[str, ...]:
    file = root / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_class_list(file)


@pytest.mark.parametrize(
    "content",
    [
        "bg\nroad\ntraffic light\n",
        "bg\r\nroad\r\ntraffic light",
        "bg\rroad\rtraffic light\r",
        "  bg \nroad\t\ntraffic light\n\n\n",
        "0 bg\n1 road\n2 traffic light\n",
        "0: bg\n1: road\n2: traffic light\n",
        "0,bg\n1,road\n2,traffic light\n",
        "0\tbg\n1\troad\n2\ttraffic light\n",
        "# label:color_rgb:parts:actions\nbg:0,0,0::\nroad:128,0,0::\ntraffic light:0,128,0::\n",
        "# label:color_rgb:parts:actions\nbg:::\nroad:::\ntraffic light:::\n",
        "bg:0,0,0::\nroad:128,0,0:a,b:c\ntraffic light:0,128,0::\n",
        "path: ../data\ntrain: images/train\nnc: 3\nnames: [bg, road, traffic light]\n",
        "names:\n  0: bg\n  1: road\n  2: traffic light\n",
        "nc: 3\nnames:\n- bg\n- road\n- 'traffic light'\n",
        json.dumps(NAMES),
        json.dumps({"categories": [{"id": index, "name": name} for index, name in enumerate(NAMES)], "info": {}}),
        json.dumps({"labels": NAMES}),
        json.dumps({"id2label": {str(index): name for index, name in enumerate(NAMES)}}),
    ],
)
def test_every_form_gives_the_names_at_their_indices(tmp_path, content):
    assert listed(tmp_path, content) == NAMES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_gives_the_same_names(tmp_path, encoding):
    assert listed(tmp_path, "bg\r\nStraße\r\nthé\r\n".encode(encoding)) == ("bg", "Straße", "thé")


@pytest.mark.parametrize(
    "content",
    [
        "1 bg\n2 road\n3 sky\n",
        "1: bg\n2: road\n",
        "# my classes\nbg\nroad\n",
        "bg\n# more\nroad\n",
        "bg\n\nroad\n",
        "id,name\n0,bg\n1,road\n",
        "label;colour\nbg;red\n",
        "bg:0,0,0::\nroad\n",
        "names:\n  1: bg\n  2: road\n",
        "names:\n  0: bg\n  2: road\n",
        "nc: 2\nnames: [a, b, c]\n",
        "nc: 2\nnames: names.txt\n",
        "names: [a\n",
        'item {\n  id: 1\n  name: "cat"\n}\n',
        '<View><Choices><Choice value="cat"/></Choices></View>',
        json.dumps({"categories": [{"id": 1, "name": "bg"}, {"id": 2, "name": "road"}]}),
        json.dumps({"images": []}),
        "[1, 2]",
        '{"labels": ["a"',
        "bg\nroad\nbg\n",
        "\n\n",
        "",
    ],
)
def test_what_would_move_names_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="class list"):
        listed(tmp_path, content)


def test_text_that_is_none_is_refused(tmp_path):
    for content, words in (
        (b"bg\0road", "zero bytes"),
        (b"caf\xe9\n", "not text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "tex"),
    ):
        with pytest.raises(DataError, match=words):
            listed(tmp_path, content)
    with pytest.raises(DataError, match=r"Git LFS pointer.*git lfs pull"):
        listed(tmp_path, "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n")


def test_marks_in_the_middle_belong_to_no_name(tmp_path):
    assert listed(tmp_path, "\ufeffbg\n\ufeffroad\n") == ("bg", "road")
    assert class_names(2, tmp_path / "classes.txt") == ("bg", "road")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co"]), min_size=1).filter(
            lambda name: name == name.strip() and name.isprintable() and "\ufeff" not in name
        ),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_any_names_survive_our_own_labelmap(names):
    from lookwhere_cli.data.class_formats import class_names_in

    assert list(class_names_in(labelmap(names, class_colours(len(names))), "It")) == names


@pytest.mark.parametrize("names", [["road:main", "#1 tree", "a,b"], ["a:1,2,3", "b::"], ["0 bg", "1 road"]])
def test_colons_and_signs_survive(tmp_path, names):
    palette = np.zeros((len(names), 3), np.uint8)
    assert listed(tmp_path, labelmap(names, palette), "labelmap.txt") == tuple(names)

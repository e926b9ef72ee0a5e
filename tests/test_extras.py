"""Optional libraries: returned, or an error that says what to install."""

import sys

import pytest

from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import require


def test_an_installed_module_is_returned():
    import json.decoder

    assert require("json.decoder", "parquet", "A test") is json.decoder


@pytest.mark.parametrize("module", ["json", "json.decoder"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "json", None)
    expected = (
        r"^--format rle needs json, which is not installed; install it with: pip install 'lookwhere\[segment\]'\.$"
    )
    with pytest.raises(UsageError, match=expected):
        require(module, "segment", "--format rle")

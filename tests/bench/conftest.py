import pytest

from lookwhere_cli.bench import timing


@pytest.fixture(autouse=True)
def one_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for steady figures."""
    monkeypatch.setattr(timing, "TURN", 0.0)

import pytest

from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.errors import DataError

LABELS = ("tabby cat", "Great Dane", "crane (134)", "7")


@pytest.mark.parametrize(
    ("classes", "indices"),
    [
        (("Great Dane", "tabby cat"), [1, 0]),
        (("great_dane", "tabby  CAT"), [1, 0]),
        (("3", "0"), [3, 0]),
        (("7",), [3]),  # a label before it is an index
        ((), []),
    ],
)
def test_classes_match_labels_by_name_or_else_by_index(classes: tuple[str, ...], indices: list[int]) -> None:
    assert match_classes(classes, LABELS).tolist() == indices


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (("tabby cat", "great dame"), "no class 'great dame'. Did you mean 'Great Dane'?"),
        (("zebra",), "It has 'tabby cat', 'Great Dane', 'crane (134)', '7'."),
        (("0", "4"), "no class '4'"),
        (("0", "7"), "no class '0'"),  # numbers are indices only where none of them is a label
    ],
)
def test_a_class_that_the_model_lacks_is_refused(classes: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(DataError) as raised:
        match_classes(classes, LABELS)
    assert sentence in str(raised.value)

"""XML files as trees whose elements know their line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from lookwhere_cli.errors import DataError, UsageError


@dataclass
class Element:
    """An element: the line on which it begins, its attributes, the text and the elements in it."""

    tag: str
    line: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """Yield the elements of a tag that lie directly in this one."""
        return (child for child in self.children if child.tag == tag)

    def first(self, tag: str) -> Element | None:
        """Return the first of them; None without one."""
        return next(self.all(tag), None)

    def text_of(self, tag: str) -> str:
        """Return its text without surrounding spaces; nothing without one."""
        child = self.first(tag)
        return "" if child is None else child.text.strip()


def read_xml(file: Path) -> Element:
    """Read an XML file. Raises UsageError if it can't be read, DataError, which names the line, if it is not XML."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    open_elements = [Element("")]

    def start(tag: str, attributes: dict[str, str]) -> None:
        """Open an element inside the innermost open one, with the number of its line."""
        element = Element(tag, parser.CurrentLineNumber, attributes)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def text(content: str) -> None:
        """Add text, of which one element may have several pieces."""
        open_elements[-1].text += content

    parser.StartElementHandler, parser.CharacterDataHandler = start, text
    parser.EndElementHandler = lambda tag: open_elements.pop()
    try:
        parser.Parse(file.read_bytes(), True)
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, str(error))
        raise DataError(f"Line {error.lineno} of {str(file)!r} is not XML: {reason}.") from error
    return open_elements[0].children[0]

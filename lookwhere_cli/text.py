"""Text from outside (file names, labels, model metadata) made safe to write and to print."""


def printable(text: str) -> str:
    r"""Return `text` as valid Unicode: bytes of a path that are not UTF-8 (lone surrogates) become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def on_one_line(text: str) -> str:
    r"""Return `text` safe for one line of a terminal: control characters and line breaks become escapes like `\n`."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in printable(text))

"""What a row should say about how its picture was read, gathered while it is opened and decoded."""

from PIL import Image

_KEY = "lookwhere.notes"


def add_note(picture: Image.Image, note: str) -> None:
    """Remember a note about a picture; the same one counts once."""
    picture.info[_KEY] = tuple(dict.fromkeys((*notes_of(picture), note)))


def notes_of(picture: Image.Image) -> tuple[str, ...]:
    """Return the notes about a picture, in the order in which they were added."""
    notes: tuple[str, ...] = picture.info.get(_KEY, ())
    return notes

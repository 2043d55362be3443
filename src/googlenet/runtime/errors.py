"""What can go wrong through no fault of this program, each told in one sentence.

The command line prints the sentence and exits with the code; a traceback is always our bug.
"""


class GoogLeNetError(Exception):
    """The work failed: a file that cannot be read, data that cannot be used."""

    exit_code = 1


class UsageError(GoogLeNetError, ValueError):
    """What was asked for makes no sense: an option or argument outside its rule."""

    exit_code = 2


class ModelFileError(GoogLeNetError):
    """A file that is not a model of ours, not one that this version reads, or damaged."""


def printable(text: str) -> str:
    """The text for one line of a terminal or a page: line breaks, control characters, marks that
    turn the writing direction and bytes that are not text appear as escapes, `\\n` and the like.

    A file's name may hold all of these.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )

"""Every error that is meant for the user.

    GristmillError
    ├── RecipeError     the recipe is wrong: file, line, key, what was expected
    ├── InputError      the input is not what the recipe says: path, format, column
    ├── StorageError    a disk or an object store refused: path, what was tried
    ├── DeterminismError  two attempts at one task wrote different bytes
    └── RunError        the run cannot begin or go on: the output folder is another run's, a task failed for good

Each message is a short letter: what happened, where, what was expected and found, what to do next.
A single bad record is none of these: it is quarantined and the run goes on.
"""


class GristmillError(Exception):
    """Root of all errors whose message is written for the user."""


class RecipeError(GristmillError):
    """The recipe cannot be run as it is written."""


class InputError(GristmillError):
    """An input path, format or column is not there or cannot be a source of documents."""


class StorageError(GristmillError):
    """Storage refused: no right, no bucket, no connection, no space."""


class DeterminismError(GristmillError):
    """Two attempts at one task disagree about its bytes."""


class RunError(GristmillError):
    """The run cannot begin or cannot go on."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, without what it says below; its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

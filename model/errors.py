"""Errors that a user can cause and can fix.

The command line prints each of them as one line and exits with code 2. Anything else that is raised
is a defect of this project and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class UserError(Exception):
    """Something the user can mend: wrong spec, data, checkpoint, storage or disk.

    Parameters
    ----------
    message: what is wrong, naming the offending value or file.
    where: ``file`` or ``file:line:column`` it was found at, if known.
    hint: what to do about it, if that is not plain from the message.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    @property
    def lines(self) -> tuple[str, ...]:
        """What is printed, a line per mistake."""
        return (str(self),)

    def plain(self) -> list[dict[str, str | None]]:
        """The mistakes as plain data: message, where and hint of each."""
        return [{"message": self.message, "where": self.where, "hint": self.hint}]

    def __str__(self) -> str:
        head = f"{self.where}: " if self.where else ""
        tail = f" ({self.hint})" if self.hint else ""
        return " ".join(f"{head}{self.message}{tail}".split())


class ConfigError(UserError):
    """A configuration value is unknown, of the wrong type or outside its range."""


class SeveralErrors(ConfigError):  # noqa: N818 - there are several
    """Several mistakes of one file, each a line of its own."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(f"{len(errors)} mistakes")
        self.errors = tuple(errors)

    @staticmethod
    def of(errors: Sequence[ConfigError]) -> ConfigError:
        """These, each once and ordered by line and column; the mistake itself where there is just one."""
        by_text = {str(error): error for error in errors}
        ordered = sorted(by_text.values(), key=lambda error: _line_and_column(error.where))
        return ordered[0] if len(ordered) == 1 else SeveralErrors(ordered)

    @property
    def lines(self) -> tuple[str, ...]:
        """See :attr:`UserError.lines`."""
        return tuple(map(str, self.errors))

    def plain(self) -> list[dict[str, str | None]]:
        """See :meth:`UserError.plain`."""
        return [mistake for error in self.errors for mistake in error.plain()]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _line_and_column(where: str | None) -> tuple[int, int]:
    found = re.search(r":(\d+):(\d+)$", where or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)


class DataError(UserError):
    """An image, a mask or a dataset folder cannot be used as it is."""


class CheckpointError(UserError):
    """Weights are missing, unreadable or do not fit the model they are loaded into."""


class StorageError(UserError):
    """Results, caches or the study's storage cannot be read or written."""


class OutOfMemoryError(UserError):
    """A device's memory does not hold the least that has to be computed at once."""


class DivergedError(Exception):
    """Training or scoring produced NaN or infinity: an outcome of a run, recorded by name."""


class InterruptedRun(Exception):  # noqa: N818 - an outcome, not a failure
    """Work stopped by request after saving what is needed to continue it."""

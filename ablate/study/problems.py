"""All that is wrong with a study at once: mistakes are noted where they stand, and raised together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from model.errors import ConfigError, SeveralErrors

Value = TypeVar("Value")


class Problems:
    """What has been found wrong so far."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what goes wrong inside, and go on behind it."""
        try:
            yield
        except SeveralErrors as several:
            self.found += several.errors
        except ConfigError as error:
            self.found.append(error)

    def attempt(self, read: Callable[[], Value], otherwise: Value) -> Value:
        """What ``read`` gives; if it finds a mistake, that is noted, and it is ``otherwise``."""
        with self.noted():
            return read()
        return otherwise

    def raise_all(self) -> None:
        """Raise what was found, in the order of the file; return if nothing was."""
        if self.found:
            raise SeveralErrors.of(self.found)

"""Whether a configured node was founded, and how it would be."""

from __future__ import annotations

from pathlib import Path

from jindimail.admin.aside import finishReplacing
from jindimail.config import Configuration
from jindimail.errors import ConfigError
from jindimail.store.environment import storePath


def foundingCommand(configuration: Configuration) -> str:
    """The command that founds the configured node."""
    return f"{_jindictl(configuration)} init {configuration.node.dataDirectory}"


def _jindictl(configuration: Configuration) -> str:
    return f"jindictl --config {configuration.path}" if configuration.path else "jindictl"


def requireFounded(configuration: Configuration) -> None:
    """
    A node never starts on an empty data directory: an unmounted disk must not found a second array (design §4).

    @raise ConfigError: it is empty, or not there.
    """
    if not configuration.node.dataDirectory:
        return  # which is a problem of its own
    directory = Path(configuration.node.dataDirectory)
    finishReplacing(directory)
    if storePath(directory).is_dir():
        return
    state = "holds no store" if directory.exists() else "does not exist"
    raise ConfigError(
        (
            f"node.data-directory: {directory} {state}. Is its disk mounted? "
            f"To found a new array there: {foundingCommand(configuration)}. "
            f"To join one: {_jindictl(configuration)} join TOKEN",
        )
    )

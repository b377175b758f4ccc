"""What jindictl shows: answers as text for people or JSON for scripts, progress, and questions."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

PASSWORD_OCTETS_MAX = 1000


class Output:
    """Where the answers go: results to `out`, all else to `err`."""

    def __init__(self, *, isJson: bool, isQuiet: bool, out: TextIO, err: TextIO) -> None:
        self._isJson = isJson
        self._showsProgress = not isQuiet and err.isatty()
        self._out = out
        self._err = err
        self._progressWidth = 0

    def result(self, result: Any, columns: Sequence[str] = ()) -> None:
        """Show a verb's result."""
        self._endProgress()
        if self._isJson:
            self._out.write(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
        elif isinstance(result, dict) and "rows" in result:
            self._table(result["rows"], columns or tuple(result["rows"][0] if result["rows"] else ()))
        elif isinstance(result, dict):
            self._mapping(result, "")
        else:
            print(result, file=self._out)

    def text(self, text: str) -> None:
        """Show a text as it is; as JSON, one that holds it."""
        self._out.write(json.dumps({"text": text}) + "\n" if self._isJson else text)

    def error(self, code: str, text: str) -> None:
        """Say what went wrong."""
        self._endProgress()
        if self._isJson:
            print(json.dumps({"error": {"code": code, "text": text}}), file=self._err)
        else:
            print(f"jindictl: {text}", file=self._err)

    def progress(self, done: int, total: int, what: str) -> None:
        """Show how far long work is, on a terminal."""
        if self._showsProgress:
            line = f"{what}: {done} of {total} ({100 * done // total} %)" if total else f"{what}: {done}"
            print("\r" + line.ljust(self._progressWidth), end="", file=self._err, flush=True)
            self._progressWidth = len(line)

    def _endProgress(self) -> None:
        if self._progressWidth:
            print("\r" + " " * self._progressWidth + "\r", end="", file=self._err, flush=True)
            self._progressWidth = 0

    def _table(self, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        cells = [[_words(row.get(column)) for column in columns] for row in rows]
        widths = [max([len(column), *(len(row[at]) for row in cells)]) for at, column in enumerate(columns)]
        for line in [[column.upper() for column in columns], *cells] if cells else []:
            print(
                "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(),
                file=self._out,
            )

    def _mapping(self, mapping: dict[str, Any], indent: str) -> None:
        width = max((len(str(key)) for key in mapping), default=0)
        for key, value in mapping.items():
            if isinstance(value, dict):
                print(f"{indent}{key}:", file=self._out)
                self._mapping(value, indent + "  ")
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                print(f"{indent}{key}:", file=self._out)
                self._table(value, tuple(value[0]))
            elif isinstance(value, list) and any(" " in str(each) for each in value):
                print(
                    "\n".join([f"{indent}{key}:", *(f"{indent}  {each}" for each in value)]), file=self._out
                )
            else:
                print(f"{indent}{(str(key) + ':').ljust(width + 1)} {_words(value)}".rstrip(), file=self._out)


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(each) for each in value)
    return str(value)


def readPassword(fromInput: bool, source: TextIO) -> str:
    """
    A password from the first line of `source`, or asked for twice on the terminal.

    @raise ValueError: it is empty, too long, or was not repeated; the text says which.
    """
    if fromInput or not source.isatty():
        password = source.readline(PASSWORD_OCTETS_MAX + 2).rstrip("\r\n")
    else:
        try:
            password, again = getpass.getpass("Password: "), getpass.getpass("Again: ")
        except EOFError:  # ^D
            raise ValueError("no password was given") from None
        if again != password:
            raise ValueError("the two passwords differ")
    if not password:
        raise ValueError("the password is empty")
    if len(password) > PASSWORD_OCTETS_MAX:
        raise ValueError(f"the password is longer than {PASSWORD_OCTETS_MAX}")
    return password


def confirmed(question: str, source: TextIO) -> bool:
    """Whether the operator says yes; without a terminal there is nobody to ask."""
    if not source.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return source.readline(10).strip().lower() in ("y", "yes")

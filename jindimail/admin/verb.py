"""
Verbs: what an operator can ask of a running node, said once for the control socket, jindictl and the manhole.

A verb is an `async def` with a docstring; `@verb` says its words on the command line and its arguments. Its answer is
something that JSON can write: a mapping, or for lists `{"rows": [...], "after": …}`, one bounded page at a time.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jindimail.errors import Refusal
from jindimail.kinds import readOctets

TEXT, NUMBER, OCTETS, SWITCH, TEXTS, SECRET, PATH = (
    "text",
    "number",
    "octets",
    "switch",
    "texts",
    "secret",
    "path",
)
TEXT_OCTETS_MAX = 1000
TEXTS_MAX = 1000
PAGE_ROWS = 500
SHOWN_MAX = 1000  # of what a check found

Report = Callable[[int, int, str], None]  # (done, total or 0, what)


class VerbRefused(Refusal):
    """The operator asked for what is not possible; the text is meant for the operator."""

    def __init__(self, text: str, code: str = "refused") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


_UNSAYABLE = re.compile("[\0\ud800-\udfff]")
"""What no client can log in with: SASL PLAIN ends a password at NUL, and what was not UTF-8 on the command line is none on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a verb; `option`s are given by name, the others by place."""

    name: str
    doc: str
    kind: str = TEXT
    option: bool = False
    default: Any = None

    def read(self, value: object) -> Any:
        """
        The value as the verb takes it.

        @raise VerbRefused: it is of another kind.
        """
        if value is None and self.option:
            return self.default
        accepted = _ACCEPTED[self.kind](value)
        if accepted is None:
            expected = "number, 0 or more," if self.kind == NUMBER else self.kind
            raise VerbRefused(f"{self.name}: {expected} expected ({self.doc})", "usage")
        return accepted


def _text(value: object) -> str | None:
    isText = isinstance(value, str) and len(value) <= TEXT_OCTETS_MAX and value.isprintable()
    return value if isText else None  # type: ignore[return-value]


def _path(value: object) -> str | None:
    text = _text(value)
    return text if text is not None and text.startswith("/") else None


def _secret(value: object) -> str | None:
    isSecret = isinstance(value, str) and len(value) <= TEXT_OCTETS_MAX and not _UNSAYABLE.search(value)
    return value if isSecret else None  # type: ignore[return-value]


def _number(value: object) -> int | None:
    isNumber = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62
    return value if isNumber else None  # type: ignore[return-value]


def _octets(value: object) -> int | None:
    try:
        return readOctets(value) if isinstance(value, str) else _number(value)
    except ValueError:
        return None


def _switch(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= TEXTS_MAX:
        return None
    return tuple(value) if all(_text(each) is not None for each in value) else None


_ACCEPTED: dict[str, Callable[[object], Any]] = {
    TEXT: _text,
    NUMBER: _number,
    OCTETS: _octets,
    SWITCH: _switch,
    TEXTS: _texts,
    SECRET: _secret,
    PATH: _path,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """
    Something an operator can ask for.

    `words` on the command line, `name` in the manhole. `columns` are shown for lists; `confirm` is what an operator is asked
    before something is lost; `foreseen` is a verb with the same arguments, whose
    answer the operator is shown before that question. `isFar`: other nodes may ask for it (asking.py). `isSorted`: who has all pages of a list
    shows it in the order of the first column.
    """

    words: tuple[str, ...]
    name: str
    doc: str
    arguments: tuple[Argument, ...]
    run: Callable[..., Awaitable[Any]]
    columns: tuple[str, ...] = ()
    confirm: str = ""
    examples: tuple[str, ...] = ()
    foreseen: str = ""
    isFar: bool = False
    isSorted: bool = False

    @property
    def hasSecrets(self) -> bool:
        """Whether an argument must not stand in a log or on a command line."""
        return any(argument.kind == SECRET for argument in self.arguments)

    def settle(self, given: Mapping[str, object]) -> dict[str, Any]:
        """
        The keyword arguments of `run`.

        @raise VerbRefused: one is missing, unknown or of another kind.
        """
        unknown = set(given) - {argument.name for argument in self.arguments}
        if unknown:
            raise VerbRefused(
                f"{' '.join(self.words)}: no such argument: {', '.join(sorted(unknown))}", "usage"
            )
        return {argument.name: argument.read(given.get(argument.name)) for argument in self.arguments}


def verb(
    words: str,
    *arguments: Argument,
    columns: tuple[str, ...] = (),
    confirm: str = "",
    examples: tuple[str, ...] = (),
    foreseen: str = "",
    isFar: bool = False,
    isSorted: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Verb]:
    """Make a verb of `async def name(node, report, *, …)`."""

    def make(run: Callable[..., Awaitable[Any]]) -> Verb:
        return Verb(
            words=tuple(words.split()),
            name=run.__name__,
            doc=" ".join((run.__doc__ or "").split()),
            arguments=arguments,
            run=run,
            columns=columns,
            confirm=confirm,
            examples=examples,
            foreseen=foreseen,
            isFar=isFar,
            isSorted=isSorted,
        )

    return make

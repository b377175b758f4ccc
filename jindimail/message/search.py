"""What IMAP SEARCH looks at: text of fields and bodies, compared without regard to case or form (RFC 9051 §6.4.4).

A needle is folded once with `fold`; whatever it is sought in is folded the same way.
"""

import re
import unicodedata
from collections.abc import Generator, Iterator
from itertools import islice

from jindimail.message.addresses import parseAddresses
from jindimail.message.headers import fieldsByName, scanFields, unfold
from jindimail.message.parameters import parameterText
from jindimail.message.structure import Part
from jindimail.message.text import partText, plainOfHtml
from jindimail.message.words import decodeWords

_WINDOW = 128
"""Characters normalised at a time: a long run of combining marks takes quadratic time."""

_ADDRESSED = frozenset({b"from", b"to", b"cc", b"bcc"})
_DRESSED = re.compile(rb"[(\\]|\s@|@\s")
"""What makes the addresses in a field differ from those that it means: comments, escapes, white space."""

_DRESSED_OCTETS_MAX = 8 * 1024  # a hostile megabyte would take a second

_STEP_CHARACTERS = 256 * _WINDOW
_STEP_PIECES = 4096


def fold(text: str) -> str:
    """*text* in the form that is compared: compatibility characters unified (NFKC), then case folded."""
    if text.isascii():
        return text.lower()
    windows = (text[at : at + _WINDOW] for at in range(0, len(text), _WINDOW))
    return "".join([unicodedata.normalize("NFKC", window) for window in windows]).casefold()


class SoughtHeader:
    """A header as it is sought in: decoded and folded when it is first asked for, and then no more, however often it is."""

    __slots__ = ("_all", "_byName", "_header", "_values")

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._values: dict[bytes, list[bytes]] | None = None
        self._byName: dict[bytes, list[str]] = {}
        self._all: list[str] | None = None

    def fieldHolds(self, name: bytes, needle: str) -> bool:
        """Whether any field of this lower-case name has the folded needle in its decoded text; an empty needle asks for any such field."""
        texts = self._byName.get(name)
        if texts is None:
            if self._values is None:
                self._values = fieldsByName(self._header)
            values = [unfold(value) for value in self._values.get(name, ())]
            if name in _ADDRESSED:
                values += _shownAddresses(b", ".join(values))
            texts = self._byName[name] = [fold(decodeWords(value)) for value in values]
        return any(needle in text for text in texts)

    def holds(self, needle: str) -> bool:
        """Whether the header has the folded needle in any field, its name included."""
        if self._all is None:
            self._all = [fold(text) for text in headerText(self._header)]
        return any(needle in text for text in self._all)


def _shownAddresses(value: bytes) -> list[bytes]:
    """What ENVELOPE shows of addresses, which FROM, TO, CC and BCC are about (RFC 3501 §6.4.4), where it is more than what stands there."""
    if _DRESSED.search(value) is None:
        return []
    found = parseAddresses(value[:_DRESSED_OCTETS_MAX])
    return [b"%b <%b@%b>" % (name or b"", mailbox or b"", host or b"") for name, _, mailbox, host in found]


def headerText(header: bytes) -> Iterator[str]:
    """The fields of *header*, one by one, as `name: decoded value`."""
    for field in scanFields(header):
        name, _, value = header[field.start : field.end].partition(b":")
        yield f"{name.decode('latin-1')}: {decodeWords(unfold(value))}"


def foldedBody(part: Part, octets: bytes) -> Generator[None, None, list[str]]:
    """
    The decoded and folded text of all text parts below *part* (HTML without its markup), and the headers of the messages in it; made step by
    step: whoever goes through the steps may pause at each.

    A few megabytes of HTML that is nothing but tags take a second.
    """
    texts: list[str] = []
    for child, start in _textsBelow(part):
        yield
        if start is not None:
            texts += [fold(text) for text in headerText(octets[start : child.bodyStart])]
            continue
        text = partText(child, octets)
        yield
        if child.subtype == b"html":
            pieces = plainOfHtml(text)
            gathered: list[str] = []
            while some := list(islice(pieces, _STEP_PIECES)):
                gathered.append("".join(some))
                yield
            text = "".join(gathered)
        folded: list[str] = []
        for at in range(0, len(text), _STEP_CHARACTERS):
            folded.append(fold(text[at : at + _STEP_CHARACTERS]))
            yield
        texts.append("".join(folded))
    return texts


def foldedParts(part: Part, octets: bytes) -> Generator[None, None, list[str]]:
    """
    The folded fields of the headers of all parts below *part*, with the names of attachments as people read them: TEXT is about those, too (RFC 9051
    §6.4.4); made step by step.
    """
    texts: list[str] = []
    for child in part.walk():
        yield
        if child is not part:
            texts += [fold(text) for text in headerText(octets[child.start : child.bodyStart])]
        _, parameters = child.disposition or (b"", ())
        texts += [fold(name) for name in (parameterText(parameters, b"filename"),) if name]
    return texts


def _textsBelow(part: Part) -> Iterator[tuple[Part, int | None]]:
    """The text parts, and with the place where its header begins each message in the message."""
    if part.mediaType == b"text":
        yield part, None
    for child in part.children:
        if part.isMessage:
            yield child, child.start
        yield from _textsBelow(child)

"""The text of a part as people read it: transfer encoding and character set undone, HTML made plain."""

import html
import re
from collections.abc import Iterator

from jindimail.message import charsets
from jindimail.message.parameters import parameterText
from jindimail.message.structure import Part
from jindimail.message.transfer import decodeTransfer

_TAG = re.compile(r"<(?:(!--)|[!?]|(/?)([a-zA-Z][a-zA-Z0-9]*+))")
_HIDDEN = frozenset({"script", "style", "title"})
_INLINE = frozenset(
    {"a", "abbr", "b", "big", "code", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u"}
)


def partText(part: Part, octets: bytes, octetsMax: int | None = None) -> str:
    """The text of a text part, with at most *octetsMax* octets of its body read."""
    end = part.end if octetsMax is None else min(part.end, part.bodyStart + octetsMax)
    decoded = decodeTransfer(octets[part.bodyStart : end], part.encoding)
    return charsets.decode(decoded, parameterText(part.parameters, b"charset") or "")


def plainOfHtml(source: str) -> Iterator[str]:
    """
    The visible text of HTML in pieces: no tags, comments or scripts, entities replaced, blocks parted by a space.

    There is a piece for each tag, be it empty, so that whoever takes them may pause.
    """
    at, end = 0, len(source)
    while at < end:
        tag = source.find("<", at)
        if tag < 0:
            tag = end
        if tag > at:
            yield _unescape(source[at:tag])
        if tag < end:
            text, at = _skipMarkup(source, tag)
            yield text
        else:
            at = end


def _skipMarkup(source: str, start: int) -> tuple[str, int]:
    """What the markup at *start* stands for in the text, and where it ends."""
    match = _TAG.match(source, start)
    if match is None:
        return "<", start + 1
    if match[1]:
        close = source.find("-->", match.end())
        return "", len(source) if close < 0 else close + 3
    close = source.find(">", match.end())
    if close < 0:
        return "", len(source)
    name = (match[3] or "").lower()
    if name in _HIDDEN and not match[2]:
        return " ", _hiddenEnd(source, name, close + 1)
    return "" if name in _INLINE else " ", close + 1


def _hiddenEnd(source: str, name: str, at: int) -> int:
    """Where the element *name*, whose content is not shown, ends."""
    while (tag := source.find("</", at)) >= 0:
        at = tag + 2 + len(name)
        if source[tag + 2 : at].lower() == name:
            close = source.find(">", at)
            return len(source) if close < 0 else close + 1
    return len(source)


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a number of thousands of digits
        return text

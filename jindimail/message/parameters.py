"""Field values of the form `value; name=value; ...` (RFC 2045 §5.1, RFC 2183, RFC 2231), read tolerantly."""

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from jindimail.message import bounds, charsets, words

Parameters = tuple[tuple[bytes, bytes], ...]
"""Pairs of lower-case name and unquoted value, in their order, continuations joined."""

_PARAMETER = re.compile(rb';\s*+([^\s=;"()]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*)"?|([^;"]*+))', re.DOTALL)
_COMMENT = re.compile(rb'"(?:[^"\\]++|\\.)*"?|(?<![^\s;])(\([^()]*+\)?)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SEGMENT = re.compile(rb"([^*]+)\*(?:(\d{1,3})(\*?))?")
_REMEMBERED_MAX = 1024  # most messages have one of a few
_REMEMBERED_OCTETS_MAX = 128


def parseParameters(value: bytes) -> tuple[bytes, Parameters]:
    """The leading value, lower-case and without white space at its ends, and the parameters of *value*."""
    return _remembered(value) if len(value) <= _REMEMBERED_OCTETS_MAX else _parse(value)


def _parse(value: bytes) -> tuple[bytes, Parameters]:
    value = value[: bounds.valueOctetsMax]
    value = withoutComments(value)
    semicolon = value.find(b";")
    if semicolon < 0:
        return value.strip().lower(), ()
    found: list[tuple[bytes, bytes]] = []
    for match in _PARAMETER.finditer(value, semicolon):
        name, quoted, bare = match.groups()
        if quoted is None:
            found.append((name.lower(), bare.strip()))
        else:
            found.append((name.lower(), _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
        if len(found) == bounds.parametersMax:
            break
    parameters = tuple(found)
    if b"*" in value:
        parameters = _joinContinuations(parameters)
    return value[:semicolon].strip().lower(), parameters


def withoutComments(value: bytes) -> bytes:
    """A structured value with a space for each of its comments (RFC 2045 §5.1); parentheses within a word or quotes stay."""
    return _COMMENT.sub(lambda match: b" " if match[1] else match[0], value) if b"(" in value else value


_remembered = lru_cache(_REMEMBERED_MAX)(_parse)


def _joinContinuations(parameters: Parameters) -> Parameters:
    """RFC 2231 §3, §4.1: `name*0`, `name*1*`... become one parameter, called `name*` if any of it is encoded."""
    joined: list[tuple[bytes, bytes]] = []
    segments: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in parameters:
        match = _SEGMENT.fullmatch(name)
        if match is None or match[2] is None:
            joined.append((name, value))
        else:
            segments.setdefault(match[1], {}).setdefault(int(match[2]), (value, bool(match[3])))
    for name, pieces in segments.items():
        ordered = [pieces[index] for index in sorted(pieces)]
        if any(encoded for _, encoded in ordered):
            octets = b"".join(value if encoded else _percent(value) for value, encoded in ordered)
            joined.append((name + b"*", octets))
        else:
            joined.append((name, b"".join(value for value, _ in ordered)))
    return tuple(joined)


def _percent(octets: bytes) -> bytes:
    return quote_from_bytes(octets, safe="").encode("ascii")


def parameterOctets(parameters: Parameters, name: bytes) -> bytes | None:
    """The value of the first parameter with the lower-case *name*, as octets, not decoded."""
    for found, value in parameters:
        if found == name:
            return value
    return None


def parameterText(parameters: Parameters, name: bytes) -> str | None:
    """The text of the parameter *name*: the extended form of RFC 2231 if it is there, else with encoded words read."""
    extended = parameterOctets(parameters, name + b"*")
    if extended is not None:
        charset, _, rest = extended.partition(b"'")
        octets = unquote_to_bytes(rest.partition(b"'")[2] if b"'" in rest else extended)
        return charsets.decode(octets, charset.decode("latin-1") if b"'" in rest else "")
    plain = parameterOctets(parameters, name)
    return None if plain is None else words.decodeWords(plain)

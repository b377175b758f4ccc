"""What IMAP's FETCH says of a message's shape, ready for the wire: ENVELOPE, BODY, BODYSTRUCTURE (RFC 9051 §7.5.2).

One blob per message is kept, the BODYSTRUCTURE; `bodyOf` makes the rare BODY from it by leaving out the
extension data. Strings are quoted where they can be and literals where they hold 8-bit octets; NUL,
which neither may hold, is left out, and a line end within a value becomes a space. Types, encodings and
parameter names are in lower case.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from jindimail.message import bounds
from jindimail.message.addresses import Address, parseAddresses
from jindimail.message.parameters import Parameters
from jindimail.message.structure import Part

_NIL: Final = b"NIL"
_REMEMBERED_MAX: Final = 1024  # senders and recipients come again and again
_REMEMBERED_OCTETS_MAX: Final = 256
_QUOTABLE = re.compile(rb"[ !#-\[\]-~\t]*+")
_UNSAFE = re.compile(rb"[\r\n\x00]+")
_SPECIAL = re.compile(rb'["\\]')
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*"|\{([0-9]+)\}\r\n|[^ ()"{]++|[ ()]', re.DOTALL)


def string(value: bytes | None) -> bytes:
    """An nstring: NIL, quoted, or a literal with its octets."""
    if value is None:
        return _NIL
    if len(value) > bounds.stringOctetsMax:
        value = value[: bounds.stringOctetsMax]
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % value
    value = _UNSAFE.sub(_safe, value)
    if value.isascii():
        return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", value)
    return b"{%d}\r\n%b" % (len(value), value)


def _safe(match: re.Match[bytes]) -> bytes:
    return b" " if match[0].strip(b"\x00") else b""


def envelope(fields: Mapping[bytes, bytes]) -> bytes:
    """The ENVELOPE of a message from its fields (`Part.fields`): absent is NIL, Sender and Reply-To default to From."""
    get = fields.get
    sender = addressList(get(b"from"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        string(get(b"date")),
        string(get(b"subject")),
        sender,
        _addressListOr(sender, get(b"sender")),
        _addressListOr(sender, get(b"reply-to")),
        addressList(get(b"to")),
        addressList(get(b"cc")),
        addressList(get(b"bcc")),
        string(get(b"in-reply-to")),
        string(get(b"message-id")),
    )


def addressList(value: bytes | None) -> bytes:
    """The parenthesised addresses of a field, NIL if there are none."""
    if not value:
        return _NIL
    return _remembered(value) if len(value) <= _REMEMBERED_OCTETS_MAX else _addressList(value)


def _addressList(value: bytes) -> bytes:
    found = parseAddresses(value)
    return b"(%b)" % b"".join([_address(address) for address in found]) if found else _NIL


_remembered = lru_cache(_REMEMBERED_MAX)(_addressList)


def _addressListOr(default: bytes, value: bytes | None) -> bytes:
    form = addressList(value)
    return default if form is _NIL else form


def _address(address: Address) -> bytes:
    name, route, mailbox, host = address
    return b"(%b %b %b %b)" % (string(name), string(route), string(mailbox), string(host))


def bodystructure(part: Part) -> bytes:
    """The BODYSTRUCTURE of a message, with all extension data."""
    out: list[bytes] = []
    _write(out, part, True)
    return b"".join(out)


def body(part: Part) -> bytes:
    """The BODY of a message: its structure without extension data."""
    out: list[bytes] = []
    _write(out, part, False)
    return b"".join(out)


def _write(out: list[bytes], part: Part, extended: bool) -> None:
    if part.isMultipart:
        out.append(b"(")
        for child in part.children:
            _write(out, child, extended)
        out.append(b" %b" % string(part.subtype))
        if extended:
            out.append(b" %b%b" % (_parameters(part.parameters), _extension(part)))
        out.append(b")")
        return
    fields = part.fields
    out.append(
        b"(%b %b %b %b %b %b %d"
        % (
            string(part.mediaType),
            string(part.subtype),
            _parameters(part.parameters),
            string(part.contentId),
            string(part.description),
            string(part.encoding),
            part.end - part.bodyStart,
        )
    )
    if part.isMessage and part.subtype == b"rfc822":  # RFC 3501 has no other with an envelope
        out.append(b" %b " % envelope(part.children[0].fields))
        _write(out, part.children[0], extended)
        out.append(b" %d" % part.lines)
    elif part.mediaType == b"text":
        out.append(b" %d" % part.lines)
    if extended:
        out.append(b" %b%b" % (string(fields.get(b"content-md5")), _extension(part)))
    out.append(b")")


def _extension(part: Part) -> bytes:
    """Disposition, language and location, each after a space."""
    fields = part.fields
    if b"content-disposition" not in fields and b"content-language" not in fields:
        return b" NIL NIL %b" % string(fields.get(b"content-location"))
    disposition = _NIL
    if part.disposition is not None:
        kind, parameters = part.disposition
        disposition = b"(%b %b)" % (string(kind), _parameters(parameters))
    return b" %b %b %b" % (disposition, _language(part.language), string(part.location))


def _language(tags: Sequence[bytes]) -> bytes:
    return b"(%b)" % b" ".join([string(tag) for tag in tags]) if tags else _NIL


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return _NIL
    return b"(%b)" % b" ".join([b"%b %b" % (string(name), string(value)) for name, value in parameters])


def bodyOf(structure: bytes) -> bytes:
    """The BODY that belongs to a BODYSTRUCTURE made by `bodystructure`; equal to `body` of the same part."""
    return _basic(_read(structure))


def _read(structure: bytes) -> list[Any]:
    """The parenthesised list as nested lists of strings as they stand on the wire."""
    stack: list[list[Any]] = [[]]
    at = 0
    while match := _TOKEN.match(structure, at):
        token, at = match[0], match.end()
        if token == b"(":
            stack.append([])
        elif token == b")":
            closed = stack.pop()
            stack[-1].append(closed)
        elif token != b" ":
            if match[1] is not None:
                start, at = match.start(), at + int(match[1])
                token = structure[start:at]
            stack[-1].append(token)
    first: list[Any] = stack[0][0]
    return first


def _basic(node: list[Any]) -> bytes:
    if isinstance(node[0], list):
        children = [child for child in node if isinstance(child, list)]
        count = next(index for index, item in enumerate(node) if not isinstance(item, list))
        return b"(%b %b)" % (b"".join([_basic(child) for child in children[:count]]), node[count])
    if node[0] == b'"text"':
        return _flat(node[:8])
    if node[0] == b'"message"' and node[1] == b'"rfc822"':
        return b"(%b %b %b)" % (_flat(node[:8])[1:-1], _basic(node[8]), node[9])
    return _flat(node[:7])


def _flat(node: list[Any]) -> bytes:
    """The list with all in it, as on the wire; addresses of an envelope stand without spaces between them."""
    if node and all(isinstance(item, list) for item in node):
        return b"(%b)" % b"".join([_flat(item) for item in node])
    return b"(%b)" % b" ".join([_flat(item) if isinstance(item, list) else item for item in node])

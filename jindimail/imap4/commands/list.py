"""LIST and LSUB (RFC 3501 §6.3.8, §6.3.9; CHILDREN, RFC 3348; SPECIAL-USE, RFC 6154; of RFC 5258 the options these use)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jindimail.imap4 import answers
from jindimail.imap4.names import Pattern, decodeName
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, Request
from jindimail.mailbox.queries import Mailboxes
from jindimail.model import HIERARCHY_DELIMITER, INBOX

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

_SELECT_OPTIONS = frozenset({b"SUBSCRIBED", b"SPECIAL-USE", b"REMOTE"})
_RETURN_OPTIONS = frozenset({b"SUBSCRIBED", b"SPECIAL-USE", b"CHILDREN"})


async def run(session: ImapSession, request: Request) -> Answer:
    """LIST: the mailboxes whose names match."""
    cursor = request.arguments
    selected = _parseOptions(cursor, _SELECT_OPTIONS)
    if selected is not None:
        cursor.space()
    reference, pattern = _parsePattern(cursor)
    returned: frozenset[bytes] = frozenset()
    if not cursor.isAtEnd:
        cursor.space()
        if cursor.word() != b"RETURN":
            raise Malformed
        cursor.space()
        returned = _parseOptions(cursor, _RETURN_OPTIONS) or frozenset()
    cursor.end()
    if not pattern:
        session.untagged(_root(reference))
        return Answer(b"LIST completed")
    found = await session.account.mailboxes()
    names = [summary.name for summary in found.mailboxes]
    matching = await _matching(session, names, Pattern(reference, pattern))
    session.send(*_listLines(found, matching, selected or frozenset(), returned))
    return Answer(b"LIST completed")


async def lsub(session: ImapSession, request: Request) -> Answer:
    """LSUB: the subscribed names that match, and under `%` the superiors of such."""
    cursor = request.arguments
    reference, pattern = _parsePattern(cursor)
    cursor.end()
    found = await session.account.mailboxes()
    subscribed = frozenset(found.subscriptions)
    names = sorted(subscribed | _superiors(subscribed) if pattern.endswith(b"%") else subscribed)
    matching = await _matching(session, names, Pattern(reference, pattern))
    session.send(*_lsubLines(found, sorted(matching)))
    return Answer(b"LSUB completed")


async def _matching(session: ImapSession, names: Sequence[str], pattern: Pattern) -> frozenset[str]:
    """The names that match, with pauses if there is much to match."""
    found: set[str] = set()
    for name in names:
        if pattern.matches(name):
            found.add(name)
        await session.share()
    return frozenset(found)


def _parsePattern(cursor: Cursor) -> tuple[bytes, bytes]:
    reference = cursor.astring()
    cursor.space()
    return reference, cursor.listMailbox()


def _parseOptions(cursor: Cursor, known: frozenset[bytes]) -> frozenset[bytes] | None:
    if not cursor.has(b"("):
        return None
    options = frozenset(cursor.words())
    if not options <= known:
        raise Malformed
    return options


def _root(reference: bytes) -> bytes:
    """`LIST "" ""` asks for the delimiter and the root of the reference, which is never in a namespace of its own (§6.3.8)."""
    decodeName(reference)
    return b'LIST (\\Noselect) "/" ""'


def _listLines(
    found: Mailboxes, matching: frozenset[str], selected: frozenset[bytes], returned: frozenset[bytes]
) -> Iterable[bytes]:
    names = [summary.name for summary in found.mailboxes]
    parents = _superiors(names)
    subscribed = frozenset(found.subscriptions)
    for summary in sorted(found.mailboxes, key=lambda summary: (summary.name != INBOX, summary.name)):
        isSubscribed = summary.name in subscribed
        if summary.name not in matching:
            continue
        if b"SUBSCRIBED" in selected and not isSubscribed:
            continue
        if b"SPECIAL-USE" in selected and not summary.specialUse:
            continue
        attributes = [b"\\HasChildren" if summary.name in parents else b"\\HasNoChildren"]
        if summary.specialUse:
            attributes.append(summary.specialUse.encode("ascii"))
        if isSubscribed and b"SUBSCRIBED" in selected | returned:
            attributes.append(b"\\Subscribed")
        yield b'* LIST (%b) "/" %b\r\n' % (b" ".join(attributes), answers.mailbox(summary.name))


def _lsubLines(found: Mailboxes, names: Iterable[str]) -> Iterable[bytes]:
    existing = frozenset(summary.name for summary in found.mailboxes)
    subscribed = frozenset(found.subscriptions)
    for name in names:
        attribute = b"" if name in subscribed and name in existing else b"\\Noselect"
        yield b'* LSUB (%b) "/" %b\r\n' % (attribute, answers.mailbox(name))


def _superiors(names: Iterable[str]) -> frozenset[str]:
    """All names that others lie below."""
    found: set[str] = set()
    for name in names:
        at = name.rfind(HIERARCHY_DELIMITER)
        while at > 0 and name[:at] not in found:
            found.add(name[:at])
            at = name.rfind(HIERARCHY_DELIMITER, 0, at)
    return frozenset(found)

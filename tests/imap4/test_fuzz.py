"""Anything a client may send: answers of ours come, and nothing else; the session is never out of step."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.imap4.limits import Limits
from tests.imap4.node import Node

_COMMANDS = st.sampled_from(
    [b"NOOP", b"SELECT INBOX", b"EXAMINE INBOX", b"FETCH 1:* (FLAGS BODY[])", b"UID FETCH 1:* ALL", b"STORE 1 +FLAGS (\\Deleted)", b"EXPUNGE",
     b"APPEND INBOX {3+}\r\nabc", b"APPEND INBOX {70000+}\r\nabc", b"COPY 1:* Trash", b"MOVE 1 Archive", b"SEARCH OR SEEN BODY x", b"CLOSE",
     b"IDLE\r\nDONE", b"IDLE\r\nx", b'LIST "" *', b"STATUS INBOX (UNSEEN)", b"CREATE x/y", b"DELETE x", b"RENAME INBOX z", b"ENABLE CONDSTORE",
     b"FETCH 1:* (MODSEQ) (CHANGEDSINCE 1)", b"UNSELECT", b"CAPABILITY", b"LSUB \"\" %", b"SUBSCRIBE x", b"AUTHENTICATE PLAIN\r\nxx",
     b"UID STORE 1:* -FLAGS.SILENT (x \\Seen)", b"LOGIN {1}\r\nx y", b"UID EXPUNGE 1:*", b"ID NIL", b"SEARCH (((", b"FETCH 1 BODY[1.2.3.MIME]<5.5>"]
)  # fmt: skip
_NOISE = st.one_of(
    st.binary(max_size=5),
    st.sampled_from(
        [b"\r\n", b"{5}\r\n", b"{5+}\r\n", b'"', b"(", b"a X", b"\n", b"\0", b"*", b"{99999999999+}\r\n"]
    ),
)
_LIMITS = Limits(badCommandsMax=10_000, messageOctetsMax=1000)
_LINE = re.compile(rb"(?:\* |\+ |[^ ]+ (?:OK|NO|BAD) ).*\Z", re.DOTALL)


def _afterLiterals(said: bytes) -> list[bytes]:
    """The lines of the server, its literals left out."""
    lines, at = [], 0
    while at < len(said):
        end = said.index(b"\r\n", at)
        line, at = said[at:end], end + 2
        while match := re.search(rb"\{(\d+)\}\Z", line):
            at += int(match[1])
            end = said.index(b"\r\n", at)
            line, at = line + said[at:end], end + 2
        lines.append(line)
    return lines


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.one_of(_COMMANDS.map(lambda command: b"t " + command + b"\r\n"), _NOISE), max_size=14),
    st.data(),
)
def test_whateverIsSentIsAnsweredProperly(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    node = Node(_LIMITS)
    node.append(b"Subject: x\r\n\r\nbody\r\n")
    protocol, wire = node.connect()
    protocol.log = _NoFault()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        protocol.dataReceived(octets[start:stop])
        node.turn()
    for line in _afterLiterals(wire.value()):
        assert _LINE.match(line), line
    assert b"SERVERBUG" not in wire.value()


@settings(max_examples=150, deadline=None)
@given(st.lists(_COMMANDS, max_size=10), st.data())
def test_thePiecesDoNotMatter(commands: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(b"t%d %b\r\n" % (number, command) for number, command in enumerate(commands))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    said = []
    for pieces in ([octets], [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]):
        node = Node(_LIMITS)
        node.append(b"Subject: x\r\n\r\nbody\r\n")
        protocol, wire = node.connect()
        protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
        for piece in pieces:
            protocol.dataReceived(piece)
            node.turn()
        said.append(wire.value())
    assert said[0] == said[1]


class _NoFault:
    def failure(self, text: str, failure: object = None, **fields: object) -> None:
        raise AssertionError(failure)

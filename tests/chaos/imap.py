"""A strict IMAP client: it keeps the view that the server's untagged responses make (RFC 3501 §7.4), and notes what cannot be.

A session's numbers must make sense on their own: a number means the same UID until an EXPUNGE moves it, EXISTS never shrinks a mailbox, UIDs rise.
"""

from __future__ import annotations

import re
import select
from dataclasses import dataclass

from bench.wire import Line, WireError
from tests.chaos.promises import Reading, Row
from tests.support.ledger import letter, numberOf

RESPONSES_MAX = 100_000
_LITERAL = re.compile(rb"\{(\d+)\}$")
_NUMBERED = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)", re.DOTALL)
_VANISHED = re.compile(rb"\* VANISHED (?:\(EARLIER\) )?([\d:,]+)")
_UID = re.compile(rb"[( ]UID (\d+)")
_MODSEQ = re.compile(rb"[( ]MODSEQ \((\d+)\)")
_FLAGS = re.compile(rb"[( ]FLAGS \(([^)]*)\)")


class ImapRefused(WireError):
    """A tagged NO or BAD; the outcome of what was asked is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response: its text with literals left out, and the literals."""

    text: bytes
    literals: tuple[bytes, ...] = ()


class Imap(Line):
    """
    A logged-in session.

    @ivar view: the UID at each number of the selected mailbox, None where it was not told yet.
    @ivar wrong: what the server told and cannot be.
    @ivar goodbye: its BYE.
    """

    def __init__(self, host: str, port: int, login: str, password: str, timeoutSeconds: float = 30.0) -> None:
        super().__init__(host, port, timeoutSeconds)
        self.view: list[int | None] = []
        self.wrong: list[str] = []
        self.goodbye = b""
        self._tag = 0
        greeting = self.line()
        if not greeting.startswith(b"* OK"):
            raise WireError(f"greeted with {greeting!r}")
        self.command(b"LOGIN %s %s" % (_quoted(login), _quoted(password)))

    # --- commands ------------------------------------------------------------------------------------------

    def command(self, words: bytes, literal: bytes | None = None) -> tuple[bytes, list[Response]]:
        """Send a command; the text of its OK, and the untagged responses before it.

        @raise ImapRefused: it was answered NO or BAD.
        """
        self._tag += 1
        tag = b"a%d" % self._tag
        if literal is None:
            self.write(b"%s %s\r\n" % (tag, words))
            return self._until(tag)
        self.write(b"%s %s {%d}\r\n" % (tag, words, len(literal)))
        before = []
        while not (response := self.response()).text.startswith(b"+"):
            if response.text.startswith(tag):
                raise ImapRefused(response.text.decode())
            before.append(response)
        self.write(literal + b"\r\n")
        text, after = self._until(tag)
        return text, before + after

    def choose(self, mailbox: str, *, readOnly: bool = False) -> tuple[int, int, int]:
        """SELECT with CONDSTORE; UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ."""
        self.view.clear()
        verb = b"EXAMINE" if readOnly else b"SELECT"
        _, responses = self.command(b"%s %s (CONDSTORE)" % (verb, _quoted(mailbox)))
        said = b"\n".join(response.text for response in responses)
        found = [
            re.search(rb"\[%s (\d+)\]" % word, said)
            for word in (b"UIDVALIDITY", b"UIDNEXT", b"HIGHESTMODSEQ")
        ]
        if not all(found):
            raise WireError(f"SELECT does not say all: {said!r}")
        validity, uidNext, highestModseq = (int(each[1]) for each in found if each)
        return validity, uidNext, highestModseq

    def reading(self, mailbox: str, *, octets: bool) -> Reading:
        """The whole of a mailbox; with `octets` every message is compared with what was sent, else its subject only."""
        validity, uidNext, highestModseq = self.choose(mailbox, readOnly=True)
        what = b"BODY.PEEK[]" if octets else b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
        rows: dict[int, Row] = {}
        if self.view:
            _, responses = self.command(b"UID FETCH 1:* (UID FLAGS MODSEQ %s)" % what)
            for response in responses:
                row = _row(response, octets=octets)
                if row is not None:
                    rows[row.uid] = row
        return Reading(
            uidValidity=validity,
            uidNext=uidNext,
            highestModseq=highestModseq,
            rows=sorted(rows.values(), key=_byUid),
        )

    def damaged(self, mailbox: str) -> int:
        """How many messages of a mailbox are refused as damaged; all others must be what was sent."""
        self.choose(mailbox, readOnly=True)
        self.learnUids()
        count = 0
        for uid in list(self.view):
            try:
                _, responses = self.command(b"UID FETCH %d (UID FLAGS MODSEQ BODY.PEEK[])" % (uid or 0))
            except ImapRefused as refused:
                if "NO [CORRUPTION]" not in str(refused):
                    raise
                count += 1
            else:
                rows = filter(None, (_row(response, octets=True) for response in responses))
                if not all(row.number for row in rows):
                    self.wrong.append(f"UID {uid} is not what was sent")
        return count

    def append(self, mailbox: str, message: bytes) -> None:
        """APPEND."""
        self.command(b"APPEND %s" % _quoted(mailbox), message)

    def learnUids(self) -> None:
        """Ask for the UIDs of all numbers of the view."""
        if self.view:
            self.command(b"FETCH 1:* (UID)")

    def idle(self, seconds: float) -> None:
        """IDLE, and take what comes for some time at most."""
        self._tag += 1
        tag = b"a%d" % self._tag
        self.write(tag + b" IDLE\r\n")
        while not (response := self.response()).text.startswith(b"+"):
            if response.text.startswith(tag):
                raise ImapRefused(response.text.decode())
        while self._hasMore(seconds):
            self.response()
        self.write(b"DONE\r\n")
        self._until(tag)

    def logout(self) -> None:
        """LOGOUT and close."""
        self.command(b"LOGOUT")
        self.socket.close()

    # --- responses -----------------------------------------------------------------------------------------

    def response(self) -> Response:
        """The next response, which the view has taken into account."""
        text, literals = bytearray(), []
        while True:
            line = self.line()
            text += line
            match = _LITERAL.search(line)
            if match is None:
                break
            literals.append(self._octets(int(match[1])))
        response = Response(text=bytes(text), literals=tuple(literals))
        if response.text.startswith(b"* BYE"):
            self.goodbye = response.text
        self._follow(response.text)
        return response

    def _until(self, tag: bytes) -> tuple[bytes, list[Response]]:
        responses: list[Response] = []
        while len(responses) < RESPONSES_MAX:
            response = self.response()
            if response.text.startswith(tag + b" "):
                if response.text.startswith(tag + b" OK"):
                    return response.text, responses
                raise ImapRefused(response.text.decode())
            responses.append(response)
        raise WireError("no end of responses")

    def _octets(self, count: int) -> bytes:
        octets = bytearray(self._buffer)
        while len(octets) < count:
            self._buffer = b""
            self._more()
            octets += self._buffer
        self._buffer = bytes(octets[count:])
        return bytes(octets[:count])

    def _hasMore(self, seconds: float) -> bool:
        return bool(self._buffer) or bool(select.select([self.socket], [], [], seconds)[0])

    def _follow(self, text: bytes) -> None:
        numbered = _NUMBERED.match(text)
        if numbered is not None:
            self._number(int(numbered[1]), numbered[2], numbered[3])
        elif (vanished := _VANISHED.match(text)) is not None and b"EARLIER" not in text:
            gone = set(uidsOf(vanished[1]))
            self.view = [uid for uid in self.view if uid not in gone]

    def _number(self, number: int, kind: bytes, rest: bytes) -> None:
        if kind == b"EXISTS":
            if number < len(self.view):
                self.wrong.append(f"EXISTS fell from {len(self.view)} to {number}")
            self.view += [None] * (number - len(self.view))
        elif not 1 <= number <= len(self.view):
            self.wrong.append(f"{kind.decode()} of number {number} of {len(self.view)}")
        elif kind == b"EXPUNGE":
            self.view.pop(number - 1)
        elif (uid := _UID.search(rest)) is not None:
            self._place(number, int(uid[1]))

    def _place(self, number: int, uid: int) -> None:
        if self.view[number - 1] not in (None, uid):
            self.wrong.append(f"number {number} was UID {self.view[number - 1]} and is {uid}")
        self.view[number - 1] = uid
        known = [each for each in self.view if each is not None]
        if known != sorted(set(known)):
            self.wrong.append(f"UIDs do not rise: {known}")


def uidsOf(uidSet: bytes) -> list[int]:
    """The UIDs of a set like 1:3,7."""
    found: list[int] = []
    for part in uidSet.split(b","):
        first, _, last = part.partition(b":")
        found += range(int(first), int(last or first) + 1)
    return found


def uidSet(uids: list[int]) -> bytes:
    """The set of these UIDs."""
    return b",".join(b"%d" % uid for uid in uids)


def soundNumber(message: bytes) -> int | None:
    """The number of a message with the octets that were sent, else None."""
    number = numberOf(message)
    return number if number is not None and message.endswith(letter(number)) else None


def _row(response: Response, *, octets: bool) -> Row | None:
    uid, modseq, flags = (each.search(response.text) for each in (_UID, _MODSEQ, _FLAGS))
    if not response.literals or uid is None or modseq is None or flags is None:
        return None
    content = response.literals[0]
    return Row(
        uid=int(uid[1]),
        number=soundNumber(content) if octets else numberOf(content),
        flags=frozenset(flags[1].decode().split()),
        modseq=int(modseq[1]),
    )


def _byUid(row: Row) -> int:
    return row.uid


def _quoted(text: str) -> bytes:
    return b'"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').encode()

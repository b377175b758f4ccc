"""The POP3 session: the command table, and the TRANSACTION and UPDATE states (RFC 1939 §5, §6)."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, Final

from jindimail.errors import JindimailError, ProtocolError, Refusal
from jindimail.model import Vanished
from jindimail.pop3.authorization import Authorization
from jindimail.pop3.maildrop import NoSuchMessage, number
from jindimail.pop3.stuffing import Excerpt, Stuffer, isWithin, stuffed
from jindimail.store.records import MessageRow

_EXCERPT_OCTETS: Final = 65_536
_BEFORE, _AFTER, _ALWAYS = "before the login", "after the login", "always"
_MANY: Final = 512

# verb → (least arguments, most arguments, when): RFC 1939 §5-7, RFC 2449 §5, RFC 2595 §4, RFC 5034 §4
_COMMANDS: Final[dict[bytes, tuple[int, int, str]]] = {
    b"AUTH": (0, 2, _BEFORE),
    b"CAPA": (0, 0, _ALWAYS),
    b"DELE": (1, 1, _AFTER),
    b"LIST": (0, 1, _AFTER),
    b"NOOP": (0, 0, _AFTER),
    b"PASS": (1, _MANY, _BEFORE),
    b"QUIT": (0, 0, _ALWAYS),
    b"RETR": (1, 1, _AFTER),
    b"RSET": (0, 0, _AFTER),
    b"STAT": (0, 0, _AFTER),
    b"STLS": (0, 0, _BEFORE),
    b"TOP": (2, 2, _AFTER),
    b"UIDL": (0, 1, _AFTER),
    b"USER": (1, 1, _BEFORE),
}


class UnknownCommand(ProtocolError):
    """No such verb."""

    pop3Text = "unknown command"


class BadArguments(ProtocolError):
    """Too few or too many."""

    pop3Text = "wrong number of arguments"


class WrongState(Refusal):
    """The command belongs to the other state."""

    pop3Code = ""
    pop3Text = "not in this state"


class Pop3(Authorization):
    """A POP3 server connection of an account of the array."""

    def processCommand(self, command: bytes, *args: bytes) -> Coroutine[Any, Any, None] | None:
        """Check a command against the table and carry it out."""
        verb = command.upper()
        shape = _COMMANDS.get(verb)
        if shape is None:
            raise UnknownCommand
        least, most, when = shape
        if b"" in args and verb != b"PASS":
            args = tuple(arg for arg in args if arg)
        if not least <= len(args) <= most:
            raise BadArguments
        if when is not _ALWAYS and (when is _AFTER) != (self.account is not None):
            raise WrongState
        return getattr(self, "do_" + verb.decode("ascii"))(*args)  # type: ignore[no-any-return]

    def do_STAT(self) -> None:
        """RFC 1939 §5."""
        self.successResponse(b"%d %d" % (self.maildrop.count, self.maildrop.octets))

    def do_LIST(self, i: bytes | None = None) -> Coroutine[Any, Any, None] | None:
        """RFC 1939 §5."""
        if i is None:
            text = b"%d messages (%d octets)" % (self.maildrop.count, self.maildrop.octets)
            return self._sendLines(text, self.maildrop.listings())
        self.successResponse(self.maildrop.listing(i))
        return None

    def do_UIDL(self, i: bytes | None = None) -> Coroutine[Any, Any, None] | None:
        """RFC 1939 §7."""
        if i is None:
            return self._sendLines(b"unique ids follow", self.maildrop.uniqueIds())
        self.successResponse(self.maildrop.uniqueId(i))
        return None

    def do_RETR(self, i: bytes) -> Coroutine[Any, Any, None]:
        """RFC 1939 §5. No flag is changed: \\Seen stays what IMAP clients made it."""
        return self._retrieve(i)

    def do_TOP(self, i: bytes, size: bytes) -> Coroutine[Any, Any, None]:
        """RFC 1939 §7."""
        return self._excerpt(i, number(size))

    def do_DELE(self, i: bytes) -> None:
        """RFC 1939 §5."""
        self.maildrop.delete(i)
        self.successResponse()

    def do_NOOP(self) -> None:
        """RFC 1939 §5."""
        self.successResponse()

    def do_RSET(self) -> None:
        """RFC 1939 §5."""
        self.maildrop.reset()
        self.successResponse(b"%d messages" % self.maildrop.count)

    def do_QUIT(self) -> Coroutine[Any, Any, None] | None:
        """RFC 1939 §6: the deletions are durable, and the lock is free, before the answer."""
        if self.account is not None:
            return self._update()
        self.successResponse(b"bye")
        self.close()
        return None

    # --- Sending ----------------------------------------------------------------------------------------

    async def _retrieve(self, argument: bytes) -> None:
        row = await self._row(argument)
        limits = self.limits
        isWhole = row.size <= limits.wholeOctetsMax
        octets = await self._firstOctets(
            row, row.size if isWhole else limits.pieceOctets, isPiece=not isWhole
        )
        head = b"+OK %d octets\r\n" % row.size
        if len(octets) >= row.size:
            self.send(head, stuffed(octets))
            return
        self.send(head)
        await self._sendPieces(row, octets, None)

    async def _excerpt(self, argument: bytes, lines: int) -> None:
        row = await self._row(argument)
        octets = await self._firstOctets(row, _EXCERPT_OCTETS)
        if len(octets) < row.size and not isWithin(octets, lines):
            await self.mailbox.octets(
                row, row.size - 1, isPiece=True
            )  # sound as a whole, before it is promised
        self.successResponse(b"top of message follows")
        await self._sendPieces(row, octets, Excerpt(lines))

    async def _firstOctets(self, row: MessageRow, octetsMax: int, isPiece: bool = False) -> bytes:
        octets: bytes = await self.mailbox.octets(row, 0, min(octetsMax, row.size), isPiece=isPiece)
        if not octets and row.size:
            raise NoSuchMessage
        return octets

    async def _sendPieces(self, row: MessageRow, octets: bytes, excerpt: Excerpt | None) -> None:
        """Send a message from its first octets on, a piece at a time, as fast as the client takes it."""
        stuffer = Stuffer()
        sent, step = 0, len(octets)
        try:
            while True:
                sent += len(octets)
                self.send(stuffer.stuff(excerpt.cut(octets) if excerpt is not None else octets))
                if sent >= row.size or (excerpt is not None and excerpt.isComplete):
                    break
                await self.room()
                stop = min(sent + step, row.size)
                read = partial(self.mailbox.octets, row, sent, stop, isPiece=excerpt is None)
                octets = await self.patiently(read)
                if not octets:
                    raise NoSuchMessage
        except BaseException:
            self.cutOff()
            raise
        self.send(stuffer.end())

    async def _sendLines(self, text: bytes, pieces: Iterator[bytes]) -> None:
        self.successResponse(text)
        for piece in pieces:
            self.send(piece)
            await self.share()
        self.send(b".\r\n")

    # --- Other sessions' changes, and ours --------------------------------------------------------------

    async def _row(self, argument: bytes) -> MessageRow:
        """A message's row, if no other session has removed it."""
        if self._isChanged:
            await self._learnVanished()
        return self.maildrop.row(argument)

    async def _learnVanished(self) -> None:
        self._isChanged = False
        while True:
            try:
                changes = await self.mailbox.changes(self._modSeq)
            except JindimailError:
                self._isChanged = True
                raise
            if not changes.resumable:
                self.maildrop.keepOnly({row.uid for row in await self.mailbox.rows()})
            for change in changes.changes:
                if isinstance(change, Vanished):
                    self.maildrop.vanish(change.uids)
            self._modSeq = changes.modSeq
            if not changes.changes:
                return

    async def _update(self) -> None:
        """The UPDATE state. What fails is said; then the deletions may or may not be done (RFC 1939 §6)."""
        try:
            deleted = self.maildrop.deletedUids()
            if deleted:
                if self._isChanged:
                    await self._learnVanished()
                await self.account.unlockPop(self._lock, self.mailbox, deleted)
            else:
                await self._unlock()
        except JindimailError as error:
            self.refuse(error)
        else:
            self.successResponse(b"bye")
        self.close()

    async def _unlock(self) -> None:
        """Give the lock back, so that the client may log in again at once."""
        try:
            await self.account.unlockPop(self._lock)
        except JindimailError:
            self.log.failure("lock of session {session} not given back", session=self.sessionId)

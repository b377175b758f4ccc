"""
What an SMTP, submission or LMTP session answers (RFC 5321, 6409, 2033), apart from connections and buffers.

The shell (protocol.py) hands over one command line at a time and waits for its answer: octets, or a coroutine of octets. While
`receiver` is set, what comes in is not commands but a message, and goes there; `received` is the answer at its end. `after` tells what
the shell does when an answer is on its way: nothing, close, or start TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.logger import Logger

from jindimail.directory import sasl
from jindimail.edge.peers import Peer
from jindimail.errors import AuthenticationFailed, JindimailError, RelayDenied, StorageFull, TooLarge
from jindimail.model import Body, Recipient
from jindimail.smtp import reply, state, syntax, trace
from jindimail.smtp.data import ChunkReceiver, Content, DataReceiver, Receiver
from jindimail.smtp.filing import fileMessage
from jindimail.smtp.login import Login
from jindimail.smtp.outcome import answerAll, answerEach
from jindimail.smtp.reply import replyOf
from jindimail.smtp.surroundings import Surroundings
from jindimail.smtp.transaction import Transaction

_log = Logger(
    "jindimail.smtp.dialogue.Dialogue"
)  # for what each message is told with: a class's makes another each time
Answer = bytes | Coroutine[Any, Any, bytes]

NOTHING: Final = 0
CLOSE: Final = 1
START_TLS: Final = 2


class Dialogue:
    """One session. Commands are methods named as they are, in lower case."""

    def __init__(
        self,
        surroundings: Surroundings,
        peer: Peer,
        session: Any,
        *,
        mayStartTls: bool,
        isEncrypted: bool,
        describeTls: Callable[[], str],
    ) -> None:
        """`session` is from `ISessions`; `describeTls` is asked for version and cipher once there is TLS."""
        self.receiver: Receiver | None = None
        self.after = NOTHING
        self._surroundings = surroundings
        self._limits = surroundings.limits
        self._rules = surroundings.service.rules
        self._peer = peer
        self._session = session
        self._mayStartTls = mayStartTls
        self._login = Login(surroundings, peer, session)
        self._badCommands = 0
        self._refusedRecipients = 0
        self._describeTls = describeTls
        self._forget(isEncrypted)

    def _forget(self, isEncrypted: bool) -> None:
        """Begin anew, as if the client had just connected (RFC 3207 §4.2)."""
        self._isEncrypted = isEncrypted
        self._tls = ""
        self._client = ""
        self._protocol = ""
        self._state = state.NEW
        self._exchange: sasl.Exchange | None = None
        self._transaction: Transaction | None = None
        self._isDelivering = False
        self._chunkRefusal: bytes | None = None
        self._login.logOff()

    # --- for the shell -----------------------------------------------------------------------------------

    @property
    def isIdle(self) -> bool:
        """Whether nothing of a message is under way."""
        return self.receiver is None and not self._isDelivering

    @property
    def isAuthenticating(self) -> bool:
        """Whether the next line belongs to AUTH."""
        return self._exchange is not None

    @property
    def isStranger(self) -> bool:
        """Whether the client is nobody that we know."""
        return not self._surroundings.service.isTrusted and self._login.account is None

    def greeting(self) -> bytes:
        """The first reply of all (RFC 5321 §4.2, RFC 2033 §4.1)."""
        around = self._surroundings
        return reply.reply(220, "", f"{around.hostName} {around.service.greetingWord} jindimail")

    def command(self, line: bytes) -> Answer:
        """The answer to a line, given without its line end."""
        if self._exchange is not None:
            return self._authStep(self._exchange, line)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return self.bad(reply.NOT_TEXT)
        if not text.isprintable():
            text = text.replace("\t", " ")
            if not text.isprintable():
                return self.bad(reply.NOT_TEXT)
        verb, _, rest = text.partition(" ")
        rule = self._rules.get(verb)
        if rule is None:
            verb = verb.upper()
            rule = self._rules.get(verb)
            if rule is None:
                return self.bad(reply.UNKNOWN_COMMAND)
        if not self._state & rule.states:
            return self.bad(rule.otherwise[self._state])
        self._session.activity = verb
        try:
            return _COMMANDS[verb](self, rest.strip(" "))
        except syntax.BadSyntax as error:
            return self.bad(replyOf(error))

    def bad(self, answer: bytes) -> bytes:
        """A refusal that counts: a client that makes too many mistakes is shown the door."""
        self._exchange = None
        self._badCommands += 1
        if self._badCommands >= self._limits.badCommandsMax:
            return self.hangUp(reply.TOO_MANY_ERRORS)
        return answer

    def hangUp(self, answer: bytes) -> bytes:
        """The last answer."""
        self.after = CLOSE
        return answer

    def received(self) -> Answer:
        """The answer to the end of a message or chunk, which `receiver` has just seen."""
        receiver, self.receiver = self.receiver, None
        transaction = self._transaction
        if isinstance(receiver, ChunkReceiver):
            refusal, self._chunkRefusal = self._chunkRefusal, None
            if refusal is not None:
                return self.bad(refusal)
            assert transaction is not None
            transaction.held = receiver.held
            if not receiver.isLast:
                fault = receiver.content.fault
                return reply.RESET if fault is None else replyOf(fault)
        assert transaction is not None
        return self._endMessage(transaction)

    def isOverrun(self) -> bool:
        """Whether the client goes on and on with a message that is refused already."""
        limits = self._limits
        receiver = self.receiver
        return receiver is not None and receiver.content.octets > (
            limits.messageOctetsMax + limits.overrunOctetsMax
        )

    def tlsStarted(self) -> None:
        """The connection is encrypted now; nothing that was said before counts."""
        self.after = NOTHING
        self._abort()
        self._forget(isEncrypted=True)

    def trouble(self) -> bytes:
        """The answer when something of ours broke."""
        if self.receiver is not None:
            return self.hangUp(reply.LEAVING)
        transaction = self._transaction
        if not self._isDelivering or transaction is None:
            return reply.TROUBLE
        self._isDelivering = False
        self._reset()
        return self._toRecipients(reply.TROUBLE, transaction)

    def end(self) -> None:
        """The connection is gone; what is being delivered is delivered all the same."""
        self._login.end()
        self.receiver = None
        if not self._isDelivering:
            self._abort()

    # --- greetings and small commands --------------------------------------------------------------------

    def ehlo(self, rest: str) -> bytes:
        """EHLO (RFC 5321 §4.1.1.1)."""
        self._greet(rest, "ESMTP")
        first = f"{self._surroundings.hostName} greets {self._peer.address or 'you'}"
        return reply.replyLines(250, [first, *self._extensions()])

    def lhlo(self, rest: str) -> bytes:
        """LHLO (RFC 2033 §4.1)."""
        answer = self.ehlo(rest)
        self._protocol = "LMTP"
        return answer

    def helo(self, rest: str) -> bytes:
        """HELO, of clients without extensions."""
        self._greet(rest, "SMTP")
        return reply.reply(250, "", self._surroundings.hostName)

    def rset(self, rest: str) -> bytes:
        """RSET (RFC 5321 §4.1.1.5)."""
        if rest:
            return self.bad(reply.NO_ARGUMENTS)
        self._reset()
        return reply.RESET

    def noop(self, rest: str) -> bytes:
        """NOOP."""
        return reply.RESET

    def help(self, rest: str) -> bytes:
        """HELP."""
        return reply.HELP

    def vrfy(self, rest: str) -> bytes:
        """VRFY, which tells nothing (RFC 5321 §7.3)."""
        return reply.VERIFY if rest else self.bad(replyOf(syntax.BadSyntax))

    def expn(self, rest: str) -> bytes:
        """EXPN, not offered."""
        return reply.NO_EXPAND

    def quit(self, rest: str) -> bytes:
        """QUIT."""
        if rest:
            return self.bad(reply.NO_ARGUMENTS)
        return self.hangUp(reply.GOODBYE)

    def starttls(self, rest: str) -> bytes:
        """STARTTLS (RFC 3207)."""
        if rest:
            return self.bad(reply.NO_ARGUMENTS)
        if self._isEncrypted:
            return self.bad(reply.ALREADY_TLS)
        if not self._mayStartTls:
            return self.bad(reply.NO_TLS)
        self.after = START_TLS
        return reply.READY_FOR_TLS

    def _greet(self, rest: str, protocol: str) -> None:
        self._client = syntax.parseName(rest)
        self._tls = self._describeTls() if self._isEncrypted else ""
        self._protocol = protocol
        self._reset()
        self._state = state.READY

    def _extensions(self) -> list[str]:
        extensions = ["PIPELINING", f"SIZE {self._limits.messageOctetsMax}", "8BITMIME", "SMTPUTF8"]
        extensions += ["ENHANCEDSTATUSCODES", "CHUNKING", "HELP"]
        if self._mayStartTls and not self._isEncrypted:
            extensions.append("STARTTLS")
        if "AUTH" in self._rules and self._login.account is None and self._maySendPassword():
            extensions.append("AUTH " + " ".join(sasl.MECHANISMS))
        return extensions

    # --- authentication (RFC 4954) -----------------------------------------------------------------------

    def auth(self, rest: str) -> Answer:
        """AUTH."""
        if self._login.account is not None:
            return self.bad(reply.ALREADY_AUTHENTICATED)
        if not self._maySendPassword():
            return self.bad(reply.NEEDS_TLS)
        mechanism, response = syntax.parseAuth(rest)
        try:
            exchange = sasl.begin(mechanism)
        except sasl.UnknownMechanism as error:
            return self.bad(replyOf(error))
        return self._authStep(exchange, response)

    def _maySendPassword(self) -> bool:
        """No password before TLS, except on loopback where that is configured."""
        return self._isEncrypted or (self._surroundings.plaintextPasswords and self._peer.isLoopback)

    def _authStep(self, exchange: sasl.Exchange, line: bytes | None) -> Answer:
        self._exchange = None
        try:
            step = exchange.step(line)
        except AuthenticationFailed as error:
            return self._loginAnswer(self._login.refuse(error))
        except JindimailError as error:
            return self.bad(replyOf(error))
        if isinstance(step, sasl.Challenge):
            self._exchange = exchange
            return b"334 " + step.line + b"\r\n"
        return self._attemptLogin(step)

    async def _attemptLogin(self, credentials: sasl.Credentials) -> bytes:
        return self._loginAnswer(await self._login.attempt(credentials))

    def _loginAnswer(self, answer: bytes) -> bytes:
        return self.hangUp(reply.TOO_MANY_ERRORS) if self._login.isExhausted else answer

    # --- the envelope ------------------------------------------------------------------------------------

    def mail(self, rest: str) -> Answer:
        """MAIL."""
        around = self._surroundings
        if around.service.needsLogin and self._login.account is None:
            return reply.NEEDS_LOGIN
        mail = syntax.parseMail(rest)
        if mail.sizeOctets > self._limits.messageOctetsMax:
            return replyOf(TooLarge)
        if not around.delivery.maySpool():
            return replyOf(StorageFull)
        if self._login.account is not None and mail.sender:
            return self._ownMail(mail)
        return self._begin(mail)

    async def _ownMail(self, mail: syntax.Mail) -> bytes:
        """Mail of a login: from its own addresses only (RFC 6409 §6.1)."""
        try:
            isOwn = await self._login.account.owns(mail.sender)
        except JindimailError as error:
            return replyOf(error)
        return self._begin(mail) if isOwn else reply.NOT_YOURS

    def _begin(self, mail: syntax.Mail) -> bytes:
        self._transaction = Transaction(mail)
        self._state = state.MAIL
        return reply.SENDER_OK

    def rcpt(self, rest: str) -> Answer:
        """RCPT."""
        transaction = self._transaction
        assert transaction is not None
        address = syntax.parseRcpt(rest, transaction.mail.isUtf8)
        # Servers bring later what they are told 452 for; mail programs give all of the message up.
        count = transaction.targets if self.isStranger else len(transaction.recipients)
        if count >= self._limits.recipientsMax:
            return reply.TOO_MANY_RECIPIENTS
        return self._resolve(transaction, address)

    async def _resolve(self, transaction: Transaction, address: str) -> bytes:
        try:
            recipient: Recipient = await self._surroundings.delivery.resolve(
                address, transaction.mail.sizeOctets
            )
        except JindimailError as error:
            return self._refuseRecipient(error)
        transaction.add(recipient)
        self._state = state.RCPT
        return reply.RECIPIENT_OK

    def _refuseRecipient(self, error: JindimailError) -> bytes:
        service = self._surroundings.service
        if self.isStranger and not reply.isTemporary(error):
            self._refusedRecipients += 1
            if self._refusedRecipients >= self._limits.refusedRecipientsMax:
                return self.hangUp(reply.TOO_MANY_ERRORS)
        if service.needsLogin and isinstance(error, RelayDenied):
            return reply.NOT_SENT_ON
        return replyOf(error)

    # --- the message -------------------------------------------------------------------------------------

    def data(self, rest: str) -> bytes:
        """DATA."""
        if rest:
            return self.bad(reply.NO_ARGUMENTS)
        content = self._receive()
        if content.fault is not None:
            fault = content.fault
            self._reset()
            return replyOf(fault)
        self.receiver = DataReceiver(content)
        return reply.GO_AHEAD

    def bdat(self, rest: str) -> bytes:
        """BDAT (RFC 3030). Its octets are read whatever the answer; a size that cannot be read ends the session."""
        try:
            chunk = syntax.parseChunk(rest)
        except syntax.BadSyntax as error:
            return self.hangUp(replyOf(error))
        if not self._state & state.CHUNK.states:
            self._chunkRefusal = state.CHUNK.otherwise[self._state]
            self.receiver = ChunkReceiver(Content(_drop, 0), chunk.octets, chunk.isLast)
            return b""
        transaction = self._transaction
        assert transaction is not None
        content = self._receive() if transaction.content is None else transaction.content
        self._state = state.BDAT
        self.receiver = ChunkReceiver(content, chunk.octets, chunk.isLast, transaction.held)
        return b""

    def _receive(self) -> Content:
        """Make ready for the transaction's message."""
        around, transaction = self._surroundings, self._transaction
        assert transaction is not None
        deliveryId, seconds = around.delivery.newDeliveryId(), around.seconds()
        passage = trace.Passage(
            client=self._client,
            peer=self._peer.address,
            hostName=around.hostName,
            protocol=self._protocol,
            tls=self._tls,
            isAuthenticated=self._login.account is not None,
        )
        if not around.service.answersPerRecipient and (len(transaction.recipients) > 1 or around.partlyFiled):
            transaction.digestContent()
        received = trace.received(passage, deliveryId, transaction.mail.isUtf8, seconds)
        added = None
        if around.service.needsLogin:
            messageId = f"Message-ID: <{deliveryId.hex()}@{around.hostName}>\r\n"
            added = f"Date: {trace.date(seconds)}\r\n".encode(), messageId.encode()
        return transaction.receive(around.spool, deliveryId, received, self._limits.messageOctetsMax, added)

    def _endMessage(self, transaction: Transaction) -> Answer:
        body = transaction.finish()
        if body is None:
            assert transaction.content is not None and transaction.content.fault is not None
            self._reset()
            return self._toRecipients(replyOf(transaction.content.fault), transaction)
        self._isDelivering = True
        return self._deliver(transaction, body)

    async def _deliver(self, transaction: Transaction, body: Body) -> bytes:
        try:
            outcomes = await fileMessage(self._surroundings, transaction, body)
        finally:
            transaction.discard()
        self._isDelivering = False
        self._reset()
        self._badCommands = 0
        each = self._surroundings.service.answersPerRecipient
        answer = (answerEach if each else answerAll)(outcomes, transaction.deliveryId)
        _log.info(
            "{session} message {delivery} from <{sender}>, {octets} octets, {recipients} recipients: {answer}",
            session=self._session.id,
            delivery=transaction.deliveryId.hex(),
            sender=transaction.mail.sender,
            octets=body.size,
            recipients=len(outcomes),
            answer=answer[:9].decode(),
        )
        return answer

    def _toRecipients(self, answer: bytes, transaction: Transaction) -> bytes:
        """The same answer for all recipients, in LMTP as often as there are any."""
        if self._surroundings.service.answersPerRecipient:
            return answer * len(transaction.recipients)
        return answer

    def _reset(self) -> None:
        """End the transaction, if there is one."""
        self._abort()
        if self._state != state.NEW:
            self._state = state.READY

    def _abort(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.discard()


def _drop(octets: bytes) -> None:
    """Where octets go that nobody wants."""


_COMMANDS: Final[dict[str, Callable[[Dialogue, str], Answer]]] = {
    "EHLO": Dialogue.ehlo,
    "LHLO": Dialogue.lhlo,
    "HELO": Dialogue.helo,
    "MAIL": Dialogue.mail,
    "RCPT": Dialogue.rcpt,
    "DATA": Dialogue.data,
    "BDAT": Dialogue.bdat,
    "RSET": Dialogue.rset,
    "NOOP": Dialogue.noop,
    "HELP": Dialogue.help,
    "VRFY": Dialogue.vrfy,
    "EXPN": Dialogue.expn,
    "QUIT": Dialogue.quit,
    "STARTTLS": Dialogue.starttls,
    "AUTH": Dialogue.auth,
}

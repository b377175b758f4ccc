"""
The manhole: an SSH shell into the live node, for its operators.

Public keys only, from one file that is read at each login; whoever holds one of them is let in under any user name, and is
called by the comment of the key. The shell is Python; its namespace is the verbs, and `node` with the parts behind them. Every
line is logged with its operator, so verbs that take a password are not there.
"""

from __future__ import annotations

import struct
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole import Manhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import BadKeyError, Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from jindimail.admin.founding import MANHOLE_HOST_KEY
from jindimail.admin.interpreter import AwaitingInterpreter
from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import Verb

CONNECTIONS_MAX = 8
LOGIN_SECONDS = 60.0  # from the connection to being let in
LINE_OCTETS_MAX = 16_384
_SHA1_ALGORITHMS = (b"ssh-rsa", b"ssh-dss")
_log = Logger()


@implementer(IAuthorizedKeysDB)
class AuthorizedKeys:
    """The operators' public keys, in a file like OpenSSH's authorized_keys (without options)."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def operators(self) -> dict[bytes, str]:
        """The operator's name by the key's blob."""
        found: dict[bytes, str] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return found
        for line in lines:
            words = line.split(None, 2)
            if len(words) < 2 or words[0].startswith(b"#"):
                continue
            try:
                key = Key.fromString(b" ".join(words[:2]))
            except (BadKeyError, ValueError, KeyError, IndexError, struct.error):
                _log.warn("{path}: a line is no public key", path=str(self._path))
                continue
            comment = words[2].decode("utf-8", "replace") if len(words) > 2 else ""
            found[key.blob()] = comment or key.fingerprint()
        return found

    def getAuthorizedKeys(self, username: bytes) -> list[Key]:
        """All of them, whatever name is given (IAuthorizedKeysDB)."""
        return [Key.fromString(blob) for blob in self.operators()]


class OperatorChecker(SSHPublicKeyChecker):
    """Lets in whoever holds an authorised key; the avatar id is the operator's name."""

    def __init__(self, keys: AuthorizedKeys) -> None:
        SSHPublicKeyChecker.__init__(self, keys)
        self._operators = keys

    def requestAvatarId(self, credentials: Any) -> Any:
        """See `ICredentialsChecker`."""
        return SSHPublicKeyChecker.requestAvatarId(self, credentials).addCallback(self._operator, credentials)

    def _operator(self, _: object, credentials: Any) -> bytes:
        name = self._operators.operators().get(credentials.blob)
        if name is None:
            raise UnauthorizedLogin("Key not authorized")
        return name.encode()


class Shell(Manhole):
    """One operator's shell."""

    _log = Logger()
    ps = (b"jindimail> ", b"       ... ")

    def __init__(self, namespace: dict[str, Any], operator: str) -> None:
        Manhole.__init__(self, namespace)
        self._operator = operator

    def connectionMade(self) -> None:
        """Begin."""
        Manhole.connectionMade(self)
        self.interpreter = AwaitingInterpreter(self, self.namespace or {})
        self._log.info("manhole: {operator} is in", operator=self._operator)

    def initializeScreen(self) -> None:
        """Say what there is, without wiping what was on the screen."""
        self.terminal.write(b"help() says what there is; ^D leaves.\r\n" + self.ps[0])
        Manhole.setInsertMode(self)

    def terminalSize(self, width: int, height: int) -> None:
        """Only noted."""
        self.width, self.height = width, height

    def characterReceived(self, ch: bytes, moreCharactersComing: bool) -> None:
        """Take a character, as long as the line is one that a person types."""
        if len(self.lineBuffer) < LINE_OCTETS_MAX:
            Manhole.characterReceived(self, ch, moreCharactersComing)

    def lineReceived(self, line: bytes) -> None:
        """Log a line with its operator, then do it."""
        self._log.info(
            "manhole: {operator}: {line}", operator=self._operator, line=line.decode("utf-8", "replace")
        )
        Manhole.lineReceived(self, line)

    def connectionLost(self, reason: Any) -> None:
        """The operator is gone."""
        self._log.info("manhole: {operator} is out", operator=self._operator)
        Manhole.connectionLost(self, reason)


class ShellChannel(SSHSession):
    """The channel of a session: it has no commands. Asked for one, Twisted's would log an error of ours."""

    def request_exec(self, data: bytes) -> int:
        """`ssh node 'status()'`: no."""
        return 0


class ShellSession(TerminalSession):
    """A session with a shell, with or without a terminal; no commands, no files, no forwarding."""

    width, height = 80, 24
    _channel: Any = None

    def windowChanged(self, newWindowSize: Any) -> None:
        """The shell does not care."""

    def openShell(self, proto: Any) -> None:
        """See `ISession`."""
        self._channel = proto
        TerminalSession.openShell(self, proto)

    def eofReceived(self) -> None:
        """Nothing more will be typed."""
        if self._channel is not None:  # there is a shell
            self._channel.loseConnection()


@implementer(IRealm)
class ShellRealm(TerminalRealm):
    """From an operator's name to a shell."""

    sessionFactory = ShellSession

    def __init__(self, namespace: Callable[[], dict[str, Any]]) -> None:
        TerminalRealm.__init__(self)
        self._namespace = namespace

    def _getAvatar(self, avatarId: bytes) -> Any:
        def shell() -> ServerProtocol:
            return ServerProtocol(Shell, self._namespace(), avatarId.decode("utf-8", "replace"))

        self.chainedProtocolFactory = shell  # type: ignore[assignment]
        avatar = TerminalRealm._getAvatar(self, avatarId)
        avatar.channelLookup[b"session"] = ShellChannel
        return avatar


class ManholeTransport(SSHServerTransport):
    """
    An operator's connection, or somebody's who has yet to log in; that has a deadline.

    Conch's says that only keys of the host key's own kind may sign; OpenSSH then does not even offer an RSA key (RFC 8308 §3.1).
    """

    factory: ManholeFactory
    isIn = False
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """See IProtocol."""
        self._deadline = self.factory.clock.callLater(LOGIN_SECONDS, self.hangUp)
        SSHServerTransport.connectionMade(self)

    def setService(self, service: Any) -> None:
        """Begin what comes next; after the login that is the connection itself."""
        if service.name == b"ssh-connection":
            self.isIn = True
            self._endDeadline()
        SSHServerTransport.setService(self, service)

    def hangUp(self) -> None:
        """End the connection now."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        """See IProtocol."""
        self._endDeadline()
        SSHServerTransport.connectionLost(self, reason)

    def _endDeadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def sendExtInfo(self, extensions: Any) -> None:
        """Name every algorithm that an operator's key may sign with."""
        known = [each for each in SSHServerTransport.supportedPublicKeys if each not in _SHA1_ALGORITHMS]
        SSHServerTransport.sendExtInfo(
            self,
            [(name, b",".join(known) if name == b"server-sig-algs" else value) for name, value in extensions],
        )


class ManholeFactory(ConchFactory):
    """
    The SSH server of the manhole. Of those who have not logged in the oldest gives way to one too many.

    @ivar clock: for deadlines.
    """

    noisy = False
    protocol = ManholeTransport

    def __init__(self, portal: Portal, hostKey: Key, clock: IReactorTime) -> None:
        ConchFactory.__init__(self, portal)
        self.clock = clock
        self.publicKeys: dict[bytes, Any] = {hostKey.sshType(): hostKey.public()}
        self.privateKeys: dict[bytes, Any] = {hostKey.sshType(): hostKey}
        self._connections: list[Any] = []  # the oldest first

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection, if there are not too many."""
        self._connections = [each for each in self._connections if each.transport.connected]
        if len(self._connections) >= CONNECTIONS_MAX:
            stranger = next((each for each in self._connections if not each.isIn), None)
            if stranger is None:
                return None
            self._connections.remove(stranger)
            stranger.hangUp()
        protocol = ConchFactory.buildProtocol(self, addr)
        self._connections.append(protocol)
        return protocol

    def closeWhenIdle(self) -> Deferred[None]:
        """Operators are not waited for."""
        for connection in self._connections:
            connection.transport.loseConnection()
        return succeed(None)


def manholeFactory(node: LiveNode, verbs: Mapping[str, Verb], clock: IReactorTime) -> ManholeFactory:
    """The manhole of a node."""
    hostKeyPath = Path(node.configuration.node.dataDirectory) / MANHOLE_HOST_KEY
    hostKey = Key(load_pem_private_key(hostKeyPath.read_bytes(), None))
    checker = OperatorChecker(AuthorizedKeys(node.configuration.listen.manholeKeys))
    realm = ShellRealm(lambda: namespaceOf(node, verbs))
    return ManholeFactory(Portal(realm, [checker]), hostKey, clock)


def namespaceOf(node: LiveNode, verbs: Mapping[str, Verb]) -> dict[str, Any]:
    """What a shell begins with."""
    namespace: dict[str, Any] = {
        each.name: _callable(node, each) for each in verbs.values() if not each.hasSecrets
    }
    namespace |= {"node": node, "help": Help(namespace)}
    return namespace


def _callable(node: LiveNode, verb: Verb) -> Callable[..., Any]:
    places = [argument.name for argument in verb.arguments if not argument.option]

    async def call(*values: object, **named: object) -> Any:
        given = {**dict(zip(places, values, strict=False)), **named}
        if len(values) > len(places):
            raise TypeError(f"{verb.name} takes {len(places)} values by place: {', '.join(places)}")
        result = await verb.run(node, _quiet, **verb.settle(given))
        return result["rows"] if isinstance(result, dict) and "rows" in result else result

    call.__name__ = call.__qualname__ = verb.name
    call.__doc__ = verb.doc
    return call


def _quiet(done: int, total: int, what: str) -> None:
    """Nobody watches progress in a shell."""


class Help:
    """`help()` lists the verbs; `help(verb)` says more of one."""

    def __init__(self, verbs: dict[str, Any]) -> None:
        self._verbs = dict(verbs)

    def __repr__(self) -> str:
        return "help() lists what there is, help(status) says more of status"

    def __call__(self, about: Any = None) -> None:
        """Print the help."""
        if about is None:
            lines = [f"  {name + '()':<16} {call.__doc__}" for name, call in sorted(self._verbs.items())]
            lines += ["  node             the parts of the node: store, groups, buckets, directory, sessions"]
            lines += [
                "",
                "Coroutines and Deferreds are awaited and shown; `x = await users()` keeps an answer.",
            ]
            text = "\n".join(lines)
        else:
            text = "\n".join(textwrap.wrap(getattr(about, "__doc__", None) or pformat(about), 100))
        print(text.replace("\n", "\r\n"))  # noqa: T201  the interpreter shows it to the operator

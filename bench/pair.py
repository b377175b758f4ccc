"""The peers: Postfix in front of Dovecot, and Dovecot's LMTP alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from zope.interface import implementer

from bench.dovecot import HOST, Dovecot
from bench.postfix import Postfix
from bench.scratch import Scratch
from bench.target import ITarget

ACCOUNTS = 8


def isInstalled() -> bool:
    """Whether Debian's postfix and dovecot are here (`tests/support/packages.sh bench` installs them)."""
    return shutil.which("postfix") is not None and shutil.which("dovecot") is not None


@implementer(ITarget)
class Pair:
    """Postfix → LMTP → Dovecot mdbox, both with all syncs; its CPU time is the sum of both."""

    name = "pair"
    host = HOST
    isLmtp = False

    def __init__(self) -> None:
        self._scratch = Scratch()
        self.dovecot = Dovecot(self._scratch, ACCOUNTS)
        self._postfix = Postfix(self._scratch)
        self.accounts = self.dovecot.accounts
        self.deliveryPorts = [self._postfix.smtpPort]
        self.pop3Port = self.dovecot.pop3Port

    def start(self) -> None:
        """See `ITarget.start`."""
        certificate, key = self._scratch.certificate()
        self.dovecot.start(certificate, key)
        self._postfix.start(certificate, key, self.dovecot.lmtpSocket)

    def stop(self) -> None:
        """See `ITarget.stop`."""
        self._postfix.stop()
        self.dovecot.stop()
        self._scratch.remove()

    def cpuSeconds(self) -> Mapping[str, float]:
        """See `ITarget.cpuSeconds`."""
        postfix, dovecot = self._postfix.meter.cpuSeconds(), self.dovecot.meter.cpuSeconds()
        return {"total": postfix + dovecot, "postfix": postfix, "dovecot": dovecot}

    def counts(self) -> Mapping[str, float]:
        """Nothing is asked."""
        return {}

    def isSettled(self) -> bool:
        """See `ITarget.isSettled`."""
        return self._postfix.isSettled()

    def settings(self) -> str:
        """See `ITarget.settings`."""
        return f"{self._postfix.settings()}\n{self.dovecot.settings()}"


@implementer(ITarget)
class DovecotAlone:
    """Dovecot's LMTP of a running `Pair`, spoken to directly; only Dovecot's CPU time counts."""

    name = "lmtp"
    host = HOST
    isLmtp = True

    def __init__(self, pair: Pair) -> None:
        self._dovecot = pair.dovecot
        self.accounts = pair.accounts
        self.deliveryPorts = [pair.dovecot.lmtpPort]
        self.pop3Port = pair.pop3Port

    def start(self) -> None:
        """Nothing: the pair has started it."""

    def stop(self) -> None:
        """Nothing: the pair stops it."""

    def cpuSeconds(self) -> Mapping[str, float]:
        """See `ITarget.cpuSeconds`."""
        return {"total": self._dovecot.meter.cpuSeconds()}

    def counts(self) -> Mapping[str, float]:
        """Nothing is asked."""
        return {}

    def isSettled(self) -> bool:
        """Always: LMTP answers when the mail is in the mailbox."""
        return True

    def settings(self) -> str:
        """Nothing to add to the pair's."""
        return ""

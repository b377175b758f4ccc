"""The edges of a node: one factory for each service, over one stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jindimail.admin.certificates import ReloadableCertificate
from jindimail.admin.stack import Stack
from jindimail.config import Configuration, Limits
from jindimail.delivery.counted import CountedDelivery
from jindimail.imap4.factory import ImapFactory
from jindimail.imap4.limits import Limits as ImapLimits
from jindimail.mailbox.sessions import Sessions
from jindimail.pop3.factory import Pop3Factory
from jindimail.pop3.limits import Limits as Pop3Limits
from jindimail.smtp.factory import SmtpFactory
from jindimail.smtp.limits import SmtpLimits

MAIL_SERVICES = ("smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps")
IMPLICIT_TLS = frozenset({"submissions", "pop3s", "imaps", "webs"})
SMTP_KINDS = ("smtp", "submission", "lmtp")


def countedDeliveries(stack: Stack, reactor: Any) -> dict[str, CountedDelivery]:
    """What each kind of SMTP delivers through."""
    return {kind: CountedDelivery(stack.delivery, reactor.seconds) for kind in SMTP_KINDS}


def edgeFactories(
    stack: Stack,
    configuration: Configuration,
    sessions: Sessions,
    certificate: ReloadableCertificate,
    reactor: Any,
    deliveries: dict[str, CountedDelivery],
    seconds: Callable[[], float],
) -> dict[str, Any]:
    """The factories of all mail services; those of IMPLICIT_TLS are still to be wrapped in TLS. `seconds` is the wall clock."""
    common: dict[str, Any] = {
        "portal": stack.portal,
        "sessions": sessions,
        "reactor": reactor,
        "hostName": configuration.node.hostName,
        "tls": certificate,
    }
    login: dict[str, Any] = {"plaintextPasswords": configuration.tls.plaintextPasswords == "loopback"}
    limits = configuration.limits
    factories: dict[str, Any] = {}
    for service in (*SMTP_KINDS, "submissions"):
        kind = service.removesuffix("s") if service == "submissions" else service
        factories[service] = SmtpFactory(
            service=kind,
            limits=smtpLimits(limits),
            delivery=deliveries[kind],
            spool=stack.spool,
            seconds=seconds,
            **common,
            **login,
        )
    for service in ("pop3", "pop3s"):
        factories[service] = Pop3Factory(limits=pop3Limits(limits), **common, **login)
    for service in ("imap", "imaps"):
        factories[service] = ImapFactory(
            limits=imapLimits(limits), delivery=stack.delivery, spool=stack.spool, **common, **login
        )
    return factories


def limitEdges(factories: dict[str, Any], limits: Limits) -> None:
    """Give the edges other bounds, for connections made from now on."""
    for service, factory in factories.items():
        if isinstance(factory, SmtpFactory):
            factory.setLimits(smtpLimits(limits))
        elif service in ("pop3", "pop3s"):
            factory.limits = pop3Limits(limits)
        elif service in ("imap", "imaps"):
            factory.limits = imapLimits(limits)


def smtpLimits(limits: Limits) -> SmtpLimits:
    """The configured bounds as SMTP, submission and LMTP take them."""
    return SmtpLimits(
        messageOctetsMax=limits.messageOctets,
        recipientsMax=limits.recipients,
        idleSeconds=limits.smtpIdle,
        failedLoginsMax=limits.failedLogins,
        refusedRecipientsMax=limits.refusedRecipients,
    )


def pop3Limits(limits: Limits) -> Pop3Limits:
    """The configured bounds as POP3 takes them."""
    return Pop3Limits(idleSeconds=limits.pop3Idle, loginFailuresMax=limits.failedLogins)


def imapLimits(limits: Limits) -> ImapLimits:
    """The configured bounds as IMAP takes them."""
    return ImapLimits(
        messageOctetsMax=limits.messageOctets,
        idleSeconds=limits.imapIdle,
        loginFailuresMax=limits.failedLogins,
    )

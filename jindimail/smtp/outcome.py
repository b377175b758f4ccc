"""What the client is told about a message that was taken, given each recipient's outcome. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from jindimail.errors import JindimailError, MailLoop
from jindimail.smtp.reply import PARTLY_FILED, isTemporary, reply, replyOf

Outcome = JindimailError | None
"""Of one recipient: None means that the message is filed for it, durably."""


def answerEach(outcomes: Sequence[Outcome], deliveryId: bytes) -> bytes:
    """One reply a recipient, in order (RFC 2033 §4.2)."""
    return b"".join(_filed(deliveryId) if error is None else replyOf(error) for error in outcomes)


def answerAll(outcomes: Sequence[Outcome], deliveryId: bytes) -> bytes:
    """
    The one reply that SMTP has for all recipients.

    250 only if it is filed for all: nothing here could send a bounce. When it is filed for some only, the sender is asked
    to try again, whatever kept the others from it: what is permanent is then refused at RCPT, for that recipient alone
    (docs/adr/0014-smtp-partial-delivery.md). A loop is no such reason: where it ends, the message has been.
    """
    errors = failures(outcomes)
    if not errors:
        return _filed(deliveryId)
    for error in errors:
        if isTemporary(error):
            return replyOf(error)
    return replyOf(errors[0]) if len(errors) == len(outcomes) else PARTLY_FILED


def failures(outcomes: Sequence[Outcome]) -> list[JindimailError]:
    """What keeps the message from being answered with 250."""
    errors = [error for error in outcomes if error is not None]
    if len(errors) < len(outcomes):
        return [error for error in errors if not isinstance(error, MailLoop)]
    return errors


def _filed(deliveryId: bytes) -> bytes:
    return reply(250, "2.0.0", f"Ok: filed as {deliveryId.hex()}")

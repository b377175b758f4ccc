"""
The state machine of every replicated group: decode an entry, find what applies it, collect its outcome and events.

Pure. Group 0 is the array's own; group b + 1 is bucket b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from zope.interface import implementer

from jindimail.cluster.arrayentries import ArrayEntry
from jindimail.cluster.membership import applyArray
from jindimail.directory import apply as accounts
from jindimail.interfaces import IKeys, IRows, IStateMachine
from jindimail.mailbox import applymailboxes as mailboxes
from jindimail.mailbox import applymessages as messages
from jindimail.mailbox import applyqueue as queue
from jindimail.mailbox import entries
from jindimail.mailbox.answer import answer
from jindimail.mailbox.once import applyOnce
from jindimail.mailbox.outcomes import Done, Event, Outcome, Refused
from jindimail.mailbox.queries import Answer, AnyQuery
from jindimail.mailbox.step import Step
from jindimail.model import ARRAY_GROUP

_BUCKET_STEPS: dict[type[Any], Callable[[Step, Any], Outcome]] = {
    entries.CreateAccount: accounts.createAccount,
    entries.SetAccount: accounts.setAccount,
    entries.RemoveAccount: accounts.removeAccount,
    entries.SetAddress: accounts.setAddress,
    entries.TakePopLock: accounts.takePopLock,
    entries.DropPopLock: accounts.dropPopLock,
    entries.CreateMailbox: mailboxes.createMailbox,
    entries.DeleteMailbox: mailboxes.deleteMailbox,
    entries.RenameMailbox: mailboxes.renameMailbox,
    entries.Subscribe: mailboxes.subscribe,
    entries.RenewUidValidities: mailboxes.renewUidValidities,
    entries.Deliver: messages.deliver,
    entries.StoreFlags: messages.storeFlags,
    entries.CopyMessages: messages.copyMessages,
    entries.Expunge: messages.expunge,
    entries.Enqueue: queue.enqueue,
    entries.Requeue: queue.requeue,
    entries.Dequeue: queue.dequeue,
    entries.VoidDelivery: messages.voidDelivery,
    entries.SetKeepers: messages.setKeepers,
}

_ARRAY_STEPS: dict[type[Any], Callable[[IRows, Any], tuple[Outcome, list[Event]]]] = {
    entries.SetDomain: accounts.setDomain,
    entries.RemoveDomain: accounts.removeDomain,
    entries.SetSetting: accounts.setSetting,
}


@implementer(IStateMachine)
class MailMachine:
    """What all groups keep; it has no state of its own."""

    def apply(self, rows: IRows, group: int, index: int, entry: bytes) -> tuple[Any, Sequence[Any]]:
        """See `IStateMachine`. An entry that is not of its group's kind is refused."""
        decoded = entries.decodeEntry(entry)
        if isinstance(decoded, entries.Once):
            return applyOnce(rows, group, index, decoded, self._apply)
        return self._apply(rows, group, index, decoded)

    def _apply(self, rows: IRows, group: int, index: int, decoded: Any) -> tuple[Any, Sequence[Any]]:
        if isinstance(decoded, entries.Noop):
            return Done(), []
        if group == ARRAY_GROUP and isinstance(decoded, ArrayEntry):
            return applyArray(rows, decoded)
        if group == ARRAY_GROUP:
            change = _ARRAY_STEPS.get(type(decoded))
            return (Refused("notAllowed"), []) if change is None else change(rows, decoded)
        take = _BUCKET_STEPS.get(type(decoded))
        if take is None:
            return Refused("notAllowed"), []
        step = Step(rows, group - 1, index)
        return take(step, decoded), step.events

    def answer(self, rows: IKeys, group: int, query: AnyQuery) -> Answer:
        """See `IStateMachine`."""
        return answer(rows, group - 1, query)

    def encode(self, entry: entries.AnyEntry, keepers: Sequence[int] = ()) -> bytes:
        """See `IStateMachine`."""
        return entries.encodeEntry(replace(entry, keepers=tuple(keepers)) if keepers else entry)

    def level(self, entry: entries.AnyEntry) -> int:
        """See `IStateMachine`."""
        return entries.LEVELS.get(type(entry), 1)

    def decode(self, octets: bytes) -> entries.AnyEntry:
        """See `IStateMachine`."""
        return entries.decodeEntry(octets)

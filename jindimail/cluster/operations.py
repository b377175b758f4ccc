"""
What operators ask of the array, and nodes that join or renew: use-cases over its own group (design §9).

Each works at any node: entries go to group 0's leader, wherever that is.
"""

from __future__ import annotations

from jindimail.cluster.arrayentries import ArrayEntry, SetArraySetting, SetNode
from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, UP, NodeRecord, readNodes
from jindimail.cluster.entrance import WEIGHT_MAX, Entrance
from jindimail.cluster.foretelling import Told
from jindimail.cluster.membership import Declined
from jindimail.cluster.recovery import Loss, Recovery
from jindimail.cluster.settings import BOUNDS
from jindimail.errors import NotAllowed


class Operations(Entrance):
    """
    `share.operations`.

    All are coroutines; they raise `NotAllowed` (with a reason for operators) and `Unavailable`.

    @ivar recovery: what founds groups anew.
    """

    recovery: Recovery

    async def drain(self, node: int) -> None:
        """Empty a node; it is gone by itself when it holds nothing any more. `undrain` takes it back until then."""
        record = self._known(node)
        if record.weight and not self._fullBesides(node):
            raise NotAllowed("there is no other node that could take what it has")
        if record.state != DRAINING:
            await self._set(SetNode(seconds=self._now(), node=node, state=DRAINING))

    async def undrain(self, node: int) -> None:
        """A node that was to be emptied stays."""
        if self._known(node).state != DRAINING:
            raise NotAllowed("it is not being emptied")
        await self._set(
            SetNode(seconds=self._now(), node=node, was=DRAINING, state=DOWN)
        )  # up again as soon as it is heard

    async def remove(self, node: int, isForced: bool = False, told: Told = lambda done, total: None) -> Loss:
        """
        A node that is dead for good: what it had is replaced at once, and it may never come back; what is lost with it.

        @param isForced: also if anything is, or what is lost could not be counted.
        @param told: how far it is with counting.
        """
        record = self._known(node)
        if node == self._node or record.state == UP:
            raise NotAllowed("it is up; empty it first (`jindictl cluster drain`)")
        if record.weight and not self._fullBesides(node):
            raise NotAllowed("there is no other node")
        loss = await self.recovery.foreseenOf(node, told)
        if not isForced and (loss.mail.bodies or loss.groups or loss.uncounted):
            raise NotAllowed(_refusal(loss))
        await self._set(SetNode(seconds=self._now(), node=node, was=record.state, state=GONE))
        return loss

    async def setWeight(self, node: int, weight: int) -> None:
        """How much a node shall bear; 100 is usual, 0 makes it a witness."""
        self._known(node)
        if not 0 <= weight <= WEIGHT_MAX:
            raise NotAllowed(f"a weight is 0 to {WEIGHT_MAX}")
        if not weight and not self._fullBesides(node):
            raise NotAllowed("there is no other node that keeps bodies")
        await self._set(SetNode(seconds=self._now(), node=node, weight=weight))

    async def setSetting(self, name: str, value: int) -> None:
        """One of `settings.ArraySettings`."""
        low, high = BOUNDS.get(name, (1, 0))
        if not low <= value <= high:
            raise NotAllowed(f"{name} is {low} to {high}" if name in BOUNDS else "no such setting")
        await self._set(SetArraySetting(seconds=self._now(), name=name, value=value))

    def _now(self) -> int:
        return int(self._seconds())

    def _known(self, node: int) -> NodeRecord:
        """A node that is not gone, as this node's rows have it."""
        with self._read() as rows:
            record = dict(readNodes(rows)).get(node)
        if record is None or record.state == GONE:
            raise NotAllowed("there is no such node")
        return record

    def _fullBesides(self, node: int) -> bool:
        """Whether another node is up, and keeps bodies."""
        with self._read() as rows:
            nodes = dict(readNodes(rows))
        return any(
            other != node and record.state == UP and record.weight > 0 for other, record in nodes.items()
        )

    async def _set(self, entry: ArrayEntry) -> None:
        outcome = await self._propose(entry)
        if isinstance(outcome, Declined):
            raise NotAllowed(outcome.reason)

    async def foreseen(self, lost: tuple[int, ...], told: Told = lambda done, total: None) -> Loss:
        """What `recover` would do if these nodes never came back: to be shown before it is asked for."""
        return await self.recovery.foreseen(lost, told)

    async def recover(self, lost: tuple[int, ...], told: Told = lambda done, total: None) -> Loss:
        """
        Forced: found every group anew that lost its majority with these nodes, from the most advanced replica within reach.

        What only the lost nodes had is lost. Mailboxes of these buckets get new UIDVALIDITYs.
        """
        return await self.recovery.recover(lost, told)


def _refusal(loss: Loss) -> str:
    """Why a node is not removed; what could not be counted may be lost, too."""
    mail = loss.mail
    parts = [
        f"{mail.messages} messages ({mail.octets} octets) are kept by it alone" if mail.bodies else "",
        f"{len(loss.groups)} groups could never agree again without it" if loss.groups else "",
        f"the mail of {len(loss.uncounted)} buckets could not be counted" if loss.uncounted else "",
    ]
    return f"{'; '.join(filter(None, parts))}: with force this is lost for good"

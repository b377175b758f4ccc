"""The entries that the array itself makes: for who keeps bodies and recovers groups, and knows nothing of mail (`cluster.share.IOwnEntries`)."""

from __future__ import annotations

from collections.abc import Callable

from jindimail.mailbox.entries import RenewUidValidities, SetKeepers, VoidDelivery, encodeEntry


class BodyEntries:
    """These entries, encoded, with the time of a given wall clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds

    def void(self, bodyId: bytes) -> bytes:
        """See `IBodyEntries`."""
        return encodeEntry(VoidDelivery(seconds=int(self._seconds()), deliveryId=bodyId))

    def setKeepers(self, bodyId: bytes, old: tuple[int, ...], new: tuple[int, ...]) -> bytes:
        """See `IBodyEntries`."""
        return encodeEntry(SetKeepers(seconds=int(self._seconds()), bodyId=bodyId, old=old, new=new))

    def renewUidValidities(self, floor: int) -> RenewUidValidities:
        """See `IOwnEntries`."""
        return RenewUidValidities(seconds=int(self._seconds()), floor=floor)

"""
Password hashes: argon2id in a thread pool, and a bounded memory of what was verified lately.

An argon2 run costs some 20 ms of CPU, so a login that was verified a moment ago is recognised by a keyed digest of
password and stored hash: a changed password has another hash, so an old digest never matches again.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import Deferred

from jindimail.errors import Unavailable

MEMORY_KIBIOCTETS = 19 * 1024  # with time cost 2: OWASP's first choice; 20 ms
TIME_COST = 2
WAITING_MAX = 256
VERIFIED_MAX = 20_000
PASSWORD_OCTETS_MAX = 1024

InThread = Callable[[Callable[[], Any]], Deferred[Any]]


class Passwords:
    """
    Hashes and verifies. `inThread(job)` runs a job in a thread pool and fires with its result; `key` is random and
    lives as long as the process.
    """

    def __init__(self, *, inThread: InThread, key: bytes) -> None:
        self._inThread = inThread
        self._key = key
        self._hasher = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIBIOCTETS, parallelism=1)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: bytes) -> str:
        """A new credential, in PHC form."""
        hashed: str = await self._run(lambda: self._hasher.hash(password))
        return hashed

    def isKnown(self, credential: str, password: bytes) -> bool:
        """Whether this very password was verified against this very credential lately."""
        digest = self._digest(credential, password)
        if digest not in self._verified:
            return False
        self._verified.move_to_end(digest)
        return True

    async def verify(self, credential: str, password: bytes) -> bool:
        """
        Whether the password is right; the time it takes does not tell whether there is such a user (`credential` "").

        @raise Unavailable: too many are waiting.
        """
        if len(password) > PASSWORD_OCTETS_MAX:
            return False
        if not credential:
            self._nobody = self._nobody or await self.hash(b"nobody")
        isRight: bool = await self._run(lambda: self._isRight(credential or self._nobody, password))
        if not isRight or not credential:
            return False
        self._verified[self._digest(credential, password)] = None
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return True

    def _isRight(self, credential: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(credential, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, job: Callable[[], Any]) -> Any:
        if self._waiting >= WAITING_MAX:
            raise Unavailable
        self._waiting += 1
        try:
            return await self._inThread(job)
        finally:
            self._waiting -= 1

    def _digest(self, credential: str, password: bytes) -> bytes:
        """Keyed, so that the memory of a process holds no digest that could be attacked without its key."""
        length = len(password).to_bytes(4, "big")
        mac = hmac.new(self._key, length + password + credential.encode(), blake2b)
        return mac.digest()

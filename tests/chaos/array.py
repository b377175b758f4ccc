"""An array of real processes: founded and joined as a user would, broken as a user would not."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.target import Account, freePorts
from jindimail.model import BUCKET_COUNT, bucketOf
from tests.chaos.network import INetwork
from tests.faults.shim import Cut, Shim, Sync
from tests.support.disk import SmallDisk
from tests.support.node import NodeFailed, NodeProcess, NotReachable

REPLICAS = 3
SETTLE_SECONDS = 60.0  # for one group
PLAN_SECONDS = 600.0  # for all of them: a large array moves its replicas one after the other
DRAIN_SECONDS = 120.0


class Member:
    """One node of an array: its process, its disk, and the shim between them."""

    def __init__(
        self, name: str, directory: Path, network: INetwork, *, hasSmallDisk: bool, hasShim: bool
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.disk = SmallDisk(directory / "disk") if hasSmallDisk else None
        data = self.disk.path / "data" if self.disk else directory / "data"
        with network.inside(name):
            cluster = f"{network.address(name)}:{freePorts(1)[0]}"
            self.process = NodeProcess(directory, name=name, cluster=cluster, data=data)
        self.shim = Shim(data, directory / "shim")
        if hasShim:
            self.process.environment = self.shim.environment()

    def close(self) -> None:
        """End it, whatever its state."""
        self.shim.syncs(Sync.REAL)
        if self.process.isAlive:
            self.process.signal(signal.SIGCONT)
            self.process.close()
        if self.disk:
            self.disk.close()


class RealArray:
    """
    The nodes by name; the first founds.

    @ivar members: all that were ever made, but for those that left.
    """

    def __init__(
        self, directory: Path, network: INetwork, *, hasSmallDisks: bool = False, hasShims: bool = True
    ) -> None:
        self.directory = directory
        self.network = network
        self.members: dict[str, Member] = {}
        self._calmAt: dict[str, int] = {}
        self._freshNames = 0
        self._hasSmallDisks, self._hasShims = hasSmallDisks, hasShims

    # --- life ----------------------------------------------------------------------------------------------

    def found(self, names: Sequence[str]) -> None:
        """The first of the names founds an array, the others join it one after the other; all run in the end."""
        first = self._make(names[0])
        with self.inside(first.name):
            first.process.found()
        self.start(first.name)
        for name in names[1:]:
            self.join(name)
        self.awaitSettled()

    def join(self, name: str, token: str = "") -> None:
        """A new node comes in by a token, by a new one if none is given, and runs."""
        token = token or self.ctl(self.someAlive(), "cluster", "invite", "--json")["token"]
        member = self._make(name)
        with self.inside(name):
            member.process.join(token)
        self.start(name)

    def joinFresh(self, token: str = "") -> str:
        """A node under a name that was never used joins; the name."""
        self._freshNames += 1
        name = f"fresh{self._freshNames}"
        self.network.add(name)
        self.join(name, token)
        return name

    def drain(self, name: str, seconds: float = DRAIN_SECONDS) -> None:
        """
        A node is drained, and taken away when it is gone.

        @raise NodeFailed: for so many seconds it did not come nearer to that.
        """
        asked = next(each for each in self.alive if each != name)
        self.ctl(asked, "cluster", "drain", name, "--json")
        began = nearedAt = time.monotonic()
        least, most = 1 << 62, -1
        while self.stateOf(asked, name) != "gone":
            now = time.monotonic()
            replicas, copies, moved = self._held(asked, name)
            if (
                replicas + copies < least or moved > most
            ):  # what is owed is counted bucket by bucket, so that it rises, too
                least, most, nearedAt = min(least, replicas + copies), max(most, moved), now
            if now > min(nearedAt + seconds, began + PLAN_SECONDS):
                raise NodeFailed(
                    f"{name} is not drained after {now - began:.0f} s: it has {replicas} replicas, {copies} copies are "
                    f"owed; {self.unsettled(self.alive, REPLICAS)}; {self.events(asked)}"
                )
            time.sleep(0.5)
        self.forget(name)

    def _held(self, asked: str, name: str) -> tuple[int, int, int]:
        """How many replicas of buckets a node has, as their leaders say, how many copies of bodies the array owes, and has moved."""
        nodes = {row["name"]: row["node"] for row in self.ask(asked, "cluster nodes")["rows"]}
        held = sum(
            any(member[1] == nodes[name] for member in row["members"])
            for each in self.alive
            for group, row in self.groups(each).items()
            if group and row["role"] == "leader"
        )
        copies = self.ask(asked, "cluster status")["copies"]
        return held, copies["owed"] or 0, copies["moved"]

    def events(self, asked: str, limit: int = 40) -> str:
        """What happened to the array lately, for people."""
        rows = self.ask(asked, "cluster events", limit=limit)["rows"]
        return "; ".join(f"{row['time'][-8:]} {row['node']} {row['event']}" for row in rows)

    def stateOf(self, asked: str, name: str) -> str:
        """The state of a node as another knows it."""
        rows = self.ask(asked, "cluster nodes")["rows"]
        return next((str(row["state"]) for row in rows if row["name"] == name), "gone")

    def _make(self, name: str) -> Member:
        member = Member(
            name,
            self.directory / name,
            self.network,
            hasSmallDisk=self._hasSmallDisks,
            hasShim=self._hasShims,
        )
        self.members[name] = member
        return member

    def start(self, name: str, *, waits: bool = True) -> None:
        """Start a node's process and wait until it listens."""
        member = self.members[name]
        member.shim.settle()  # the power stayed on: what the last process wrote is on the disk
        with self.inside(name):
            member.process.start(waits=waits)

    def awaitListening(self, name: str) -> None:
        """Until a node that was started without waiting listens."""
        with self.inside(name):
            process = self.members[name].process
            process.waitUntil(process.isListening, "listens")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.members[name].process.kill()

    def cutPower(self, name: str, how: Cut, seed: int) -> None:
        """kill -9, and what was not synced is lost."""
        self.kill(name)
        self.members[name].shim.cut(how, seed)

    def stop(self, name: str) -> int:
        """SIGTERM and its end; the exit code."""
        return self.members[name].process.stop()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.members[name].process.signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.members[name].process.signal(signal.SIGCONT)

    def forget(self, name: str) -> None:
        """A node that left for good."""
        self.members.pop(name).close()

    def close(self) -> None:
        """End everything."""
        for member in self.members.values():
            member.close()

    def mayWait(self, address: str) -> bool:
        """Whether mail for an address was put into a queue since the array was last calm, as its nodes' logs say."""
        waits = f"of bucket {bucketOf(address)}\n"
        return any(
            waits in member.process.log()[self._calmAt.get(name, 0) :]
            for name, member in self.members.items()
        )

    def isCalm(self) -> None:
        """No mail waits in a queue any more."""
        self._calmAt = {name: len(member.process.log()) for name, member in self.members.items()}

    # --- talk ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return list(self.members)

    @property
    def alive(self) -> list[str]:
        return [name for name, member in self.members.items() if member.process.isAlive]

    def someAlive(self) -> str:
        """Any node whose process runs."""
        return self.alive[0]

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Within it, this thread is at that node's host."""
        with self.network.inside(name):
            yield

    def port(self, name: str, service: str) -> int:
        """
        Where a service of a node listens, on its host's loopback.

        @raise ConnectionRefusedError: it has left.
        """
        if name not in self.members:
            raise ConnectionRefusedError(f"{name} has left")
        return self.members[name].process.ports[service]

    def ask(self, name: str, verb: str, **arguments: Any) -> Any:
        """A verb at a node's control socket."""
        client = self.members[name].process.control()
        try:
            return client.ask(verb, arguments)
        finally:
            client.close()

    def ctl(self, name: str, *words: str) -> Any:
        """`jindictl` at a node, as a user types it; what `--json` printed."""
        process = self.members[name].process
        return json.loads(process.jindictl("--config", str(process.configuration), *words).stdout)

    def groups(self, name: str) -> dict[int, dict[str, Any]]:
        """The status of each of a node's replicas, by group."""
        found: dict[int, dict[str, Any]] = {}
        after = ""
        while True:
            page = self.ask(name, "buckets", after=after)
            found |= {row["group"]: row for row in page["rows"]}
            if page["after"] is None:
                return found
            after = page["after"]

    def unsettled(self, names: Sequence[str], voters: int) -> dict[int, str]:
        """What is not yet as it shall be, by group: every group led, with so many voters, all of them at the same entry."""
        shown = {name: self.groups(name) for name in names}
        groups: dict[int, list[dict[str, Any]]] = {}
        for rows in shown.values():
            for group, row in rows.items():
                groups.setdefault(group, []).append(row)
        wrong = {group: "unknown" for group in range(BUCKET_COUNT + 1) if group not in groups}
        for group, rows in sorted(groups.items()):
            leaders = [row for row in rows if row["role"] == "leader"]
            newest = max(leaders, key=lambda row: row["term"], default=None)
            voting = [member for member in (newest or rows[0])["members"] if member[2]]
            if newest is None or (len(voting) != voters and group != 0):
                wrong[group] = f"{len(leaders)} leaders, voters {voting}"
            elif len({row["applied"] for row in rows}) != 1 or len(rows) < len(voting):
                wrong[group] = f"applied {[row['applied'] for row in rows]}"
        return wrong

    def awaitSettled(self, seconds: float = SETTLE_SECONDS) -> float:
        """
        Until every group has its voters, and all of them have applied the same; how long that took. A group may take so many seconds.

        @raise NodeFailed: it is not so in time.
        """
        began = time.monotonic()
        voters = min(REPLICAS, len(self.alive))
        since: dict[int, float] = {}
        while True:
            now = time.monotonic()
            try:
                wrong = self.unsettled(self.alive, voters)
            except NotReachable as error:
                wrong = {0: str(error)}
            if not wrong:
                return now - began
            since = {group: since.get(group, now) for group in wrong}
            stuck = [f"{group}: {wrong[group]}" for group in wrong if now - since[group] > seconds]
            if stuck or now - began > PLAN_SECONDS:
                raise NodeFailed(
                    f"not settled within {now - began:.0f} s: {stuck[:5] or list(wrong.items())[:5]}"
                )
            time.sleep(0.3)

    def addAccounts(self, count: int) -> list[Account]:
        """Make the domain and so many users."""
        return self.members[self.someAlive()].process.addAccounts(count)

    def log(self, octetsMax: int = 3000) -> str:
        """The end of every node's log."""
        return "\n".join(
            f"--- {name}\n{member.process.log()[-octetsMax:]}" for name, member in self.members.items()
        )

    def requireAlive(self, names: Sequence[str]) -> None:
        """
        A process that nobody killed has not ended.

        @raise NodeFailed: it has; with its log.
        """
        for name in names:
            if not self.members[name].process.isAlive:
                raise NodeFailed(f"{name} ended by itself\n{self.members[name].process.log()[-6000:]}")

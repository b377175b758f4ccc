"""What goes wrong with real nodes: each trouble is a context in which it is so, and after which it is over.

A trouble yields the nodes that are themselves hurt: only their clients may lose their sessions. `troublesOf` names those that an array of that
size and network can have; `CALM` of them is none, so that rounds without trouble are judged, too.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random

from tests.chaos.array import RealArray
from tests.chaos.network import Namespaces
from tests.faults.shim import Cut, Strikes, Sync
from tests.support.damage import ruin

_GREY = (
    "numgen random mod 100 < 10",
    "numgen random mod 100 < 40",
    "meta length > 600",
    "meta length > 1200",
    "limit rate over 200 kbytes/second",
)

Trouble = Callable[[RealArray, Random], AbstractContextManager[list[str]]]


@contextlib.contextmanager
def none(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """Nothing happens."""
    time.sleep(1)
    yield []


@contextlib.contextmanager
def kill(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """kill -9 of one node."""
    name = chance.choice(array.alive)
    array.kill(name)
    time.sleep(chance.uniform(0.1, 6))
    yield [name]
    array.start(name)


@contextlib.contextmanager
def powerCut(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """The power of one node is cut: what it had not synced is gone, or some of it."""
    name = chance.choice(array.alive)
    array.cutPower(name, chance.choice(list(Cut)), chance.randrange(1 << 30))
    time.sleep(chance.uniform(0.1, 3))
    yield [name]
    array.start(name)


@contextlib.contextmanager
def blackout(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """The power of all nodes is cut at once."""
    names = array.alive
    for name in names:
        array.members[name].process.kill()
    for name in names:
        array.members[name].shim.cut(chance.choice(list(Cut)), chance.randrange(1 << 30))
    yield names
    for name in names:
        array.start(name, waits=False)
    for name in names:
        array.awaitListening(name)


@contextlib.contextmanager
def majorityKilled(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """More than half of the nodes are killed at once."""
    names = chance.sample(array.alive, len(array.alive) // 2 + 1)
    for name in names:
        array.kill(name)
    time.sleep(chance.uniform(0.5, 3))
    yield array.names  # those that are left cannot serve
    for name in names:
        array.start(name)


@contextlib.contextmanager
def pause(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """SIGSTOP for 0.1 to 10 s."""
    name = chance.choice(array.alive)
    array.pause(name)
    time.sleep(0.1 * 100 ** chance.random())
    array.resume(name)
    yield [name]


@contextlib.contextmanager
def restart(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """A node is stopped in order and started again."""
    name = chance.choice(array.alive)
    code = array.stop(name)
    if code != 0:
        raise AssertionError(
            f"{name} did not stop in order: {code}\n{array.members[name].process.log()[-3000:]}"
        )
    time.sleep(chance.uniform(0, 2))
    yield [name]
    array.start(name)


@contextlib.contextmanager
def isolated(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """One node is cut off from all others, both ways."""
    name = chance.choice(array.alive)
    _network(array).isolate(name)
    time.sleep(chance.uniform(0.2, 8))
    yield [name]
    array.network.heal()


@contextlib.contextmanager
def deaf(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """One node hears nobody, but is heard; or the other way round."""
    name = chance.choice(array.alive)
    isDeaf = chance.random() < 0.5
    for other in array.alive:
        if other != name:
            _network(array).lose(*((other, name) if isDeaf else (name, other)))
    time.sleep(chance.uniform(0.2, 8))
    yield [name]
    array.network.heal()


@contextlib.contextmanager
def linkCut(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """Two nodes do not reach each other; both reach the rest."""
    one, other = chance.sample(array.alive, 2)
    _network(array).part([one], [other])
    time.sleep(chance.uniform(0.2, 8))
    yield [one, other]
    array.network.heal()


@contextlib.contextmanager
def grey(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """One node's links, in one direction or both, lose a part of the packets, or all that are large (as behind a tunnel), or what is above a narrow rate."""
    name = chance.choice(array.alive)
    rule = chance.choice(_GREY)
    for other in array.alive:
        if other != name:
            for ends in chance.choice((((name, other), (other, name)), ((name, other),), ((other, name),))):
                _network(array).spoil(*ends, rule)
    time.sleep(chance.uniform(2, 15))
    yield [name]
    array.network.heal()


@contextlib.contextmanager
def poorNetwork(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """All links lose 2 to 20 % of their packets."""
    share = chance.randint(2, 20)
    for one, other in itertools.permutations(array.alive, 2):
        _network(array).spoil(one, other, f"numgen random mod 100 < {share}")
    time.sleep(chance.uniform(2, 10))
    yield array.names
    array.network.heal()


@contextlib.contextmanager
def flapping(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """One node's cable is in and out, up to ten times."""
    name = chance.choice(array.alive)
    for _ in range(chance.randint(2, 10)):
        _network(array).isolate(name)
        time.sleep(chance.uniform(0.1, 1.5))
        array.network.heal()
        time.sleep(chance.uniform(0.1, 1.5))
    yield [name]


@contextlib.contextmanager
def slowDisk(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """Each fsync of one node takes 50 to 500 ms longer."""
    name = chance.choice(array.alive)
    array.members[name].shim.syncs(Sync.DELAY, delayMs=chance.randint(50, 500))
    time.sleep(chance.uniform(2, 6))
    yield [name]
    array.members[name].shim.syncs(Sync.REAL)


@contextlib.contextmanager
def stuckDisk(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """One node's fsync hangs for up to 8 s, then goes on."""
    name = chance.choice(array.alive)
    array.members[name].shim.syncs(Sync.HANG)
    time.sleep(chance.uniform(0.3, 8))
    array.members[name].shim.syncs(Sync.REAL)
    yield [name]


@contextlib.contextmanager
def failingDisk(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """An fsync of one node fails: it stops; it is started again on a disk that works."""
    name = chance.choice(array.alive)
    member = array.members[name]
    member.shim.syncs(Sync.EIO_ONCE, strikes=chance.choice(list(Strikes)))
    member.process.wait(60)
    time.sleep(chance.uniform(0, 3))
    yield [name]
    member.shim.syncs(Sync.REAL)
    member.shim.cut(Cut.SOME, chance.randrange(1 << 30))
    array.start(name)


@contextlib.contextmanager
def failingDisks(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """Each fsync of all nodes, or of more than half, fails from now on: they stop; they are started again, once, in any order, on disks that work."""
    names = chance.sample(array.alive, chance.choice((len(array.alive) // 2 + 1, len(array.alive))))
    for name in names:
        array.members[name].shim.syncs(Sync.EIO, strikes=chance.choice(list(Strikes)))
        time.sleep(chance.uniform(0, 0.3))
    for name in names:
        array.members[name].process.wait(60)
    yield array.names  # those that are left cannot serve
    isPowerCut = chance.random() < 0.5
    for name in names:
        shim = array.members[name].shim
        shim.syncs(Sync.REAL)
        if isPowerCut:
            shim.cut(Cut.SOME, chance.randrange(1 << 30))
        else:
            shim.carry()
    for name in chance.sample(names, len(names)):
        array.start(name, waits=False)
        time.sleep(chance.uniform(0, 4))
    for name in names:
        array.awaitListening(name)


@contextlib.contextmanager
def ruinedStore(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """An fsync of one node fails, and its store is found damaged at the next start: it comes back empty."""
    name = chance.choice(array.alive)
    member = array.members[name]
    member.shim.syncs(Sync.EIO_ONCE)
    member.process.wait(60)
    yield [name]
    member.shim.syncs(Sync.REAL)
    member.shim.settle()
    ruin(member.process.data)
    array.start(name)


@contextlib.contextmanager
def fullDisk(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """Another program fills one node's disk, to the brim or nearly, and later makes room."""
    name = chance.choice(array.alive)
    disk = array.members[name].disk
    assert disk is not None
    disk.fill(leaveOctets=chance.choice((0, 15 << 20, 40 << 20)))
    time.sleep(chance.uniform(1, 6))
    yield [name]
    disk.relieve()


@contextlib.contextmanager
def replaced(array: RealArray, chance: Random) -> Iterator[list[str]]:
    """A new node joins, and an old one is drained and leaves."""
    old = chance.choice(array.alive)
    array.joinFresh()
    yield [old]
    array.drain(old)


def troublesOf(array: RealArray) -> dict[str, Trouble]:
    """Those that this array can have."""
    found: list[Trouble] = [none, kill, powerCut, pause, restart, slowDisk, stuckDisk, failingDisk, blackout]
    if len(array.names) > 2:
        found += [majorityKilled, replaced, failingDisks, ruinedStore]
    if isinstance(array.network, Namespaces) and len(array.names) > 1:
        found += [isolated, deaf, linkCut, grey, poorNetwork, flapping]
    if all(member.disk for member in array.members.values()):
        found.append(fullDisk)
    return {each.__name__: each for each in found}


def _network(array: RealArray) -> Namespaces:
    assert isinstance(array.network, Namespaces)
    return array.network

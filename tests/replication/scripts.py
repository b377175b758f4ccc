"""
Interaction scripts: commands to a group of replicas, and what then happened, line by line, for a reviewer to read.

A file holds blocks: comment lines (`#`), one command a line, `----`, the expected lines, an empty line.
`REWRITE=1` writes what happens in place of what was expected.

group voters=3 [witness=3]    a new group                 take 1, sync 1, deliver      one step of one kind
campaign 1, transfer 1 3      elections                   settle                       all steps until none is left
propose 1 a b, read 1 7       requests                    tick N [ids]                 ticks, settling after each
learner 1 40, promote 1 4     members                     isolate 3, cut 1 3, heal     links
remove 1 3, compact 1         the log                     crash 1, restart 1, status
"""

from __future__ import annotations

from pathlib import Path

from jindimail.errors import JindimailError
from jindimail.replication.entries import CONFIGURATION, EMPTY, Entry
from jindimail.replication.messages import (
    Append,
    Appended,
    AskRead,
    Ballot,
    Beat,
    Beaten,
    Campaign,
    Install,
    Message,
    TellRead,
)
from jindimail.replication.outputs import Outputs
from tests.replication.network import Network


def shown(entry: Entry) -> str:
    """An entry: index/term and what it is."""
    if entry.kind == EMPTY:
        return f"{entry.index}/{entry.term} empty"
    if entry.kind == CONFIGURATION:
        return f"{entry.index}/{entry.term} members"
    return f"{entry.index}/{entry.term} {entry.data.decode()!r}"


def told(message: Message) -> str:
    """A message in one line."""
    head = f"{message.sender}->{message.recipient} {type(message).__name__} term {message.term}"
    match message:
        case Campaign():
            kind = " pre" if message.pre else ""
            return f"{head}{kind}{' by transfer' if message.transfer else ''} log {message.lastIndex}/{message.lastTerm}"
        case Ballot():
            return f"{head}{' pre' if message.pre else ''} {'granted' if message.granted else 'refused'}"
        case Append():
            entries = ", ".join(map(shown, message.entries))
            learner = " to a learner" if message.learner else ""
            return f"{head} behind {message.prevIndex}/{message.prevTerm} commit {message.commit} [{entries}]{learner}"
        case Appended():
            hint = f" refused, look at {message.hintIndex}/{message.hintTerm}" if message.refused else ""
            return f"{head} {message.index}{hint}"
        case Beat():
            return f"{head} commit {message.commit} round {message.round}"
        case Beaten():
            return f"{head} round {message.round}"
        case Install():
            return f"{head} of {message.snapshot.index}/{message.snapshot.term}"
        case AskRead():
            return f"{head} {message.context}"
        case TellRead():
            return f"{head} {message.context} at {message.index}"
        case _:
            return head


class Script:
    """Runs the commands of one file."""

    def __init__(self) -> None:
        self.network = Network(1)
        self.lines: list[str] = []

    def run(self, command: str) -> list[str]:
        """What a command makes happen."""
        self.lines = []
        name, *arguments = command.split()
        try:
            getattr(self, f"do_{name}")(*arguments)
        except JindimailError as problem:
            self.lines.append(f"refused: {type(problem).__name__}")
        return self.lines or ["ok"]

    # --- steps

    def do_group(self, *arguments: str) -> None:
        options = dict(argument.split("=") for argument in arguments)
        witnesses = [int(options["witness"])] if "witness" in options else []
        self.network = Network(int(options.get("voters", "3")), witnesses=witnesses)
        self.do_status()

    def do_take(self, replicaId: str) -> None:
        before = len(self.network.queue)
        outputs = self.network.replicas[int(replicaId)].take()
        if outputs is not None:
            self.tellOutputs(replicaId, outputs)
            if outputs.snapshots:
                self.tellSent(before + len(outputs.now))

    def do_sync(self, replicaId: str) -> None:
        replica = self.network.replicas[int(replicaId)]
        before = len(self.network.queue)
        if replica.pending:
            replica.sync()
            if len(self.network.queue) > before:
                self.lines.append(f"{replicaId} is durable, and sends")
                self.tellSent(before)

    def do_deliver(self) -> None:
        self.network.deliverAll()

    def do_settle(self) -> None:
        for _ in range(200):
            before = len(self.lines)
            busy = bool(self.network.queue)
            for replicaId in list(self.network.replicas):
                self.do_take(str(replicaId))
                self.do_sync(str(replicaId))
            self.network.deliverAll()
            if len(self.lines) == before and not busy:
                return

    def do_tick(self, count: str, *only: str) -> None:
        chosen = [int(each) for each in only] or list(self.network.replicas)
        for _ in range(int(count)):
            for replicaId in chosen:
                raft = self.network.replicas[replicaId].raft
                if raft is not None:
                    raft.tick()
            self.do_settle()

    # --- requests

    def do_campaign(self, replicaId: str) -> None:
        for replica in self.network.replicas.values():
            if replica.raft is not None:
                replica.raft.leaderSilent()
        self.network[int(replicaId)].campaign()

    def do_propose(self, replicaId: str, *data: str) -> None:
        for each in data:
            self.network[int(replicaId)].propose(each.encode())

    def do_read(self, replicaId: str, context: str) -> None:
        self.network[int(replicaId)].read(int(context))

    def do_transfer(self, replicaId: str, other: str) -> None:
        self.network[int(replicaId)].transfer(int(other))

    def do_learner(self, replicaId: str, node: str) -> None:
        raft = self.network[int(replicaId)]
        raft.proposeConfiguration(raft.configuration.withLearner(int(node)))

    def do_promote(self, replicaId: str, other: str) -> None:
        raft = self.network[int(replicaId)]
        raft.proposeConfiguration(raft.configuration.withVoter(int(other)))

    def do_remove(self, replicaId: str, other: str) -> None:
        raft = self.network[int(replicaId)]
        raft.proposeConfiguration(raft.configuration.without(int(other)))

    # --- trouble

    def do_compact(self, replicaId: str) -> None:
        self.network.replicas[int(replicaId)].compact()

    def do_isolate(self, *replicaIds: str) -> None:
        self.network.isolate(*map(int, replicaIds))

    def do_cut(self, sender: str, recipient: str) -> None:
        self.network.cut.add((int(sender), int(recipient)))

    def do_heal(self) -> None:
        self.network.heal()

    def do_crash(self, replicaId: str) -> None:
        self.network.replicas[int(replicaId)].crash()

    def do_restart(self, replicaId: str) -> None:
        self.network.replicas[int(replicaId)].restart()

    def do_status(self) -> None:
        for replicaId, replica in self.network.replicas.items():
            raft = replica.raft
            if raft is None:
                self.lines.append(f"{replicaId} down")
                continue
            removed = " removed" if raft.isRemoved else ""
            self.lines.append(
                f"{replicaId} {raft.role.value}{removed} term {raft.term} log {raft.log.baseIndex}..{raft.log.lastIndex}"
                f" commit {raft.log.commit} voters {','.join(map(str, raft.configuration.voters()))}"
                f" applied {' '.join(each.decode() for each in replica.disk.state) or '-'}"
            )

    # --- telling

    def tellOutputs(self, replicaId: str, outputs: Outputs) -> None:
        parts = []
        if outputs.hard is not None:
            parts.append(f"term {outputs.hard.term} vote {outputs.hard.vote}")
        if outputs.truncateFrom:
            parts.append(f"cut from {outputs.truncateFrom}")
        parts += map(shown, outputs.entries)
        if parts:
            self.lines.append(f"{replicaId} persists {', '.join(parts)}")
        if outputs.install is not None:
            self.lines.append(f"{replicaId} installs {outputs.install.index}/{outputs.install.term}")
        if outputs.apply:
            self.lines.append(f"{replicaId} applies {', '.join(map(shown, outputs.apply))}")
        for context, index in outputs.reads:
            self.lines.append(f"{replicaId} may read {context} at {index}")
        if outputs.now:
            self.lines.append(f"{replicaId} sends at once")
            self.lines += [f"  {told(message)}" for message in outputs.now]

    def tellSent(self, start: int) -> None:
        self.lines += [f"  {told(message)}" for message in self.network.queue[start:]]


def replayed(text: str) -> str:
    """A file as it would be with what really happens."""
    script = Script()
    done: list[str] = []
    for block in text.strip().split("\n\n"):
        head, _, _ = block.partition("\n----")
        happened: list[str] = []
        for line in head.split("\n"):
            if line and not line.startswith("#"):
                happened = [*happened, *script.run(line)]
        shownLines = [line for line in happened if line != "ok"] or ["ok"]
        done.append(
            head
            if head.lstrip().startswith("#") and "\n" not in head
            else "\n".join([head, "----", *shownLines])
        )
    return "\n\n".join(done) + "\n"


def files() -> list[Path]:
    """All scripts."""
    return sorted((Path(__file__).parent / "testdata").glob("*.txt"))

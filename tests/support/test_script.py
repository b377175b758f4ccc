"""The script runner sees what it is there to see."""

from __future__ import annotations

import pytest
from twisted.protocols.basic import LineOnlyReceiver

from tests.support.script import Script, ScriptError
from tests.support.wires import Wire


class Echo(LineOnlyReceiver):
    """Greets, says each line twice over two lines, closes on `bye`."""

    def connectionMade(self) -> None:
        self.sendLine(b"hello")

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)
        self.sendLine(line + line)
        if line == b"bye":
            self.transport.loseConnection()


def run(text: str, **hooks) -> None:
    def connect():
        protocol, wire = Echo(), Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    Script(connect, hooks).run(text)


def test_aRightScriptRuns() -> None:
    called = []
    run(
        r"""
        # a comment
        S: hello
        C: a\x00\xff\r
        S: a\x00\xff\r
        S/ (a\x00.){2}|a.*
        SESSION 2
        S: hello
        C: b
        C> c
        S* bb
        DO it
        C:
        S* cc
        SESSION 1
        OPEN
        C: bye
        S* byebye
        CLOSED
        """,
        it=lambda: called.append(1),
    )
    assert called == [1]


@pytest.mark.parametrize(
    "text",
    [
        "S: goodbye",
        "S/ [a-g]+",
        "C: a",
        "S: hello\nC: a\nS: a",
        "S: hello\nC: a\nS: a\nC: b\nS: aa",
        "S: hello\nS: more",
        "S: hello\nC: a\nS* b",
        "S: hello\nCLOSED",
        "S: hello\nC: bye\nS* byebye\nOPEN",
        "S: hello\nSESSION 2",
        "S: hello\nWHAT",
    ],
)
def test_aWrongScriptFails(text: str) -> None:
    with pytest.raises(ScriptError):
        run(text)

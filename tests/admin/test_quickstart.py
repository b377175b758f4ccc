"""`make run` but for the process: ports, configuration, account.json, what it tells."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from jindimail.admin import quickarray, quickstart
from jindimail.config import load, read


def test_highPortsWhenNotRoot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(quickstart, "bindable", lambda port: port)
    assert quickstart.freePorts()["smtp"] == 2525
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert quickstart.freePorts()["smtp"] == 25


def test_portThatIsTakenIsAvoided(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((quickstart.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert quickstart.bindable(port) == 0
        monkeypatch.setattr(quickstart, "PORTS", {"smtp": (port, port)})
        assert quickstart.freePorts()["smtp"] not in (0, port)


def test_configurationListensOnLoopbackOnly() -> None:
    found = read(quickstart.configurationText({"smtp": 2525, "imap": 2143}), "/")
    assert found.listen.smtp == ("tcp:2525:interface=127.0.0.1",)
    assert found.tls.plaintextPasswords == "loopback"
    assert quickstart.portsOf(found) == {"smtp": 2525, "imap": 2143}


def test_accountFileIsItsOwnersAndKeepsThePassword(tmp_path: Path) -> None:
    found = read(quickstart.configurationText({"smtp": 2525}), "/")
    quickstart.writeAccount(tmp_path, found, "secret", None)
    quickstart.writeAccount(tmp_path, found, None, 4711)
    path = tmp_path / "account.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "host": "127.0.0.1",
        "ports": {"smtp": 2525},
        "user": "first@example.org",
        "password": "secret",
        "pid": 4711,
    }


def test_whyANodeDidNotStartIsToldWithoutWhatLedThere(tmp_path: Path) -> None:
    lines = [f"  File {number}" for number in range(30)]
    (tmp_path / "node.log").write_text("\n".join(lines))
    assert quickstart.logEnd(tmp_path).splitlines() == lines[-15:]
    why = "jindimail: the node cannot start: Address already in use"
    (tmp_path / "node.log").write_text("\n".join([*lines, why, "Main loop terminated."]))
    assert quickstart.logEnd(tmp_path) == why


def test_badConfigurationIsTold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node.ini").write_text("[node]\n")
    assert quickstart.main([str(tmp_path)]) == 2
    assert "node.name: must be given" in capsys.readouterr().out


def test_everythingNeededToConnectIsTold() -> None:
    account = {
        "ports": {"smtp": 25, "imap": 143},
        "host": "127.0.0.1",
        "user": "u@x",
        "password": "pw",
        "pid": 1,
    }
    text = quickstart.howToConnect(Path("/r"), account)
    for word in ("127.0.0.1:25", "127.0.0.1:143", "u@x", "pw", "/r/account.json", "/r/node.log"):
        assert word in text
    assert "POP3" not in text


def test_writtenConfigurationLoads(tmp_path: Path) -> None:
    (tmp_path / "node.ini").write_text(quickstart.configurationText(quickstart.freePorts()))
    assert set(quickstart.portsOf(load(str(tmp_path / "node.ini")))) == set(quickstart.PORTS)


@pytest.mark.parametrize("program", [quickstart, quickarray])
@pytest.mark.parametrize(("asked", "status"), [("--help", 0), ("--nonsense", 2)])
def test_whatIsNoDirectoryFoundsNothing(
    program: Any, asked: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        program.main([asked])
    assert ended.value.code == status
    assert not list(tmp_path.iterdir())

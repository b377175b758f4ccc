"""The composition root without its network: what is checked before anything listens, what SIGHUP changes."""

from __future__ import annotations

import os
import pwd
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Application, IProcess
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from jindimail.admin.certificates import SELF_SIGNED_DAYS, selfSigned
from jindimail.admin.founded import foundingCommand, requireFounded
from jindimail.admin.founding import (
    MANHOLE_HOST_KEY,
    First,
    layFoundations,
    makeKeys,
    newConfigurationFile,
    nodeName,
    requireSound,
    requireUnfounded,
    serviceUser,
)
from jindimail.admin.startcheck import checkedConfiguration
from jindimail.config import Configuration, load, read
from jindimail.errors import ConfigError
from jindimail.options import Options
from jindimail.service import NodeService


def found(directory: Path, extra: str = "") -> Configuration:
    """A founded node (its store and keys)."""
    path = directory / "node.ini"
    path.write_text(f"[node]\nname = one\nhost-name = localhost\ndata-directory = data\n{extra}")
    configuration = load(str(path))
    layFoundations(configuration)
    return configuration


def modeOf(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


# --- before it listens ---------------------------------------------------------------------------------


def test_badConfigurationEndsTwistdWithAllItsProblems(tmp_path: Path) -> None:
    path = tmp_path / "bad.ini"
    path.write_text("[node]\nname = ?\n[listen]\nsmtp = tcp:x\n[nonsense]\n")
    options = Options()
    with pytest.raises(SystemExit) as caught:
        options.parseOptions(["--config", str(path)])
    lines = str(caught.value.code).splitlines()
    assert [line.split(": ")[2] for line in lines] == [
        "node.name",
        "node.data-directory",
        "listen.smtp",
        "nonsense",
    ]
    assert all(line.startswith(f"jindimail: {path}: ") for line in lines)


def test_problemsThatOnlyTheMachineShowsAreListedTogether(tmp_path: Path) -> None:
    configuration = found(tmp_path, "user = nobody-of-that-name\n[listen]\nsmtp = tcp:25:nonsense=1\n")
    Path(configuration.tls.key).write_text("junk")
    with pytest.raises(ConfigError) as caught:
        checkedConfiguration(configuration.path)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "listen.smtp",
        "node.user",
        "tls.key",
    ]


def test_problemsOfTheFileAndOfTheMachineAreListedTogether(tmp_path: Path) -> None:
    extra = "user = nobody-of-that-name\n[listen]\nsmtp = tcp:25:nonsense=1\n[limits]\nrecipients = many\n[oops]\n"
    configuration = found(tmp_path)
    Path(configuration.path).write_text(Path(configuration.path).read_text() + extra)
    Path(configuration.tls.key).write_text("junk")
    with pytest.raises(ConfigError) as caught:
        checkedConfiguration(configuration.path)
    assert sorted(problem.split(": ")[0] for problem in caught.value.problems) == [
        "limits.recipients",
        "listen.smtp",
        "node.user",
        "oops",
        "tls.key",
    ]


@pytest.mark.parametrize("exists", [False, True])
def test_emptyDataDirectoryIsRefusedWithTheCommandThatFoundsOne(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "node.ini"
    path.write_text("[node]\nname = one\ndata-directory = data\n")
    if exists:
        (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError) as caught:
        checkedConfiguration(str(path))
    (problem,) = caught.value.problems
    assert f"jindictl --config {path} init {tmp_path / 'data'}" in problem
    assert not (tmp_path / "data" / "store").exists()


def test_soundConfigurationIsAccepted(tmp_path: Path) -> None:
    options = Options()
    options.parseOptions(["--config", found(tmp_path).path])
    assert options["configuration"].node.name == "one"


def test_helpNamesTheOptions() -> None:
    assert "--config" in str(Options())


def test_twistdIsToldWhomToBecome(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    service = NodeService(found(tmp_path, "user = nobody\n"), Clock())
    application: Any = Application("jindimail")
    service.setServiceParent(application)
    assert IProcess(application).uid == 65534


# --- founding ------------------------------------------------------------------------------------------


def test_foundationsAreTheirOwnersOnly(tmp_path: Path) -> None:
    configuration = found(tmp_path)
    data = tmp_path / "data"
    requireFounded(configuration)
    assert modeOf(data) == 0o700
    assert modeOf(data / "key.pem") == modeOf(data / MANHOLE_HOST_KEY) == 0o600


def test_aNodeWithoutAStoreSaysHowItGetsOne(tmp_path: Path) -> None:
    configuration = read("[node]\nname = one\ndata-directory = nowhere\n", str(tmp_path))
    said = f"array there: jindictl init {tmp_path}/nowhere. To join one: jindictl join TOKEN"
    with pytest.raises(ConfigError, match=re.escape(said)):
        requireFounded(configuration)


def test_nothingIsFoundedOverSomething(tmp_path: Path) -> None:
    configuration = found(tmp_path)
    with pytest.raises(ConfigError, match="not empty"):
        requireUnfounded(configuration)
    with pytest.raises(ConfigError, match="not empty"):
        layFoundations(configuration)


def test_keysThatAreThereAreKept(tmp_path: Path) -> None:
    configuration = found(tmp_path)
    before = Path(configuration.tls.key).read_bytes()
    makeKeys(configuration)
    assert Path(configuration.tls.key).read_bytes() == before


def test_certificateThatIsConfiguredElsewhereIsNotMade(tmp_path: Path) -> None:
    found(tmp_path, f"[tls]\ncertificate = {tmp_path}/c.pem\nkey = {tmp_path}/k.pem\n")
    assert not (tmp_path / "c.pem").exists()
    assert (tmp_path / "data" / MANHOLE_HOST_KEY).exists()


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (First(domain="a b"), "a b: not"),
        (
            First(domain="example.org", user="ada@example.net", password="long enough"),
            "ada@example.net is not in",
        ),
        (First(domain="example.org", user="ada", password="long enough"), "ada: not"),
        (First(domain="example.org", user="ada@example.org", password="short"), "at least 8"),
    ],
)
def test_unsoundFirstUserIsRefusedBeforeAnythingIsMade(first: First, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        requireSound(first)


def test_soundFirstUserIsTaken() -> None:
    requireSound(First())
    requireSound(First(domain="Example.org", user="Ada@example.ORG", password="long enough"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_keyThatTheNodesUserMayNotReadIsAProblem(tmp_path: Path) -> None:
    configuration = found(tmp_path, "user = nobody\n")
    with pytest.raises(ConfigError, match=r"^tls\.key: .* nobody may not read it"):
        checkedConfiguration(configuration.path)
    os.chown(configuration.tls.key, 65534, 65534)
    checkedConfiguration(configuration.path)
    os.chown(configuration.tls.key, 0, 0)
    os.chmod(configuration.tls.key, 0o604)
    checkedConfiguration(configuration.path)


def test_newConfigurationFileReads() -> None:
    found = read(newConfigurationFile(name="one", hostName="mail.example.org", dataDirectory="/d"), "/")
    assert (found.listen.smtp, found.listen.lmtp) == (("tcp:25",), ())
    assert foundingCommand(found) == "jindictl init /d"


def test_rootFoundsForTheUserOfTheService(monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"jindimail": pwd.getpwuid(os.geteuid())}
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert serviceUser() == users["jindimail"].pw_name
    text = newConfigurationFile(name="one", hostName="one", dataDirectory="/d", user="jindimail")
    assert read(text, "/").node.user == "jindimail"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert serviceUser() == "", "nobody else can become another"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    users.clear()
    assert serviceUser() == ""


def test_nodeNamesAreMadeOfHostNames() -> None:
    assert [nodeName(name) for name in ("Mail.example.org", "a_b-", "", "ä.b")] == [
        "mail",
        "ab",
        "node1",
        "node1",
    ]


# --- SIGHUP --------------------------------------------------------------------------------------------


@pytest.fixture
def events() -> Any:
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    yield seen
    globalLogPublisher.removeObserver(seen.append)


def rewrite(configuration: Configuration, text: str) -> None:
    Path(configuration.path).write_text(
        f"[node]\nname = one\nhost-name = localhost\ndata-directory = data\n{text}"
    )


def test_hangupTakesOverWhatMayChangeLiveAndNamesTheRest(tmp_path: Path, events: list[LogEvent]) -> None:
    configuration = found(tmp_path)
    service = NodeService(configuration, Clock())
    rewrite(configuration, "[limits]\nstop-deadline = 5s\n[listen]\nsmtp = tcp:2525\n")
    service.reload()
    assert service.configuration.limits.stopDeadline == 5
    assert service.configuration.listen.smtp == ()
    assert any(event.get("keys") == "listen.smtp" for event in events)


def test_hangupWithABadFileChangesNothing(tmp_path: Path, events: list[LogEvent]) -> None:
    configuration = found(tmp_path)
    service = NodeService(configuration, Clock())
    rewrite(configuration, "[limits]\nstop-deadline = 5s\nsessions = none\n")
    service.reload()
    assert service.configuration == configuration
    assert any("limits.sessions" in str(event.get("problem")) for event in events)


def test_aCertificateThatEndsSoonIsLogged(tmp_path: Path, events: list[LogEvent]) -> None:
    configuration = found(tmp_path)
    service = NodeService(configuration, Clock())
    for days, words in ((15, []), (13, ["ends at"]), (-1, ["ended at"])):
        made = datetime.now(UTC) - timedelta(days=SELF_SIGNED_DAYS - days)
        certificate, key = selfSigned("localhost", made)
        Path(configuration.tls.certificate).write_bytes(certificate)
        Path(configuration.tls.key).write_bytes(key)
        service.reload()
        assert service.certificate.endsSeconds == int((made + timedelta(days=SELF_SIGNED_DAYS)).timestamp())
        assert [
            str(event["words"])[: len("ended at")].strip() for event in events if "words" in event
        ] == words
        events.clear()


def test_hangupReadsTheCertificateAgain(tmp_path: Path) -> None:
    configuration = found(tmp_path)
    service = NodeService(configuration, Clock())
    before = service.certificate.context
    Path(configuration.tls.key).unlink()
    Path(configuration.tls.certificate).unlink()
    makeKeys(configuration)
    service.reload()
    assert service.certificate.context is not before

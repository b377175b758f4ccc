"""jindictl without a node: its commands, what it prints, its exit codes, completion and manual pages."""

from __future__ import annotations

import argparse
import getpass
import io
import json
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jindimail.admin import jindictl, manual
from jindimail.admin.client import ControlClient, NotReachable, Refused, Silent
from jindimail.admin.commands import (
    EXIT_CODES,
    EXIT_DAMAGED,
    EXIT_NOT_REACHABLE,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_SILENT,
    EXIT_USAGE,
    parserOf,
)
from jindimail.admin.completion import script
from jindimail.admin.output import Output, confirmed, readPassword
from jindimail.admin.verbs import VERBS
from jindimail.config import load, read

PARSER = parserOf(VERBS)


class FakeClient:
    """Answers with what the test says, and keeps what was asked."""

    def __init__(self, path: str, *results: Any) -> None:
        self.path = path
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.results = list(results)

    def ask(self, verb: str, arguments: dict[str, object], progress: Any = None) -> Any:
        self.asked.append((verb, arguments))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        pass


class Run:
    """jindictl, asking a fake node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = FakeClient("")
        monkeypatch.setattr(jindictl, "ControlClient", lambda path: self.client)

    def __call__(self, *arguments: str, results: tuple[Any, ...] = ({},)) -> int:
        self.client.results = list(results)
        self.client.asked = []
        return jindictl.main(["--socket", "/s", *arguments])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


# --- asking --------------------------------------------------------------------------------------------


def test_wordsAndArgumentsBecomeARequest(run: Run) -> None:
    assert run("user", "set", "ada@example.org", "--no-enabled", "--quota-octets", "5G") == EXIT_OK
    assert run.client.asked == [
        (
            "user set",
            {
                "address": "ada@example.org",
                "enabled": False,
                "quotaOctets": "5G",
                "quotaMessages": None,
                "mayAdminister": None,
            },
        )
    ]


def test_sessionsAloneLists(run: Run) -> None:
    assert run("sessions", results=({"rows": [], "after": None},)) == EXIT_OK
    assert run.client.asked[0][0] == "sessions list"


def test_pagesAreTurned(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pages = {"rows": [{"domain": "a"}], "after": "a"}, {"rows": [{"domain": "b"}], "after": None}
    assert run("--json", "domain", "list", results=pages) == EXIT_OK
    assert [arguments["after"] for _, arguments in run.client.asked] == [None, "a"]
    assert json.loads(capsys.readouterr().out)["rows"] == [{"domain": "a"}, {"domain": "b"}]


def test_usersAreShownInTheOrderOfTheirAddressesWhateverPageTheyWereOn(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {"rows": [{"address": "b"}], "after": "7"}, {"rows": [{"address": "a"}], "after": None}
    assert run("--json", "user", "list", results=pages) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["rows"] == [{"address": "a"}, {"address": "b"}]


def test_passwordComesFromTheStandardInputNotFromTheCommandLine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("päss word\nmore"))
    assert run("user", "passwd", "ada@example.org") == EXIT_OK
    assert run.client.asked[0][1] == {"address": "ada@example.org", "password": "päss word"}
    with pytest.raises(SystemExit):
        PARSER.parse_args(["user", "passwd", "ada@example.org", "password"])


def test_removalIsConfirmed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("user", "remove", "ada@example.org") == EXIT_USAGE
    assert run.client.asked == []
    assert run("user", "remove", "ada@example.org", "--yes") == EXIT_OK


def test_whatIsForetoldIsShownBeforeTheQuestionAndStandsInIt(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(jindictl, "confirmed", lambda question, source: asked.append(question) or True)
    told = {"foundedAnew": 257, "messages": 12, "octets": 3456}
    assert run("cluster", "recover", "node2", "node3", results=(told, {"groups": []})) == EXIT_OK
    assert [verb for verb, _ in run.client.asked] == ["cluster loss", "cluster recover"]
    assert "foundedAnew: 257" in capsys.readouterr().out
    assert "without node2 node3? 12 messages (3456 octets)" in asked[0]


def test_pathsAreMadeAbsolute(run: Run) -> None:
    run("backup", "here")
    assert run.client.asked[0][1] == {"directory": str(Path("here").absolute())}


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Refused("noSuchUser", "no such user here"), EXIT_REFUSED),
        (Refused("usage", "text expected"), EXIT_USAGE),
        ({"isSound": False, "problems": []}, EXIT_DAMAGED),
        ({"isSound": True, "problems": []}, EXIT_OK),
    ],
)
def test_exitStatusTellsScripts(run: Run, result: Any, status: int) -> None:
    assert run("check", results=(result,)) == status


def test_absentNodeHasAnExitStatusOfItsOwn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node.ini").write_text("[node]\nname = one\ndata-directory = data\n")
    assert jindictl.main(["--config", str(tmp_path / "node.ini"), "status"]) == EXIT_NOT_REACHABLE
    assert "is the node running?" in capsys.readouterr().err


def test_whoMayNotAskANodeIsTold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(path: str) -> None:
        raise NotReachable(f"{path}: Permission denied") from PermissionError()

    monkeypatch.setattr(jindictl, "ControlClient", refuse)
    assert jindictl.main(["--socket", "/s", "status"]) == EXIT_NOT_REACHABLE
    said = capsys.readouterr().err
    assert "only root and the node's own user" in said and "running?" not in said


@pytest.mark.parametrize("words", [["status"], ["check"]])
def test_nodeThatSaysNothingHasAnExitStatusOfItsOwnAndItsStoreIsLeftAlone(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jindictl, "ControlClient", partial(ControlClient, timeoutSeconds=0.05))
    (tmp_path / "node.ini").write_text("[node]\nname = one\ndata-directory = data\n")
    (tmp_path / "data").mkdir()
    with socket.socket(
        socket.AF_UNIX
    ) as hung:  # as a stopped process leaves it: connections are made, and nobody takes them
        hung.bind(str(tmp_path / "data" / "control"))
        hung.listen(1)
        assert jindictl.main(["--config", str(tmp_path / "node.ini"), *words]) == EXIT_SILENT
    assert "has said nothing for 0 s: it hangs" in capsys.readouterr().err


def test_nodeThatTakesNoMoreConnectionsIsSilentToo(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as first:
        hung.bind(path)
        hung.listen(0)
        first.connect(path)
        with pytest.raises(Silent):
            ControlClient(path, timeoutSeconds=0.05)


def test_jsonErrorsAreJson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jindictl.main(["--json", "--socket", str(tmp_path / "none"), "status"]) == EXIT_NOT_REACHABLE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "notReachable"


def test_configurationIsFoundByOptionThenEnvironmentThenDefault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JINDIMAIL_CONFIG", raising=False)
    assert jindictl.configPath(argparse.Namespace()) == "/etc/jindimail/node.ini"
    monkeypatch.setenv("JINDIMAIL_CONFIG", "/env.ini")
    assert jindictl.configPath(argparse.Namespace()) == "/env.ini"
    assert jindictl.configPath(argparse.Namespace(config="/option.ini")) == "/option.ini"


def test_checkOfAConfigurationListsAllProblems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ini"
    path.write_text("[node]\nname = ?\n[listen]\nsmtp = tcp:x\nimap = systemd:nothing:here\n")
    assert jindictl.main(["config", "check", str(path)]) == EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    keys = ["node.name", "node.data-directory", "listen.smtp", "listen.imap"]
    assert [line.split(": ")[1] for line in lines] == keys
    path.write_text("[node]\nname = one\ndata-directory = /d\n[listen]\nsmtp = tcp:25:nonsense=1\n")
    assert jindictl.main(["config", "check", str(path)]) == EXIT_USAGE
    assert "listen.smtp: tcp:25:nonsense=1" in capsys.readouterr().err


def test_checkOfAConfigurationFindsWhatANodeWouldNotStartWithButForItsStore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.ini"
    node = f"[node]\nname = one\ndata-directory = {tmp_path}/none\n"
    path.write_text(f"{node}user = nobody-of-this-name\n[tls]\ncertificate = no.pem\nkey = no.key\n")
    assert jindictl.main(["config", "check", str(path)]) == EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["node.user", "tls.certificate", "tls.key"]
    path.write_text(node)
    assert jindictl.main(["config", "check", str(path)]) == EXIT_OK


# --- the parser ----------------------------------------------------------------------------------------


def test_everyCommandHasHelpAndTakesJson() -> None:
    leaves = list(manual.leaves(PARSER))
    assert len(leaves) >= len(VERBS) + 5
    for leaf in leaves:
        assert leaf.description, leaf.prog
        assert "--json" in leaf.format_help(), leaf.prog


def test_helpIsAsWideAsTheTerminalButForExamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for leaf in manual.leaves(PARSER):
        text, _, examples = leaf.format_help().partition("Examples:\n")
        assert max(map(len, text.splitlines())) <= 80, leaf.prog
        assert examples.count("jindictl ") == len(examples.splitlines()) > 0, leaf.prog


def test_summariesOfAllCommandsAreInOneVoice() -> None:
    for action in PARSER._actions:
        for choice in getattr(action, "_choices_actions", ()):
            assert str(choice.help)[0].isupper() and not str(choice.help).endswith("."), choice.dest


def test_everyExampleParses() -> None:
    for each in VERBS.values():
        for example in each.examples:
            PARSER.parse_args(example.removeprefix("jindictl ").partition(" < ")[0].split())


def test_restoreAndInitNeedNoNode() -> None:
    assert PARSER.parse_args(["restore", "/b"]).verb == "restore"
    assert PARSER.parse_args(["init", "/d", "--user", "a@b.c"]).verb == "init"


# --- what is shown -------------------------------------------------------------------------------------


def shown(result: Any, columns: tuple[str, ...] = (), **options: bool) -> str:
    out = io.StringIO()
    Output(isJson=options.get("isJson", False), isQuiet=False, out=out, err=io.StringIO()).result(
        result, columns
    )
    return out.getvalue()


def test_listsAreTables() -> None:
    rows = [
        {"address": "a@b.c", "enabled": True, "more": 1},
        {"address": "long@example.org", "enabled": False},
    ]
    assert shown({"rows": rows, "after": None}, ("address", "enabled")) == (
        "ADDRESS           ENABLED\na@b.c             yes\nlong@example.org  no\n"
    )
    assert shown({"rows": [], "after": None}, ("address",)) == ""


def test_mappingsAreLinesAndNest() -> None:
    assert shown({"node": "one", "services": {"smtp": ["a", "b"]}, "none": None}) == (
        "node:     one\nservices:\n  smtp: a, b\nnone:\n"
    )


def test_sentencesHaveLinesOfTheirOwn() -> None:
    assert shown({"alerts": ["All is lost.", "Not all."], "leaderless": [1, 2], "none": []}) == (
        "alerts:\n  All is lost.\n  Not all.\nleaderless: 1, 2\nnone:\n"
    )


def test_problemsAreATable() -> None:
    assert shown({"problems": [{"kind": "log-gap", "where": "group 1"}]}) == (
        "problems:\nKIND     WHERE\nlog-gap  group 1\n"
    )


def test_jsonIsJson() -> None:
    assert json.loads(shown({"rows": [{"ä": 1}], "after": None}, isJson=True)) == {
        "rows": [{"ä": 1}],
        "after": None,
    }


def test_textsAreJsonToo(capsys: pytest.CaptureFixture[str]) -> None:
    assert jindictl.main(["config", "example", "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out) == {"text": manual.exampleFile()}


def test_progressIsShownOnATerminalOnly() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for err, expected in ((Terminal(), "copying: 1 of 4 (25 %)"), (io.StringIO(), "")):
        output = Output(isJson=False, isQuiet=False, out=io.StringIO(), err=err)
        output.progress(1, 4, "copying")
        assert err.getvalue().strip("\r") == expected


def test_passwordsThatAreNoneAreRefused() -> None:
    for text, match in (("", "empty"), ("\n", "empty"), ("x" * 1001 + "\n", "longer")):
        with pytest.raises(ValueError, match=match):
            readPassword(True, io.StringIO(text))


def test_endOfInputAtTheQuestionForAPasswordIsNoPassword(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", ask)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    with pytest.raises(ValueError, match="no password was given"):
        readPassword(False, terminal)


def test_nobodyToAskMeansNo() -> None:
    assert not confirmed("Really?", io.StringIO("y\n"))


# --- what is printed from the fields --------------------------------------------------------------------


def test_exampleConfigurationReadsAsItStands(tmp_path: Path) -> None:
    path = tmp_path / "node.ini"
    path.write_text(manual.exampleFile())
    assert load(str(path)).node.name == "node1"


def test_exampleConfigurationReadsWithEveryKeySet() -> None:
    text = manual.exampleFile()
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()
    ]
    found = read("\n".join(lines), "/")
    assert found.listen.imaps == ("tcp:993",)
    assert found.limits.messageOctets == 50 << 20


def test_manualPagesNameEverything() -> None:
    page = manual.configurationPage()
    for key in ("data\\-directory", "[listen]", "minimum\\-version", "message\\-octets"):
        assert key in page
    commands = manual.commandPage(PARSER, EXIT_CODES)
    for words in VERBS:
        assert f"jindictl {words}" in commands
    assert "[" + "\\-\\-json]" not in commands, "what every command takes is said once"


def test_bashCompletesCommandsAndOptions(tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(script(PARSER, "bash"))

    def complete(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        program = (
            f"source {tmp_path}/completion; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _jindictl; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    assert complete("jindictl", "dom") == ["domain"]
    assert complete("jindictl", "domain", "re") == ["remove"]
    assert complete("jindictl", "--json", "user", "set", "--no-e") == ["--no-enabled"]
    assert complete("jindictl", "completion", "") == ["bash", "zsh"]


def test_zshLoadsTheSameCompletion() -> None:
    assert script(PARSER, "zsh").startswith("#compdef jindictl")
    assert script(PARSER, "bash") in script(PARSER, "zsh")

"""Whole nodes as processes: twistd, jindictl, signals, users, and `make run` without make."""

from __future__ import annotations

import imaplib
import json
import os
import poplib
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from bench.target import freePorts
from jindimail.admin.client import NotReachable
from jindimail.store.environment import Environment
from jindimail.store.keys import GIVEN_UP_KEY, META
from tests.support.node import DOMAIN, HOST, PASSWORD, ROOT, TWISTD, NodeFailed, NodeProcess

USER = f"ada@{DOMAIN}"
LETTER = b"Subject: hello\r\n\r\nHello.\r\n"


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *TWISTD, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path)
    yield process
    process.close()


@pytest.fixture
def serving(node: NodeProcess) -> NodeProcess:
    """A node that serves, with one domain and user."""
    node.found()
    node.start()
    ask(node, "domain add", domain=DOMAIN)
    ask(node, "user add", address=USER, password=PASSWORD)
    return node


def ask(node: NodeProcess, verb: str, **arguments: object) -> Any:
    client = node.control()
    try:
        return client.ask(verb, arguments)
    finally:
        client.close()


def send(node: NodeProcess, letter: bytes = LETTER) -> None:
    with smtplib.SMTP(HOST, node.ports["smtp"], timeout=20) as client:
        client.sendmail("x@example.net", [USER], letter)


def inbox(port: int, user: str = USER, password: str = PASSWORD) -> list[bytes]:
    client = poplib.POP3(HOST, port, timeout=20)
    client.user(user)
    client.pass_(password)
    found = [b"\r\n".join(client.retr(number + 1)[1]) for number in range(client.stat()[0])]
    client.quit()
    return found


def certificateOf(node: NodeProcess) -> bytes:
    context = ssl._create_unverified_context()
    with smtplib.SMTP(HOST, node.ports["smtp"], timeout=20) as client:
        client.starttls(context=context)
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.getpeercert(binary_form=True) or b""


def until(node: NodeProcess, what: str, isSo: Any) -> None:
    node.waitUntil(isSo, what, 20)


# --- twistd ----------------------------------------------------------------------------------------------


def test_twistdKnowsTheNodeAndItsOptions() -> None:
    assert "jindimail" in twistd("--help").stdout
    assert "--config" in twistd("jindimail", "--help").stdout


def test_installationBringsThePluginAndTheCommand(tmp_path: Path) -> None:
    folder = Path(sys.executable).parent
    if not (folder / "jindictl").exists():
        pytest.skip("not installed in this environment")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)

    assert "[node]" in run(str(folder / "jindictl"), "config", "example").stdout
    assert "--config" in run(str(folder / "twistd"), "jindimail", "--help").stdout


def test_badConfigurationIsListedWholeAndNothingListens(tmp_path: Path) -> None:
    (tmp_path / "bad.ini").write_text(
        "[node]\nname = ?\ndata-directory = d\n[listen]\nsmtp = tcp:x\nimpa = tcp:1\n"
    )
    done = twistd("-n", "--pidfile=", "jindimail", "--config", str(tmp_path / "bad.ini"))
    assert done.returncode != 0
    for problem in ("node.name: ", "listen.smtp: ", "listen.impa: "):
        assert problem in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_emptyDataDirectoryIsRefused(node: NodeProcess) -> None:
    node.found()
    shutil.rmtree(node.data)
    node.start(waits=False)
    assert node.wait() != 0
    assert "jindictl --config" in node.log()
    assert not node.data.exists()


def test_aNodeThatWasOnceToldThatItWasGivenUpServesNobodyAnyMore(node: NodeProcess) -> None:
    node.found()
    environment = Environment(node.data)
    environment.begin()
    environment.commit([(META, [(GIVEN_UP_KEY, b"\x01")], [])])
    environment.close()
    node.start(waits=False)

    def isRemoved() -> bool:
        with suppress(NotReachable):
            return bool(ask(node, "status")["state"] == "removed")
        return False

    until(node, "removed", isRemoved)
    with pytest.raises(ConnectionRefusedError):
        send(node)
    assert "given it up for good" in node.log()
    assert ask(node, "backup", directory=str(node.directory / "backup"))["directory"]
    assert node.stop() == 0


def test_portThatIsTakenEndsTheStartWithItsReason(node: NodeProcess) -> None:
    with socket.socket() as taken:
        node.found()
        taken.bind((HOST, node.ports["imap"]))
        taken.listen()
        node.start(waits=False)
        assert node.wait() == 1
    assert "Address already in use" in node.log()


def test_storeHasOneNodeAtATime(serving: NodeProcess, tmp_path: Path) -> None:
    other = NodeProcess(tmp_path, data=serving.data)
    other.configuration = tmp_path / "other.ini"
    text = serving.configuration.read_text()
    for service, port in serving.ports.items():
        text = text.replace(f"{service} = tcp:{port}:interface={HOST}\n", "")
    other.configuration.write_text(text + f"[listen]\ncontrol = unix:{tmp_path}/other\n")
    other.start(waits=False)
    assert other.wait() == 1
    assert "in use by another process" in other.log()
    assert serving.isAlive


def test_threadsOfANodeInterruptNobody(serving: NodeProcess) -> None:
    threads = [int(each.name) for each in Path(f"/proc/{serving.pid}/task").iterdir()]
    assert len(threads) > 1
    assert {os.sched_getscheduler(each) for each in threads} == {os.SCHED_BATCH}


# --- signals ---------------------------------------------------------------------------------------------


def test_hangupTakesANewCertificateAndLimitsWithoutARestart(serving: NodeProcess) -> None:
    before = certificateOf(serving)
    for name in ("certificate.pem", "key.pem"):
        (serving.data / name).unlink()
    program = (
        "import sys; from jindimail.admin.founding import makeKeys; from jindimail.config import load; "
        "makeKeys(load(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(serving.configuration)], cwd=ROOT, check=True)
    with serving.configuration.open("a") as file:
        file.write("[limits]\nmessage-octets = 1M\n")
    os.kill(serving.pid, signal.SIGHUP)
    until(serving, "the new certificate is served", lambda: certificateOf(serving) != before)
    with smtplib.SMTP(HOST, serving.ports["smtp"], timeout=20) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(1 << 20)


@pytest.mark.parametrize("yearsAhead", [100, -60])
def test_aClockThatMayNotBeWrittenDownDoesNoHarm(tmp_path: Path, yearsAhead: int) -> None:
    """Each delivery raised where it was applied, and a mailbox that was made then had a UIDVALIDITY beyond 32 bits, as all after it."""
    ahead = f"import time; clock = time.time; time.time = lambda: clock() + {yearsAhead * 365 * 86400}; "
    node = NodeProcess(tmp_path, program=("-c", ahead + TWISTD[1]))
    node.found()
    try:
        node.start()
        (account,) = node.addAccounts(1)
        with node.smtp() as sender:
            answer = sender.transact(b"a@elsewhere.test", account.address.encode(), LETTER)
        assert answer.startswith(b"250")
        with imaplib.IMAP4(HOST, node.ports["imap"], timeout=20) as client:
            client.login(account.login, account.password)
            assert client.create("made")[0] == "OK"
            _, (status,) = client.status("made", "(UIDVALIDITY)")
            assert 0 < int(status.rstrip(b")").split()[-1]) < 1 << 32
        assert len(node.messages(account)) == 1
        assert node.stop() == 0
        assert node.check().returncode == 0
    finally:
        node.close()


def test_terminationFinishesWhatIsUnderWay(serving: NodeProcess) -> None:
    client = smtplib.SMTP(HOST, serving.ports["smtp"], timeout=20)
    client.ehlo()
    client.docmd("MAIL FROM:<x@example.net>")
    client.docmd(f"RCPT TO:<{USER}>")
    assert client.docmd("DATA")[0] == 354
    client.send(b"Subject: late\r\n\r\nhalf\r\n")
    idle = imaplib.IMAP4(HOST, serving.ports["imap"], timeout=20)
    os.kill(serving.pid, signal.SIGTERM)
    until(serving, "it stops listening", lambda: not reachable(serving.ports["smtp"]))
    assert idle.readline().startswith(b"* BYE")
    os.kill(serving.pid, signal.SIGTERM)  # who is impatient changes nothing
    client.send(b"other half\r\n.\r\n")
    assert client.getreply()[0] == 250
    assert serving.wait() == -signal.SIGTERM
    assert "node node1 stopped" in serving.log()
    assert "#critical]" not in serving.log()
    assert serving.check().returncode == 0
    serving.start()
    assert [b"other half" in letter for letter in inbox(serving.ports["pop3"])] == [True]


def amidData(node: NodeProcess) -> smtplib.SMTP:
    """Start a node; a client that is sending a message to it."""
    node.start()
    ask(node, "domain add", domain=DOMAIN)
    ask(node, "user add", address=USER, password=PASSWORD)
    client = smtplib.SMTP(HOST, node.ports["smtp"], timeout=20)
    client.docmd("EHLO x")
    client.docmd("MAIL FROM:<x@example.net>")
    client.docmd(f"RCPT TO:<{USER}>")
    assert client.docmd("DATA")[0] == 354
    return client


def test_aNodeThatStopsSaysSoUntilItHasEnded(node: NodeProcess) -> None:
    node.ports["web"] = freePorts(1)[0]
    node.found()
    client = amidData(node)
    os.kill(node.pid, signal.SIGTERM)
    until(node, "it stops listening", lambda: not reachable(node.ports["smtp"]))
    address = f"http://{HOST}:{node.ports['web']}"
    with urlopen(f"{address}/health", timeout=20) as answer:
        assert json.load(answer)["state"] == "stopping"
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}/ready", timeout=20)
    assert refused.value.code == 503 and json.load(refused.value)["reason"] == "stopping"
    client.close()
    assert node.wait() == -signal.SIGTERM
    assert "#critical]" not in node.log()


def reachable(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_sessionsThatOutlastTheDeadlineAreCut(node: NodeProcess) -> None:
    node.found("[limits]\nstop-deadline = 1s\n")
    client = amidData(node)
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait(20) == -signal.SIGTERM
    client.close()
    assert "node node1 stopped" in node.log()
    assert node.check().returncode == 0


def test_socketsOfAKilledNodeAreInNobodysWay(node: NodeProcess) -> None:
    path = node.directory / "lmtp.sock"
    node.found(f"[listen]\ncontrol = unix:{node.data}/control\n")
    text = node.configuration.read_text().replace(
        f"lmtp = tcp:{node.ports['lmtp']}:interface={HOST}", f"lmtp = unix:{path}"
    )
    node.configuration.write_text(text)
    del node.ports["lmtp"]
    node.start()
    node.kill()
    assert path.exists()
    node.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        assert client.recv(100).startswith(b"220 ")


# --- users -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_rootBindsAndThenBecomesTheNodesUser() -> None:
    nobody = pwd.getpwnam("nobody")
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    node = NodeProcess(directory)
    try:
        node.ports |= {"smtp": lowPort(), "web": freePorts(1)[0]}
        node.found("[node]\nuser = nobody\n")
        node.start()
        status = Path(f"/proc/{node.pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert f"Gid:\t{nobody.pw_gid}\t{nobody.pw_gid}\t{nobody.pw_gid}\t{nobody.pw_gid}" in status
        assert (node.data / "control").stat().st_uid == nobody.pw_uid
        assert (node.data / "control").stat().st_mode & 0o777 == 0o600
        ask(node, "domain add", domain=DOMAIN)
        ask(node, "user add", address=USER, password=PASSWORD)
        send(node)
        assert len(inbox(node.ports["pop3"])) == 1
        assert strangerIsRefused(node)
        for path in ("metrics", "ready", "login", "static/status.js"):  # nothing is imported or read too late
            with urlopen(f"http://{HOST}:{node.ports['web']}/{path}", timeout=20) as answer:
                assert answer.status == 200
        assert "runs as root" not in node.log()
    finally:
        node.close()
        shutil.rmtree(directory)


def test_aNodeThatStaysRootSaysSo(serving: NodeProcess) -> None:
    assert ("runs as root" in serving.log()) == (os.geteuid() == 0)


def lowPort() -> int:
    """A free port that only root may bind."""
    for port in range(1000, 600, -1):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free low port")


def strangerIsRefused(node: NodeProcess) -> bool:
    """Whether another user gets no answer from the control socket, even if its file let everybody in."""
    node.data.chmod(0o755)
    (node.data / "control").chmod(0o666)
    program = (
        "import os, socket, sys; os.setgid(4711); os.setuid(4711); s = socket.socket(socket.AF_UNIX); s.settimeout(10)\n"
        "s.connect(sys.argv[1])\n"
        'try:\n    s.sendall(b\'{"verb": "status"}\\n\'); sys.stdout.write(repr(s.recv(100)))\n'
        'except OSError as e: sys.stdout.write("refused")\n'
    )
    command = [sys.executable, "-c", program, str(node.data / "control")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout in ("b''", "refused")


# --- jindictl --------------------------------------------------------------------------------------------


def jindictl(node: NodeProcess, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "jindimail.admin.jindictl",
        "--config",
        str(node.configuration),
        *arguments,
    ]
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=120, check=False
    )


def test_lifeOfAnArrayOnTheCommandLine(serving: NodeProcess) -> None:
    assert jindictl(serving, "domain", "add", "example.net").returncode == 0
    added = jindictl(
        serving, "--json", "user", "add", "bob@example.net", "--quota-octets", "1M", given="secret-of-bob\n"
    )
    assert json.loads(added.stdout)["quotaOctets"] == 1 << 20
    assert jindictl(serving, "user", "add", "bob@example.net", given="secret-of-bob\n").returncode == 1
    assert "bob@example.net" in jindictl(serving, "user", "list").stdout
    assert jindictl(serving, "alias", "add", f"all@{DOMAIN}", USER, "bob@example.net").returncode == 0
    with smtplib.SMTP(HOST, serving.ports["smtp"], timeout=20) as client:
        client.sendmail("x@example.net", [f"all@{DOMAIN}"], LETTER)
    assert len(inbox(serving.ports["pop3"])) == 1
    assert len(inbox(serving.ports["pop3"], "bob@example.net", "secret-of-bob")) == 1
    assert jindictl(serving, "user", "passwd", "bob@example.net", given="other-secret\n").returncode == 0
    with pytest.raises(poplib.error_proto):
        inbox(serving.ports["pop3"], "bob@example.net", "secret-of-bob")
    assert len(inbox(serving.ports["pop3"], "bob@example.net", "other-secret")) == 1
    assert jindictl(serving, "quota", "bob@example.net", "--json").returncode == 0
    assert jindictl(serving, "user", "set", "bob@example.net", "--no-enabled").returncode == 0
    with pytest.raises(poplib.error_proto):
        inbox(serving.ports["pop3"], "bob@example.net", "other-secret")
    assert jindictl(serving, "alias", "remove", f"all@{DOMAIN}", "--yes").returncode == 0
    assert jindictl(serving, "user", "remove", "bob@example.net", "--yes").returncode == 0
    assert jindictl(serving, "domain", "remove", "example.net", "--yes").returncode == 0
    assert jindictl(serving, "user", "show", "bob@example.net").returncode == 1
    assert jindictl(serving, "nonsense").returncode == 2
    assert "LEADER" in jindictl(serving, "buckets").stdout.upper()
    assert jindictl(serving, "check").returncode == 0


def test_sessionsAreSeenAndKicked(serving: NodeProcess) -> None:
    client = imaplib.IMAP4(HOST, serving.ports["imap"], timeout=20)
    client.login(USER, PASSWORD)
    rows = json.loads(jindictl(serving, "--json", "sessions").stdout)["rows"]
    assert [(row["protocol"], row["user"]) for row in rows] == [("imap4", USER)]
    assert jindictl(serving, "sessions", "kick", USER).returncode == 0
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        for _ in range(3):
            client.noop()


def test_backupIsTakenHotAndRestoredIntoAnEmptyDirectory(serving: NodeProcess, tmp_path: Path) -> None:
    send(serving)
    assert jindictl(serving, "backup", str(tmp_path / "backup")).returncode == 0
    assert jindictl(serving, "backup", str(tmp_path / "backup")).returncode == 1
    send(serving)
    assert jindictl(serving, "restore", str(tmp_path / "backup")).returncode == 2
    assert serving.stop() == 0
    shutil.rmtree(serving.data)
    assert jindictl(serving, "restore", str(tmp_path / "backup")).returncode == 0
    assert serving.check().returncode == 0
    serving.start()
    assert len(inbox(serving.ports["pop3"])) == 1


def test_damageHasAnExitStatusOfItsOwn(serving: NodeProcess) -> None:
    send(serving, b"Subject: x\r\n\r\n" + b"needle in the body\r\n" * 50)
    assert serving.stop() == 0
    path = serving.data / "store" / "data.mdb"
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"needle in", b"noodle in"))
    done = serving.check()
    assert done.returncode == 4
    assert "body-damaged" in done.stdout


def test_readerWhoHasReadEnoughIsNoError() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "jindimail.admin.jindictl", "config", "example"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_initIsRefusedOnWhatIsFounded(serving: NodeProcess) -> None:
    assert jindictl(serving, "init").returncode == 2


def test_initMakesTheFirstDomainAndUser(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "jindimail.admin.jindictl",
        "--config",
        str(tmp_path / "etc" / "node.ini"),
        "--json",
    ]
    words = ["init", str(tmp_path / "data"), "--name", "one", "--user", f"ada@{DOMAIN}", "--password-stdin"]
    done = subprocess.run(
        [*command, *words], cwd=ROOT, input=f"{PASSWORD}\n", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["founded"] == str(tmp_path / "data")
    node = NodeProcess(tmp_path)
    listen = "".join(f"{service} = tcp:{port}:interface={HOST}\n" for service, port in node.ports.items())
    text = f"[node]\nname = one\ndata-directory = data\n[listen]\n{listen}[tls]\nplaintext-passwords = loopback\n"
    node.configuration.write_text(text)
    try:
        node.start()
        with smtplib.SMTP(HOST, node.ports["smtp"], timeout=20) as client:
            client.sendmail("x@example.net", [USER, f"postmaster@{DOMAIN}"], LETTER)
        assert len(inbox(node.ports["pop3"])) >= 1
    finally:
        node.close()


# --- make run, without make ------------------------------------------------------------------------------


class QuickRun:
    """A quickstart under way."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "jindimail.admin.quickstart", str(directory / "run")]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        self.account = self._awaitAccount()

    def _awaitAccount(self) -> dict[str, Any]:
        path = self.directory / "run" / "account.json"
        end = time.monotonic() + 40
        while time.monotonic() < end and self.process.poll() is None:
            account: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
            if account.get("pid"):
                return account
            time.sleep(0.05)
        raise NodeFailed(str(self.process.poll()))

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit status and all that was printed."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=40)
        return self.process.returncode, out


def test_quickstartFoundsServesStopsAndKeepsEverything(tmp_path: Path) -> None:
    first = QuickRun(tmp_path)
    account = first.account
    with smtplib.SMTP(HOST, account["ports"]["smtp"], timeout=20) as client:
        client.sendmail("x@example.net", [account["user"]], LETTER)
    os.kill(account["pid"], 0)
    status, out = first.interrupt()
    assert status == 0
    assert account["password"] in out
    assert json.loads((tmp_path / "run" / "account.json").read_text())["pid"] is None
    second = QuickRun(tmp_path)
    try:
        assert {**second.account, "pid": 0} == {**account, "pid": 0}
        letters = inbox(second.account["ports"]["pop3"], account["user"], account["password"])
        assert [b"Hello." in letter for letter in letters] == [True]
    finally:
        assert second.interrupt()[0] == 0

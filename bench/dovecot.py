"""Dovecot on loopback with a configuration of its own: LMTP in, mdbox, fsync always, POP3 out."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from bench.meter import Meter
from bench.scratch import Scratch, waitUntil
from bench.target import HOST, Account, freePorts, isListening

PASSWORD = "bench-password"  # of mailboxes that live as long as the run
DOMAIN = "bench.test"

# Debian's defaults otherwise. mail_fsync = always is the durability that a 250 of jindimail promises.
_CONFIGURATION = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
listen = 127.0.0.1
protocols = lmtp pop3
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = mdbox:{root}/mail/%n
mail_fsync = always
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={root}/mail/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtpPort}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3Port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


class Dovecot:
    """One instance under `scratch`; Postfix reaches its LMTP over the UNIX socket `lmtpSocket`."""

    def __init__(self, scratch: Scratch, accountCount: int) -> None:
        self._root = scratch.path / "dovecot"
        self._scratch = scratch
        self.lmtpPort, self.pop3Port = freePorts(2)
        self.lmtpSocket = self._root / "run" / "lmtp"
        self.accounts = [
            Account(address=f"u{number}@{DOMAIN}", login=f"u{number}", password=PASSWORD)
            for number in range(1, accountCount + 1)
        ]
        self.meter = Meter("dovecot")
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = Path()

    def start(self, certificate: Path, key: Path) -> None:
        """Start in the foreground under the meter and wait for its ports."""
        mail = pwd.getpwnam("mail")
        self._scratch.folder("dovecot")
        self._scratch.folder("dovecot/mail", mail.pw_uid, mail.pw_gid)
        self._configuration = self._scratch.write(
            "dovecot/dovecot.conf",
            _CONFIGURATION.format(
                root=self._root,
                certificate=certificate,
                key=key,
                password=PASSWORD,
                lmtpPort=self.lmtpPort,
                pop3Port=self.pop3Port,
            ),
        )
        argv = ["dovecot", "-F", "-c", str(self._configuration)]
        self._process = subprocess.Popen(self.meter.wrap(argv), stderr=subprocess.DEVNULL)
        waitUntil(
            lambda: isListening(HOST, self.lmtpPort) and isListening(HOST, self.pop3Port),
            "Dovecot listens",
            15,
        )

    def stop(self) -> None:
        """Stop the master, which takes its children along; the meter sees to stragglers."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(self._process.pid, 9)
                self._process.wait()
        self.meter.close()

    def settings(self) -> str:
        """What differs from Dovecot's defaults, as `doveconf -n` prints it."""
        return _printed(["doveconf", "-n", "-c", str(self._configuration)]).replace(PASSWORD, "...")


def _printed(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

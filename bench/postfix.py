"""Postfix on loopback with a configuration and a queue of its own, handing everything to Dovecot's LMTP."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from bench.dovecot import DOMAIN, HOST
from bench.meter import Meter
from bench.scratch import Scratch, waitUntil
from bench.target import freePorts, isListening

# Debian's defaults otherwise, without chroot; no client limits, since all load comes from one address.
# Postfix always syncs its queue files: there is nothing to set for durability. It logs as it does on any machine,
# through its own postlogd, since no syslog daemon can be counted on.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = pair.{domain}
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:1
virtual_transport = lmtp:unix:{lmtpSocket}
message_size_limit = 52428800
virtual_mailbox_limit = 0
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
"""

_MASTER = """\
{port}    inet  n       -       n       -       -       smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

_UNDER_WAY = ("maildrop", "incoming", "active", "deferred")


class Postfix:
    """One instance under `scratch`, started and stopped by its own control program."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._root = scratch.path / "postfix"
        self._configuration = self._root / "etc"
        (self.smtpPort,) = freePorts(1)
        self.meter = Meter("postfix")

    def start(self, certificate: Path, key: Path, lmtpSocket: Path) -> None:
        """Write the configuration, start under the meter and wait for the port."""
        owner = pwd.getpwnam("postfix")
        self._scratch.folder("postfix")
        self._scratch.folder("postfix/queue")
        self._scratch.folder("postfix/data", owner.pw_uid, owner.pw_gid)
        main = _MAIN.format(
            root=self._root, domain=DOMAIN, lmtpSocket=lmtpSocket, certificate=certificate, key=key
        )
        self._scratch.write("postfix/etc/main.cf", main)
        self._scratch.write("postfix/etc/master.cf", _MASTER.format(port=f"{HOST}:{self.smtpPort}"))
        self._control("start")
        waitUntil(lambda: isListening(HOST, self.smtpPort), "Postfix listens", 15)

    def stop(self) -> None:
        """Stop the master and all its children; the meter sees to stragglers."""
        if self._configuration.exists():
            self._control("stop", mayFail=True)
        self.meter.close()

    def isSettled(self) -> bool:
        """Whether the queue holds no file; read from the directories, so that it costs Postfix nothing."""
        return not any(_holdsFile(self._root / "queue" / name) for name in _UNDER_WAY)

    def settings(self) -> str:
        """What differs from Postfix's defaults, as `postconf -n` prints it."""
        argv = ["postconf", "-n", "-c", str(self._configuration)]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def _control(self, verb: str, *, mayFail: bool = False) -> None:
        argv = ["postfix", "-c", str(self._configuration), verb]
        subprocess.run(self.meter.wrap(argv), check=not mayFail, capture_output=True)


def _holdsFile(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_holdsFile(Path(each.path)) if each.is_dir() else True for each in entries)
    except FileNotFoundError:
        return False

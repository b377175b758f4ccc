"""kill -9 under load: every acknowledged message is there once, with the octets that were sent."""

from __future__ import annotations

import imaplib
import os

from tests.faults.trial import Trial
from tests.support.node import HOST, NodeProcess

_ROUNDS = int(os.environ.get("KILL_ROUNDS", "8"))


def test_acknowledgedMailSurvivesEachKill(node: NodeProcess) -> None:
    trial = Trial(node)
    trial.prepare()
    for _ in range(_ROUNDS):
        trial.live()
        node.start()
        trial.audit()
        node.kill()  # in its second life it only read and deleted
    node.start()
    assert trial.violations() == []
    _assertImapSeesTheSame(trial)
    assert node.stop() == 0
    checked = node.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _assertImapSeesTheSame(trial: Trial) -> None:
    for account in trial.accounts:
        client = imaplib.IMAP4(HOST, trial.node.ports["imap"])
        client.login(account.login, account.password)
        client.select("INBOX", readonly=True)
        _, found = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
        messages = [part[1] for part in found if isinstance(part, tuple)]
        client.logout()
        assert trial.ledger.violations(account.address, messages) == []
        assert sorted(messages) == sorted(trial.node.messages(account))

"""kill -9 under load: every acknowledged message is there once, with the octets that were sent."""

from __future__ import annotations

import os

from tests.faults.trial import Trial
from tests.support.node import NodeProcess

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
    for account in trial.accounts:
        messages = trial.imapMessages(account)
        assert trial.ledger.violations(account.address, messages) == []
        assert sorted(messages) == sorted(node.messages(account))
    assert node.stop() == 0
    checked = node.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr

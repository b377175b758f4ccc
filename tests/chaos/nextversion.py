"""
A node as of a version to come: `python -m tests.chaos.nextversion -n jindimail --config FILE`, as `twistd` is called.

It speaks one level more than this one, whose entries older nodes do not know (that of `jindictl postmaster --address`). Certificates live for some
seconds, and what was issued for longer is renewed at once.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from twisted.scripts.twistd import run

from jindimail.cluster import authority, renewal
from jindimail.cluster.authority import loadCertificate
from jindimail.mailbox import entries

CERTIFICATE_SECONDS = 16
LOOK_SECONDS = 2.0
DAY_SECONDS = 86400


def isDue(certificate: bytes, now: datetime) -> bool:
    """In place of `authority.isDue`."""
    left = loadCertificate(certificate).not_valid_after_utc - now
    return not timedelta(seconds=CERTIFICATE_SECONDS / 2) < left < timedelta(days=1)


def main() -> None:
    """Run it."""
    os.environ["JINDIMAIL_TEST_LEVELS"] = "1-2"
    changed: Any = (authority, renewal)
    changed[0].NODE_DAYS = CERTIFICATE_SECONDS / DAY_SECONDS
    changed[1].LOOK_SECONDS = LOOK_SECONDS
    changed[1].isDue = isDue
    entries.LEVELS[entries.SetSetting] = 2
    run()


if __name__ == "__main__":
    main()

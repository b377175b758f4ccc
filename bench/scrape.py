"""What nodes count of themselves, read from their `/metrics` and summed over nodes, peers and channels."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.request import urlopen

from bench.target import HOST
from jindimail.admin.client import ControlClient

# what the bench tells of: counters of docs/metrics.md, without their prefix
_COUNTERS = {
    "store_commits_total": "transactions",
    "store_jobs_total": "writes",
    "store_rows_total": "rows",
    "peer_batches_total": "batches",
    "peer_messages_total": "messages",
    "peer_messages_octets_total": "octets",
    "peer_calls_total": "calls",
    "peer_calls_octets_total": "octets",
    "peer_answers_octets_total": "octets",
}


COUNTED = ("transactions", "writes", "rows", "log rows", "batches", "messages", "calls", "octets")


def counted(webPorts: Sequence[int], controls: Sequence[ControlClient]) -> dict[str, float]:
    """The counters of nodes, summed; `controls` are closed."""
    found = dict.fromkeys(COUNTED, 0.0)
    for port in webPorts:
        with urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.partition(" ")
                what = _COUNTERS.get(name.partition("{")[0].removeprefix("jindimail_"))
                if what is not None:
                    found[what] += float(value)
    for control in controls:
        found["log rows"] += _logRows(control)
        control.close()
    return found


def _logRows(control: ControlClient) -> int:
    """How many entries a node's replicas have applied, each of which was a row of its log."""
    rows, after = 0, ""
    while after is not None:
        page = control.ask("buckets", {"after": after})
        rows += sum(row["applied"] for row in page["rows"])
        after = page["after"]
    return rows

"""The verbs about the store: a hot backup and a check, each in a thread while the node serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from jindimail.admin.clustercheck import checkCluster
from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import PATH, SHOWN_MAX, SWITCH, Argument, Report, VerbRefused, verb
from jindimail.cluster.revival import othersOf
from jindimail.errors import ConfigError
from jindimail.store.backup import backup as backUp
from jindimail.store.check import check as findAll
from jindimail.store.finding import Finding


@verb(
    "backup",
    Argument(name="directory", doc="where the backup goes; it must not exist, or be empty", kind=PATH),
    examples=("jindictl backup /backup/monday",),
)
async def backup(node: LiveNode, report: Report, *, directory: str) -> dict[str, Any]:
    """Copy the store, as of one moment and compacted, while the node serves. Certificates and keys are not in it."""

    def work() -> Any:
        return backUp(node.store.environment, Path(directory), _onReactor(node, report), others)

    await node.store.write(_nothing)  # what is applied so far shall be in it
    with node.store.read() as rows:
        others = othersOf(rows, node.meta.node)
    try:
        manifest = await _alone(node, "a backup", lambda: node.inThread(work))
    except ConfigError as error:
        raise VerbRefused("; ".join(error.problems)) from error
    except OSError as error:
        raise VerbRefused(f"{directory}: {error.strerror}") from error
    return {"directory": directory, **msgspec.to_builtins(manifest)}


@verb(
    "check",
    Argument(
        name="cluster",
        doc="compare the replicas of all nodes, and read all copies of bodies where they are kept",
        kind=SWITCH,
        option=True,
        default=False,
    ),
    examples=("jindictl check", "jindictl --json check", "jindictl check --cluster"),
)
async def check(node: LiveNode, report: Report, *, cluster: bool = False) -> dict[str, Any]:
    """Walk all records, verify all bodies, and name what is wrong and where. Without a running node its store is opened."""

    def work() -> dict[str, Any]:
        return resultOf(findAll(node.store.environment.snapshot, _onReactor(node, report)))

    def begin() -> Awaitable[Any]:
        return checkCluster(node, report) if cluster else node.inThread(work)

    result: dict[str, Any] = await _alone(node, "a check", begin)
    return result


def _nothing(rows: Any) -> None:
    """A job that only waits for those before it."""


def resultOf(findings: Iterable[Finding]) -> dict[str, Any]:
    """What a check found, as it is shown: at most SHOWN_MAX problems, and how many there are."""
    problems: list[dict[str, str]] = []
    warnings: list[dict[str, str]] = []
    count = 0
    for finding in findings:
        shown = warnings if finding.kind.isWarning else problems
        count += not finding.kind.isWarning
        if len(shown) < SHOWN_MAX:
            shown.append(
                {
                    "kind": finding.kind.value,
                    "where": finding.where,
                    "what": finding.text,
                    "table": finding.table,
                    "key": finding.key.hex(),
                }
            )
    return {"isSound": not count, "count": count, "problems": problems, "warnings": warnings}


def _onReactor(node: LiveNode, report: Report) -> Callable[[int, int, str], None]:
    """A progress report that a thread may call."""
    return lambda done, total, what: node.fromThread(report, done, total, what)


async def _alone(node: LiveNode, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Long work goes one at a time: it costs the disk that clients wait for."""
    if node.longWork:
        raise VerbRefused(f"{node.longWork} is under way", "busy")
    node.longWork = what
    try:
        return await work()
    finally:
        node.longWork = ""

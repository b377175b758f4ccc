"""
What a node keeps beside its store to find the other nodes and be believed by them: its credentials, and their addresses.

`node.pem` holds the node's certificate, its key and the array's authority, in one file so that a renewal replaces all or nothing.
`authority-key.pem` is there only between the making of an authority and its commit in the array's own group. `peers.json` names the
other nodes as last known: whom to ask before the array's own group has come here, or when its rows are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from jindimail.admin.certificates import replacePrivately
from jindimail.cluster.authority import Credentials
from jindimail.cluster.peer import Peer
from jindimail.errors import ConfigError

CREDENTIALS = "node.pem"
AUTHORITY_KEY = "authority-key.pem"
PEERS = "peers.json"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n", re.DOTALL)


def pemParts(path: Path, count: int) -> list[bytes]:
    """
    The parts of a PEM file.

    @raise ConfigError: there are not so many.
    """
    parts = [match[0] for match in _PEM.finditer(path.read_bytes())]
    if len(parts) != count:
        raise ConfigError((f"{path}: {len(parts)} PEM parts, and not {count}",))
    return parts


def readCredentials(directory: Path) -> Credentials | None:
    """
    The node's credentials; None if it has none.

    @raise ConfigError: the file holds something else.
    """
    path = directory / CREDENTIALS
    if not path.exists():
        return None
    certificate, key, authority = pemParts(path, 3)
    return Credentials(certificate=certificate, key=key, authority=authority)


def writeCredentials(directory: Path, credentials: Credentials) -> None:
    """Keep credentials, durably, instead of any before."""
    octets = credentials.certificate + credentials.key + credentials.authority
    replacePrivately(directory / CREDENTIALS, octets)


def readPeers(directory: Path) -> tuple[Peer, ...]:
    """
    The other nodes as last known.

    @raise ConfigError: the file cannot be read.
    """
    path = directory / PEERS
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Peer, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as problem:
        raise ConfigError((f"{path}: {problem}",)) from problem


def writePeers(directory: Path, peers: Iterable[Peer]) -> None:
    """Remember the other nodes, durably."""
    octets = msgspec.json.format(msgspec.json.encode(tuple(peers))) + b"\n"
    replacePrivately(directory / PEERS, octets)

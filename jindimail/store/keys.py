"""
The keys of the sub-databases: big-endian, so that byte order is value order; data keys begin with the bucket (design §4).

Pure. One function a table, so that a layout stands in one place; prefixes are what scans begin with.
"""

from __future__ import annotations

from struct import Struct

# The sub-databases of a node's one LMDB environment.
META = "meta"
HARD = "hard"
LOG = "log"
BODY = "body"
BODYREF = "bodyref"
USER = "user"
ADDRESS = "address"
MAILBOX = "mailbox"
MESSAGE = "message"
SUMMARY = "summary"
CHANGE = "change"
DELIVERY = "delivery"
QUEUE = "queue"
REQUEST = "request"  # outcomes of requests that were proposed under an id, for some minutes
ARRAY = "array"  # the state of group 0: domains, settings, nodes, user map

TABLES = (
    META,
    HARD,
    LOG,
    BODY,
    BODYREF,
    USER,
    ADDRESS,
    MAILBOX,
    MESSAGE,
    SUMMARY,
    CHANGE,
    DELIVERY,
    QUEUE,
    REQUEST,
    ARRAY,
)

KEY_OCTETS_MAX = 511  # LMDB's own limit
BODY_ID_OCTETS = 16
CHUNK_OCTETS = 65_520  # a whole number of 4 KiB pages with LMDB's 16-octet overflow header

_BUCKET = Struct(">H")
_GROUP_INDEX = Struct(">HQ")
_BUCKET_U64 = Struct(">HQ")
_BUCKET_BODY = Struct(">H16s")
_BUCKET_BODY_CHUNK = Struct(">H16sI")
_BUCKET_BODY_PREFIX = Struct(">H16sH")
_MESSAGE = Struct(">HQI")
_QUEUE = Struct(">HQ16sH")
_CHANGE = Struct(">HQQ")

# What follows (bucket, account id) in USER: nothing for the account itself.
USAGE_TAG = b"\x01"
NAME_TAG = b"\x02"
SUBSCRIPTION_TAG = b"\x03"
POP_LOCK_TAG = b"\x04"
FLOOR_TAG = b"\x05"  # of account id 0, which no account has
CLOCKS_TAG = b"\x06"  # likewise

# Marks in META.
REJOINING_KEY = b"rejoining"  # this store took the place of one that was set aside
ALONE_KEY = b"alone"  # this store was restored from a backup, without the other nodes of its array
GIVEN_UP_KEY = b"givenUp"  # another node has said that the array gave this one up for good
MET_TAG = b"met:"  # and another node's number: the last of its lives that this node met
OWING_TAG = b"owing:"  # and a bucket's number: founded anew here, its mailboxes owe new UIDVALIDITYs

DOMAIN_TAG = b"d"
SETTING_TAG = b"s"
CLUSTER_TAGS = (b"n", b"w", b"i", b"a")  # nodes, wishes, invitations, the authority: cluster/arrayrecords.py

bucketKey = _BUCKET.pack
groupKey = _BUCKET.pack
logKey = _GROUP_INDEX.pack
accountKey = _BUCKET_U64.pack
mailboxKey = _BUCKET_U64.pack
bodyKey = _BUCKET_BODY.pack
chunkKey = _BUCKET_BODY_CHUNK.pack
bodyrefKey = _BUCKET_BODY.pack
summaryKey = _BUCKET_BODY.pack
prefixKey = _BUCKET_BODY_PREFIX.pack
deliveryKey = _BUCKET_BODY.pack
requestKey = _BUCKET_BODY.pack  # of a group, not a bucket
messageKey = _MESSAGE.pack
queueKey = _QUEUE.pack  # bucket, due seconds, body id, target bucket
changeKey = _CHANGE.pack

unpackQueueKey = _QUEUE.unpack
QUEUE_KEY_OCTETS = _QUEUE.size
unpackChunkKey = _BUCKET_BODY_CHUNK.unpack
unpackBodyKey = _BUCKET_BODY.unpack
unpackLogKey = _GROUP_INDEX.unpack
unpackMailboxKey = _BUCKET_U64.unpack


def usageKey(bucket: int, accountId: int) -> bytes:
    """The account's usage, apart from the account because every delivery rewrites it."""
    return accountKey(bucket, accountId) + USAGE_TAG


def nameKey(bucket: int, accountId: int, name: str) -> bytes:
    """The mailbox id of a name; with an empty name, the prefix of all of an account's names."""
    return accountKey(bucket, accountId) + NAME_TAG + name.encode()


def subscriptionKey(bucket: int, accountId: int, name: str) -> bytes:
    """A subscription, which outlives its mailbox (RFC 9051 §6.3.7)."""
    return accountKey(bucket, accountId) + SUBSCRIPTION_TAG + name.encode()


def popLockKey(bucket: int, accountId: int) -> bytes:
    """The POP3 lock of an account."""
    return accountKey(bucket, accountId) + POP_LOCK_TAG


def uidValidityFloorKey(bucket: int) -> bytes:
    """The highest UIDVALIDITY that any account had which is no longer there."""
    return accountKey(bucket, 0) + FLOOR_TAG


def clocksKey(bucket: int) -> bytes:
    """What proposers' clocks said in the last deliveries."""
    return accountKey(bucket, 0) + CLOCKS_TAG


def metKey(node: int) -> bytes:
    """Another node, as it was met."""
    return MET_TAG + node.to_bytes(4, "big")


def owingKey(bucket: int) -> bytes:
    """A bucket that was founded anew."""
    return OWING_TAG + bucket.to_bytes(2, "big")


def addressKey(bucket: int, address: str) -> bytes:
    """An address, normalised by the caller."""
    return bucketKey(bucket) + address.encode()


def domainKey(name: str) -> bytes:
    """A domain of the array, normalised by the caller."""
    return DOMAIN_TAG + name.encode()


def settingKey(name: str) -> bytes:
    """A replicated setting."""
    return SETTING_TAG + name.encode()


def after(prefix: bytes) -> bytes:
    """The first key that no longer begins with `prefix`: the end of a scan over it."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\xff" * KEY_OCTETS_MAX

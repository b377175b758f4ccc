"""Who wants to hear of which topic on this node. Events are hints: a listener reads what changed for itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.logger import Logger

from jindimail.model import ARRAY_GROUP, bucketGroup

Topic = tuple[Any, ...]
Listener = Callable[[], None]


def groupOfTopic(topic: Topic) -> int:
    """The group that a topic is about: of the bucket that it names, if any, else the array's own."""
    if topic[0] == "snapshot":
        return int(topic[1])
    return bucketGroup(topic[1]) if len(topic) > 1 else ARRAY_GROUP


class Following:
    """One listener's interest; `stop` ends it."""

    __slots__ = ("_followers", "_topic", "listener")

    def __init__(self, followers: Followers, topic: Topic, listener: Listener) -> None:
        self._followers = followers
        self._topic = topic
        self.listener = listener

    def stop(self) -> None:
        """No call comes after this; harmless twice."""
        self._followers.forget(self._topic, self)


class Followers:
    """
    The listeners by topic.

    @ivar wanted: called with a group when somebody begins to follow it.
    """

    log = Logger()

    def __init__(self) -> None:
        self.wanted: Callable[[int], object] = lambda group: None
        self._followings: dict[Topic, dict[Following, None]] = {}
        self._groups: dict[int, int] = {}  # how many topics of each are followed

    def follow(self, topic: Topic, listener: Listener) -> Following:
        """Call `listener()` whenever the topic is told."""
        following = Following(self, topic, listener)
        followings = self._followings.get(topic)
        if followings is None:
            followings = self._followings[topic] = {}
            group = groupOfTopic(topic)
            count = self._groups[group] = self._groups.get(group, 0) + 1
            if count == 1:
                self.wanted(group)
        followings[following] = None
        return following

    @property
    def areAny(self) -> bool:
        """Whether anybody follows anything."""
        return bool(self._followings)

    def groups(self) -> Collection[int]:
        """The groups that somebody follows."""
        return tuple(self._groups)

    def forget(self, topic: Topic, following: Following) -> None:
        """End one interest."""
        followings = self._followings.get(topic)
        if followings is not None and following in followings:
            del followings[following]
            if not followings:
                del self._followings[topic]
                self._leave(groupOfTopic(topic))

    def _leave(self, group: int) -> None:
        self._groups[group] -= 1
        if not self._groups[group]:
            del self._groups[group]

    def tellGroup(self, group: int) -> None:
        """Call everybody who follows anything of a group."""
        self.tell([topic for topic in self._followings if groupOfTopic(topic) == group])

    def tell(self, topics: Iterable[Topic]) -> None:
        """Call those who follow these topics; one that raises is logged and keeps the others from nothing."""
        for topic in topics:
            followings = self._followings.get(topic)
            if followings is None:
                continue
            for following in tuple(followings):
                try:
                    following.listener()
                except Exception:
                    self.log.failure("A listener of {topic} failed", topic=topic)

"""Who wants to hear of which topic on this node. Events are hints: a listener reads what changed for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

Topic = tuple[object, ...]
Listener = Callable[[], None]


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
    """The listeners by topic."""

    log = Logger()

    def __init__(self) -> None:
        self._followings: dict[Topic, dict[Following, None]] = {}

    def follow(self, topic: Topic, listener: Listener) -> Following:
        """Call `listener()` whenever the topic is told."""
        following = Following(self, topic, listener)
        self._followings.setdefault(topic, {})[following] = None
        return following

    def forget(self, topic: Topic, following: Following) -> None:
        """End one interest."""
        followings = self._followings.get(topic)
        if followings is not None and following in followings:
            del followings[following]
            if not followings:
                del self._followings[topic]

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

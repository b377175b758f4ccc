"""Verbs asked of other nodes, over the links: what an operator asks at one node may be about all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import DeferredList, ensureDeferred

from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import Verb, VerbRefused
from jindimail.errors import JindimailError, NotAllowed

METHOD = "admin.verb"
ASK_SECONDS = 2.0
PAGES_MAX = 100


def serveVerbs(node: LiveNode, verbs: Mapping[str, Verb]) -> None:
    """Answer other nodes with those verbs that are meant for it."""

    async def answer(sender: int, payload: bytes, seconds: float) -> bytes:
        request = json.loads(payload)
        verb = verbs.get(request["verb"])
        if verb is None or not verb.isFar:
            raise NotAllowed("not for other nodes")
        try:
            result = await verb.run(node, _silently, **verb.settle(request["arguments"]))
        except VerbRefused as refused:
            raise NotAllowed(refused.text) from refused
        return json.dumps(result).encode()

    node.links.serve(METHOD, answer)


async def askNode(node: LiveNode, number: int, words: str, **arguments: Any) -> Any:
    """
    The result of a verb at one node.

    @raise Unavailable: it does not answer.
    """
    payload = json.dumps({"verb": words, "arguments": arguments}).encode()
    return json.loads(await node.links.call(number, METHOD, payload, ASK_SECONDS))


async def askAll(node: LiveNode, words: str, **arguments: Any) -> dict[int, Any]:
    """The results of a verb at all nodes that answer in time, this one among them."""
    numbers = sorted({node.meta.node, *filter(node.links.isUp, node.share.userMap.living())})
    asked = [ensureDeferred(_orNone(node, number, words, arguments)) for number in numbers]
    results = await DeferredList(asked, fireOnOneErrback=True)
    return {
        number: result for number, (_, result) in zip(numbers, results, strict=True) if result is not None
    }


async def _orNone(node: LiveNode, number: int, words: str, arguments: dict[str, Any]) -> Any:
    """One node's result, all pages of it; None if it gives none."""
    try:
        result = await askNode(node, number, words, **arguments)
        for _ in range(PAGES_MAX):
            if result.get("after") is None:
                break
            page = await askNode(node, number, words, **arguments, after=result["after"])
            result = {"rows": [*result["rows"], *page["rows"]], "after": page["after"]}
        return result
    except JindimailError:
        return None


def _silently(done: int, total: int, what: str) -> None:
    pass

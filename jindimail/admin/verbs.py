"""All verbs of a node, by the words that call them."""

from __future__ import annotations

from jindimail.admin import accountverbs, clusterverbs, nodeverbs, queueverbs, storeverbs
from jindimail.admin.verb import Verb

VERBS: dict[str, Verb] = {
    " ".join(each.words): each
    for module in (nodeverbs, accountverbs, clusterverbs, queueverbs, storeverbs)
    for each in vars(module).values()
    if isinstance(each, Verb)
}

"""The rules of a shard as its worker has committed them: matcher and book."""

from __future__ import annotations

from saima.stores.interfaces import OnlineRead
from saima.stores.shards import Share
from saima.streams.matching.matcher import Matcher
from saima.streams.matching.orders import Rulebook

STATE, BOOK = "matching", "matching_book"
"""Online tables of partial matches with the rules, and of the rules' origins."""

KEY = "book"


def load(read: OnlineRead, share: Share | None = None) -> tuple[Matcher, Rulebook]:
    """Matcher and book; empty ones where nothing has been committed."""
    (book,) = read.get_many(BOOK, [KEY])
    return Matcher.load(read.scan(STATE), share), Rulebook() if book is None else Rulebook.unpack(book)

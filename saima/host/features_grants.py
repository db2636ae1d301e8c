"""Who may read which names of the feature service: by the caller's key; without keys, this machine reads all."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from saima.errors import RequestError
from saima.settings import FeatureGrant


@dataclass(frozen=True)
class Caller:
    """A caller and the patterns of full names that it may read, such as `flight_delay.dep_*`."""

    name: str
    patterns: tuple[str, ...]

    def may_read(self, full_name: str) -> bool:
        """Whether a pattern fits; case counts.

        >>> Caller("board", ("shop.views*",)).may_read("shop.views.count_1h")
        True
        """
        return any(fnmatchcase(full_name, pattern) for pattern in self.patterns)


OPERATOR = Caller("operator", ("*",))
"""Whoever reads the stores themselves, or asks from this machine where no grants are set."""


def caller_of(grants: Mapping[str, FeatureGrant], authorization: str | None, address: str | None) -> Caller:
    """The caller of a request by its `Authorization` header and the address that it comes from (None: unknown).

    Raises RequestError: 401 for a key that is absent or of nobody, 403 for a foreign address where no keys are set.
    """
    if not grants:
        if _is_loopback(address):
            return OPERATOR
        raise RequestError("features are read from this machine only, until the setting feature_grants names callers",
                           status=403)  # fmt: skip
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise RequestError("send a key: the header 'Authorization: Bearer <key>'", status=401)
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    found = [name for name, grant in grants.items() if hmac.compare_digest(grant.key_sha256, digest)]
    if not found:
        raise RequestError("the key is no caller's of the setting feature_grants", status=401)
    return Caller(found[0], tuple(grants[found[0]].names))


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

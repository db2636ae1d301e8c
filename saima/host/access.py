"""Who may ask what of the API: callers by key, with scopes; without keys, this machine may ask everything."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import psutil

from saima.errors import RequestError, SaimaError
from saima.settings import ApiKey

FEATURES = "features:"
"""Before a pattern of full names of the feature service in a scope, such as `features:flight_delay.dep_*`."""


@dataclass(frozen=True)
class Caller:
    """A caller and its scopes: predict, events, admin, `features:<pattern of full names>`."""

    name: str
    scopes: tuple[str, ...]

    def may_read(self, full_name: str) -> bool:
        """Whether a pattern of the scopes fits a full name of the feature service; case counts.

        >>> Caller("board", ("features:shop.views*",)).may_read("shop.views.count_1h")
        True
        """
        patterns = (scope.removeprefix(FEATURES) for scope in self.scopes if scope.startswith(FEATURES))
        return any(fnmatchcase(full_name, pattern) for pattern in patterns)

    def require(self, scope: str) -> None:
        """Raise RequestError (403) naming a scope that the caller lacks; `features` is any of the feature scopes."""
        held = any(one.startswith(FEATURES) for one in self.scopes) if scope == "features" else scope in self.scopes
        if not held:
            raise RequestError(f"the key of '{self.name}' lacks the scope '{scope}'", status=403)


OPERATOR = Caller("operator", ("predict", "events", "admin", f"{FEATURES}*"))
"""Whoever reads the stores themselves, or asks from this machine where no keys are set."""


def key_digest(key: str) -> str:
    """What is stored of a key: its SHA-256 in hex. Keys are random, so that no slow hash has to protect them."""
    return hashlib.sha256(key.encode()).hexdigest()


def caller_of(keys: Mapping[str, ApiKey], authorization: str | None, address: str | None) -> Caller:
    """The caller of a request by its `Authorization` header and the address that it comes from (None: unknown).

    Every stored digest is compared, each in constant time. Raises RequestError: 401 for a key that is absent or of
    nobody, 403 for a foreign address where no keys are set.
    """
    if not keys:
        if is_loopback(address):
            return OPERATOR
        raise RequestError("this machine alone may ask until the setting api_keys names callers", status=403)
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise RequestError("send a key: the header 'Authorization: Bearer <key>'", status=401)
    digest = key_digest(key.strip())
    found = [name for name, one in keys.items() if hmac.compare_digest(one.key_sha256, digest)]
    if not found:
        raise RequestError("the key is no caller's of the setting api_keys", status=401)
    return Caller(found[0], tuple(keys[found[0]].scopes))


def is_loopback(address: str | None) -> bool:
    """Whether an address is one of this machine alone."""
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def listening() -> set[str]:
    """Addresses on which this process's TCP sockets listen."""
    found = psutil.Process().net_connections("tcp")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN and one.type == socket.SOCK_STREAM}


def refuse_open(keys: Mapping[str, ApiKey], addresses: Iterable[str]) -> None:
    """Raise SaimaError where others than this machine could ask and no keys say who may."""
    foreign = sorted(address for address in addresses if not is_loopback(address))
    if foreign and not keys:
        raise SaimaError(
            f"the host would listen on {', '.join(foreign)} for anybody: set api_keys in saima.toml (`saima key` makes "
            "them), or bind it to 127.0.0.1"
        )

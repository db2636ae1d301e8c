"""Ed25519 signatures of bundles: over the manifest's digest, which covers every file."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from saima.errors import BundleError, SaimaError

SIGNATURE = "manifest.sig"
"""Stands beside the manifest: JSON of `key` (public, base64) and `signature` (base64)."""

_CONTEXT = b"saima bundle v1\n"
"""Before what is signed, so that a signature of something else is none of a bundle."""


def new_key(path: Path) -> str:
    """Write a new private key (PEM, readable by its owner alone) and return the public one (base64).

    Raises SaimaError where the file exists.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SaimaError(f"{path}: {error.strerror}; a key is never written over") from error
    with os.fdopen(file, "wb") as opened:
        opened.write(text)
    return _public(key.public_key())


def sign(digest: str, path: Path) -> str:
    """The signature file's text for a bundle's digest, by the private key of a file. Raises SaimaError naming it."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise SaimaError(f"signing key {path}: {error.strerror}; `saima bundle --new-key` makes one") from error
    except (ValueError, TypeError) as error:
        raise SaimaError(f"signing key {path} is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SaimaError(f"signing key {path} is no Ed25519 key; `saima bundle --new-key` makes one")
    signature = base64.b64encode(key.sign(_CONTEXT + digest.encode())).decode()
    return json.dumps({"key": _public(key.public_key()), "signature": signature}) + "\n"


def check_signature(root: Path, digest: str, trusted: Sequence[str]) -> None:
    """Raise BundleError unless one of the trusted keys has signed the bundle's digest."""
    path = root / SIGNATURE
    try:
        document = json.loads(path.read_bytes())
        key, signature = str(document["key"]), base64.b64decode(document["signature"], validate=True)
    except FileNotFoundError:
        raise BundleError(
            f"{root}: bundle {digest[:12]} is not signed, and this host takes signed bundles only; build it with "
            "`saima bundle`, where signing_key is set"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BundleError(f"{path}: is no signature ({type(error).__name__})") from error
    if key not in trusted:
        raise BundleError(f"{path}: bundle {digest[:12]} is signed by {key}, which is not among the trusted_keys")
    try:
        read_public(key).verify(signature, _CONTEXT + digest.encode())
    except InvalidSignature:
        raise BundleError(f"{path}: the signature is not one of bundle {digest[:12]} by {key}") from None


def read_public(text: str) -> Ed25519PublicKey:
    """A public key from its base64. Raises SaimaError for what is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise SaimaError(f"trusted_keys: '{text}' is no Ed25519 public key in base64") from error


def _public(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()

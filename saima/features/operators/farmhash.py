"""FarmHash Fingerprint64 in plain Python: the reference of `hash_bucket` (farmhashna::Hash64, Google, MIT)."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _read(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _rotate(value: int, shift: int) -> int:
    return ((value >> shift) | (value << (64 - shift))) & _MASK if shift else value


def _mix(value: int) -> int:
    return value ^ (value >> 47)


def _len16(u: int, v: int, multiplier: int) -> int:
    a = _mix(((u ^ v) * multiplier) & _MASK)
    b = _mix(((v ^ a) * multiplier) & _MASK)
    return (b * multiplier) & _MASK


def _up_to_16(data: bytes) -> int:
    n = len(data)
    if n >= 8:
        multiplier = (_K2 + n * 2) & _MASK
        a, b = (_read(data, 0) + _K2) & _MASK, _read(data, n - 8)
        c = (_rotate(b, 37) * multiplier + a) & _MASK
        d = ((_rotate(a, 25) + b) * multiplier) & _MASK
        return _len16(c, d, multiplier)
    if n >= 4:
        multiplier = (_K2 + n * 2) & _MASK
        return _len16((n + (_read(data, 0, 4) << 3)) & _MASK, _read(data, n - 4, 4), multiplier)
    if n > 0:
        y = data[0] + (data[n >> 1] << 8)
        z = n + (data[n - 1] << 2)
        return (_mix((y * _K2 & _MASK) ^ (z * _K0 & _MASK)) * _K2) & _MASK
    return _K2


def _up_to_32(data: bytes) -> int:
    n = len(data)
    multiplier = (_K2 + n * 2) & _MASK
    a, b = (_read(data, 0) * _K1) & _MASK, _read(data, 8)
    c, d = (_read(data, n - 8) * multiplier) & _MASK, (_read(data, n - 16) * _K2) & _MASK
    u = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    v = (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK
    return _len16(u, v, multiplier)


def _swap(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def _up_to_64(data: bytes) -> int:
    n = len(data)
    multiplier = (_K2 + n * 2) & _MASK
    a, b = (_read(data, 0) * _K2) & _MASK, _read(data, 8)
    c, d = (_read(data, n - 8) * multiplier) & _MASK, (_read(data, n - 16) * _K2) & _MASK
    y = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    z = _len16(y, (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK, multiplier)
    e, f = (_read(data, 16) * multiplier) & _MASK, _read(data, 24)
    g = ((y + _read(data, n - 32)) * multiplier) & _MASK
    h = ((z + _read(data, n - 24)) * multiplier) & _MASK
    u = (_rotate((e + f) & _MASK, 43) + _rotate(g, 30) + h) & _MASK
    v = (e + _rotate((f + a) & _MASK, 18) + g) & _MASK
    return _len16(u, v, multiplier)


def _weak(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_read(data, at + 8 * step) for step in range(4))
    a = (a + w) & _MASK
    b = _rotate((b + a + z) & _MASK, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotate(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def fingerprint64(data: bytes) -> int:
    """Fingerprint64, unsigned.

    >>> fingerprint64(b"abc") % 100
    85
    """
    n = len(data)
    if n <= 16:
        return _up_to_16(data)
    if n <= 32:
        return _up_to_32(data)
    if n <= 64:
        return _up_to_64(data)
    x, y = 81, (81 * _K1 + 113) & _MASK
    z = (_mix((y * _K2 + 113) & _MASK) * _K2) & _MASK
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _read(data, 0)) & _MASK
    end = ((n - 1) // 64) * 64
    last = end + ((n - 1) & 63) - 63
    at = 0
    while at != end:
        x = (_rotate((x + y + v[0] + _read(data, at + 8)) & _MASK, 37) * _K1) & _MASK
        y = (_rotate((y + v[1] + _read(data, at + 48)) & _MASK, 42) * _K1) & _MASK
        x ^= w[1]
        y = (y + v[0] + _read(data, at + 40)) & _MASK
        z = (_rotate((z + w[0]) & _MASK, 33) * _K1) & _MASK
        v = _weak(data, at, (v[1] * _K1) & _MASK, (x + w[0]) & _MASK)
        w = _weak(data, at + 32, (z + w[1]) & _MASK, (y + _read(data, at + 16)) & _MASK)
        z, x = x, z
        at += 64
    multiplier = (_K1 + ((z & 0xFF) << 1)) & _MASK
    at = last
    w = ((w[0] + ((n - 1) & 63)) & _MASK, w[1])
    v = ((v[0] + w[0]) & _MASK, v[1])
    w = ((w[0] + v[0]) & _MASK, w[1])
    x = (_rotate((x + y + v[0] + _read(data, at + 8)) & _MASK, 37) * multiplier) & _MASK
    y = (_rotate((y + v[1] + _read(data, at + 48)) & _MASK, 42) * multiplier) & _MASK
    x ^= (w[1] * 9) & _MASK
    y = (y + v[0] * 9 + _read(data, at + 40)) & _MASK
    z = (_rotate((z + w[0]) & _MASK, 33) * multiplier) & _MASK
    v = _weak(data, at, (v[1] * multiplier) & _MASK, (x + w[0]) & _MASK)
    w = _weak(data, at + 32, (z + w[1]) & _MASK, (y + _read(data, at + 16)) & _MASK)
    z, x = x, z
    first = (_len16(v[0], w[0], multiplier) + _mix(y) * _K0 + z) & _MASK
    return _len16(first, (_len16(v[1], w[1], multiplier) + x) & _MASK, multiplier)

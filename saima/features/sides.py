"""Input columns of a request by side, and which of them a key's field is taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.declaration import Declaration


def request_columns(declaration: Declaration) -> dict[str, str]:
    """Input columns of the request and their declared types: request.<f>, user.<f>, item.<f>."""
    request = declaration.request
    columns: dict[str, str] = {f"request.{name}": dtype for name, dtype in request.fields.items()}
    columns |= {f"user.{name}": dtype for name, dtype in request.user.items()}
    items: Mapping[str, str] = request.items.fields if request.items is not None else {}
    return {**columns, **{f"item.{name}": dtype for name, dtype in items.items()}}


def key_column(declaration: Declaration, side: str, field: str) -> str | None:
    """Input column that a key's field is taken from: its own side first, for candidates then user and request."""
    columns = request_columns(declaration)
    order = {"request": ("request", "user"), "user": ("user", "request"), "item": ("item", "user", "request")}[side]
    return next((f"{space}.{field}" for space in order if f"{space}.{field}" in columns), None)

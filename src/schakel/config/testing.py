"""Test numbers: what stands in the place of a BSN in published examples, and where a node may take them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from schakel.kernel.values import Bsn

WORDS = frozenset(
    {
        *(
            "acc",
            "acceptance",
            "acceptatie",
            "demo",
            "dev",
            "example",
            "localhost",
            "oefen",
            "preprod",
            "proeftuin",
        ),
        *("sandbox", "staging", "test", "testing", "tst"),
    }
)
"""What the name of a host says that is not of production: a part of it between dots, or of that between '-' or '_'."""

_RESERVED = frozenset({"example", "localhost", "test"})
"""The last parts of names that are nobody's (RFC 2606); any other last part says nothing of what a host is for."""


def _number(value: str) -> str:
    """Nine digits that do not pass the 11-proef, so that no number of a person ever is among the test numbers."""
    if not re.fullmatch(r"[0-9]{9}", value):
        raise ValueError("a test number has nine digits")
    if value == "000000000":
        raise ValueError("nine times 0 stands for a number that is not known, of many people at once")
    if Bsn.passes(value):
        raise ValueError(
            "this number passes the 11-proef: it is taken as it is, and may be that of a person, so it does not belong "
            "here"
        )
    return value


TestBsn = Annotated[str, AfterValidator(_number)]


def of_tests(address: str) -> bool:
    """Whether an address says that it is not of production: it is this machine's, or its name has one of `WORDS`."""
    host = (urlsplit(address).hostname or "").rstrip(".").lower()
    try:
        return ip_address(host).is_loopback
    except ValueError:
        name, _, last = host.rpartition(".")
        return last in _RESERVED or not WORDS.isdisjoint(re.split(r"[._-]", name or last))


def refuse_outside_tests(facilities: Mapping[str, str | None]) -> None:
    """Raises `ValueError` for the first facility (address by setting) that may be one of production."""
    for setting, address in facilities.items():
        if address is not None and not of_tests(address):
            raise ValueError(
                f"test_bsns is for nodes that reach test facilities alone, and the host of {setting} "
                f"({urlsplit(address).hostname}) does not say that it is one: take test_bsns away, or name a host of "
                f"this machine or one with a word such as test, acceptatie or proeftuin in its name"
            )

"""How much one requester may ask in a while, at the guarded doors and for tokens.

Each requester has a bucket of what may be asked in a minute, which fills up as time goes by. Who could be told counts
under that name (a URA, or the client of a patient); what came without saying who it is counts under the address that
it came from. So a flood of bad tokens does not use up what the organisation behind the same address may ask, and the
other way round. Each process counts for itself, in memory, and the requesters that were seen longest ago make place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Generic, Protocol, TypeVar

import structlog

from schakel.generic.identity import Caller
from schakel.kernel.outcomes import Outcome, TooMany

_MOST = 10_000
"""Requesters, and addresses, that are counted."""

_SITE_BITS = 64
"""Bits of an IPv6 address that a network has; who has one has all addresses below it."""

_log = structlog.get_logger("schakel.http")
Said = TypeVar("Said", covariant=True)


@dataclass(slots=True)
class _Bucket:
    """What is left at the moment `at`, and whether the log has it that there was nothing left."""

    left: float
    at: float
    told: bool = False


@dataclass(slots=True)
class Rates:
    """`most` requests in a minute for each requester; `setting` is the name of the setting that says so."""

    most: int
    setting: str
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many requesters and addresses are counted."""
        return len(self._buckets)

    @contextmanager
    def counted(self, address: str) -> Iterator[Counting]:
        """Counts one request from `address`: for whom the block tells (`Counting.by`), else for the address. Raises
        `TooMany` when nothing is left for the address."""
        key = _place(address)
        self._check(key)
        counting = Counting(self)
        try:
            yield counting
        finally:
            if not counting.known:
                self._bucket(key).left -= 1

    def spend(self, name: str) -> None:
        """Counts one request of the requester `name`. Raises `TooMany` when nothing is left for it."""
        self._check(name)
        self._bucket(name).left -= 1

    def _check(self, key: str) -> None:
        bucket = self._bucket(key)
        if bucket.left >= 1:
            return
        if not bucket.told:
            bucket.told = True
            _log.warning("too many requests", requester=key, setting=self.setting)
        seconds = max(1, math.ceil((1 - bucket.left) * 60 / self.most))
        raise TooMany(
            f"more than {self.most} requests in a minute (setting {self.setting}): try again in {seconds} seconds",
            headers={"Retry-After": str(seconds)},
        )

    def _bucket(self, key: str) -> _Bucket:
        """The bucket of `key`, with what time has added to it."""
        buckets = self._buckets
        moment = self.clock()
        bucket = buckets.pop(key, None)
        if bucket is None:
            bucket = _Bucket(self.most, moment)
            if len(buckets) >= _MOST:
                buckets.pop(next(iter(buckets)))
        bucket.left = min(self.most, bucket.left + (moment - bucket.at) * self.most / 60)
        bucket.at = moment
        if bucket.left >= self.most / 2:
            bucket.told = False
        buckets[key] = bucket
        return bucket


@dataclass(slots=True)
class Counting:
    """A request that is being counted."""

    rates: Rates
    known: bool = False

    def by(self, name: str) -> None:
        """The request is that of `name`. Raises `TooMany` when nothing is left for it."""
        self.known = True
        self.rates.spend(name)


class Identification(Protocol[Said]):
    """Tells who sent a request."""

    async def identify(self, caller: Caller) -> Said:
        """What the caller's token says. Raises `Unauthenticated`."""


Grants = TypeVar("Grants")


@dataclass(frozen=True, slots=True)
class Rated(Generic[Grants]):
    """Tells who sent a request, and counts it; `name` is who that is."""

    inner: Identification[Grants]
    rates: Rates
    name: Callable[[Grants], str]

    async def identify(self, caller: Caller) -> Grants:
        """What the caller's token says. Raises `TooMany`, and what `inner` raises.

        Who is not believed leaves a line in the technical log, with the code and nothing of the token or the caller;
        the rate of the address bounds how many.
        """
        with self.rates.counted(caller.network_address) as counting:
            try:
                grant = await self.inner.identify(caller)
            except Outcome as refused:
                if refused.status < 500:
                    _log.info("token refused", code=refused.kind)
                raise
            counting.by(self.name(grant))
            return grant


@lru_cache(maxsize=_MOST)
def _place(address: str) -> str:
    """Under which an address is counted: an IPv4 address, or the network of an IPv6 address."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> _SITE_BITS << _SITE_BITS)}/{_SITE_BITS}"

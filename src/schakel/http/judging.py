"""Whether a client certificate is believed: judged once, and the verdict kept for a short time.

TLS has verified a chain for a connection when the handshake ended; time goes on, authorities withdraw certificates,
and a proxy may have been less strict. So each request asks `Verdicts`, which asks the judge again when its last word
is too old.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from cryptography import x509

from schakel.generic.identity import PeerCertificate
from schakel.generic.identity.certificates import Revocation, Trust, Use
from schakel.http.shown import Chain
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Forbidden, Outcome, Upstream

_MOST = 10_000
"""Certificates whose verdicts are kept."""

_log = structlog.get_logger("schakel.http")


class Judge(Protocol):
    """Judges a client certificate: chain, time, use and revocation."""

    async def judge(self, chain: Chain) -> PeerCertificate:
        """The first certificate of `chain`, which may be believed now. Raises an `Outcome`: a 4xx says why it may
        not, a 5xx that it could not be found out."""


@dataclass(frozen=True, slots=True)
class ChainJudge:
    """The judge of a node: the anchors it trusts, and who says what they withdrew."""

    trust: Trust
    revocation: Revocation

    async def judge(self, chain: Chain) -> PeerCertificate:
        try:
            certificates = [x509.load_der_x509_certificate(one) for one in chain]
        except ValueError as error:
            raise Forbidden("the client certificate cannot be read", code="certificate-malformed") from error
        verified = self.trust.verify(certificates, now(), use=Use.CLIENT)
        await self.revocation.check(verified)
        return PeerCertificate(chain[0], verified.thumbprint, verified.hosts, verified.not_after)


@dataclass
class Verdicts:
    """What the judge said, for `seconds`, and a yes no longer than the certificate is valid. One certificate is judged
    once at a time; what could not be found out is not kept."""

    judge: Judge
    seconds: float
    _known: dict[bytes, tuple[float, PeerCertificate | Outcome]] = field(default_factory=dict)
    _asking: dict[bytes, asyncio.Task[PeerCertificate]] = field(default_factory=dict)

    async def believed(self, chain: Chain) -> PeerCertificate:
        """The certificate of a chain. Raises `Forbidden`, and `Busy` when it could not be judged."""
        digest = hashlib.sha256(b"".join(chain)).digest()
        since, verdict = self._known.get(digest, (0.0, None))
        moment = now()
        over = isinstance(verdict, PeerCertificate) and verdict.until < moment
        if verdict is None or over or not 0 <= moment.timestamp() - since < self.seconds:
            task = self._asking.get(digest)
            if task is None:
                task = self._asking[digest] = asyncio.ensure_future(self._judged(digest, chain))
                task.add_done_callback(lambda _: self._asking.pop(digest, None))
            return await asyncio.shield(task)
        if isinstance(verdict, Outcome):
            raise _refused(verdict)
        return verdict

    async def _judged(self, digest: bytes, chain: Chain) -> PeerCertificate:
        verdict: PeerCertificate | Outcome
        try:
            verdict = await self.judge.judge(chain)
        except Upstream as away:
            raise Busy(
                f"the client certificate could not be checked: {away.message}",
                code="certificate-unchecked",
                cause=away.cause or away.kind,
                headers={"Retry-After": "5"},
            ) from away
        except Outcome as refusal:
            if refusal.status >= 500:
                raise
            thumbprint = hashlib.sha256(chain[0]).hexdigest()
            _log.info("certificate-refused", code=refusal.kind, thumbprint=thumbprint, cause=refusal.cause)
            verdict = refusal
        if len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = now().timestamp(), verdict
        if isinstance(verdict, Outcome):
            raise _refused(verdict)
        return verdict


def _refused(refusal: Outcome) -> Forbidden:
    """Why a certificate is not taken, as an answer: the sender is known, and another try with it is of no use."""
    return Forbidden(refusal.message, code=refusal.kind, expression=refusal.expression)

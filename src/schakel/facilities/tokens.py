"""Access tokens with which we ask a national facility: client credentials (RFC 6749, section 4.4) in the forms that the
ministry's token server and others take, kept while they last, and a request that bears one.

Sources: the ministry's OAuth for NVI and PRS (client assertion: RFC 7523; the later form names the organisation and
knows the client by its certificate), RFC 6749 section 2.3.1 for a client with a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from schakel.facilities.client import Answer, Facility, FacilityAway, FacilityRules, once_more
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid, Upstream

_UNSAID = 60
"""Seconds that a token is kept whose server does not say how long it lasts."""

_MARGIN = 30
"""Seconds before its end that a token is no longer used; half its life when that is shorter."""

_LONGEST = 86_400
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenSource(Protocol):
    """Where a client of a facility has its tokens from."""

    async def token(self, scopes: str) -> str:
        """An access token for these scopes (blanks between them). Raises `FacilityAway` and other `Upstream`."""
        ...

    def forget(self, token: str) -> None:
        """Not to be given again: somebody refused it."""
        ...


class TokenRefused(Upstream):
    """There is no token, or the facility does not take the one there is. Asking again does not help: what we are known
    by, or what we may, is not right there."""

    def __init__(self, facility: str, why: str) -> None:
        super().__init__(f"{facility} refused us: {why}", code="token-refused", cause=why)
        self.facility = facility
        self.why = why


class Form(Protocol):
    """How a token is asked for."""

    def fields(self, scopes: str, endpoint: str, audience: str) -> Mapping[str, str]:
        """The fields beside grant_type and scope; `endpoint` is the address of the token server."""
        ...


@dataclass(frozen=True, slots=True)
class Organisation:
    """The ministry's form of August 2026: the client is known by its certificate, and names for whom it asks. `id` is
    a URA towards NVI and an OIN towards PRS, `source` the system that manages registrations."""

    id: str
    source: str = ""

    def fields(self, scopes: str, endpoint: str, audience: str) -> Mapping[str, str]:
        return _said(target_audience=audience, organization_id=self.id, source_id=self.source)


@dataclass(frozen=True, slots=True)
class Secret:
    """A client with a secret, sent in the form (RFC 6749, section 2.3.1)."""

    client: str
    secret: str = field(repr=False)

    def fields(self, scopes: str, endpoint: str, audience: str) -> Mapping[str, str]:
        return _said(client_id=self.client, client_secret=self.secret, target_audience=audience)


@dataclass(frozen=True, slots=True)
class Assertion:
    """The ministry's form with a client assertion, signed with the key of an UZI or PKIoverheid certificate.

    `issuer` is our URA; `certificates` the one that signs (DER) with those above it; `bound` the certificate of our TLS
    (DER), None when that is the same; `chain` puts `certificates` in the header (x5c). An assertion lives `seconds`, at
    most 300.
    """

    issuer: str
    key: RSAKey = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    bound: bytes | None = field(default=None, repr=False)
    chain: bool = False
    seconds: int = 60

    @classmethod
    def read(
        cls,
        issuer: str,
        certificate: Path,
        key: Path,
        *,
        bound: Path | None = None,
        chain: bool = False,
        setting: str,
    ) -> Assertion:
        """From PEM files; `setting` stands before the names certificate and key of the settings that name them. Raises
        `Invalid` naming file and setting."""
        certificates = _certificates(certificate, f"{setting}certificate")
        shown = _certificates(bound, f"{setting}certificate")[0] if bound is not None else None
        try:
            pair = RSAKey.import_key(key.read_bytes())
            if not pair.is_private:
                raise ValueError("a public key")
        except OSError as error:
            raise Invalid(
                f"the file {key} (setting {setting}key) cannot be read: {error.strerror}"
            ) from error
        except (JoseError, ValueError, TypeError):
            raise Invalid(
                f"the file {key} (setting {setting}key) is not a private RSA key in PEM without a password"
            ) from None
        public = certificates[0].public_key()
        if (
            not isinstance(public, RSAPublicKey)
            or public.public_numbers() != pair.public_key.public_numbers()
        ):
            raise Invalid(
                f"the key {key} (setting {setting}key) is not the private key of the certificate {certificate} "
                f"(setting {setting}certificate)"
            )
        der = tuple(one.public_bytes(Encoding.DER) for one in certificates)
        return cls(issuer, pair, der, shown.public_bytes(Encoding.DER) if shown else None, chain)

    def fields(self, scopes: str, endpoint: str, audience: str) -> Mapping[str, str]:
        made = int(now().timestamp())
        header: dict[str, object] = {"alg": "RS256", "typ": "JWT", "kid": _thumbprint(self.certificates[0])}
        if self.chain:
            header["x5c"] = [b64encode(one).decode() for one in self.certificates]
        claims = {
            "iss": self.issuer,
            "sub": self.issuer,
            "aud": [endpoint],
            "jti": new_id(),
            "iat": made,
            "exp": made + self.seconds,
            "cnf": {"x5t#S256": _thumbprint(self.bound or self.certificates[0])},
            **_said(scope=scopes, target_audience=audience),
        }
        assertion = jwt.encode(header, claims, self.key, algorithms=["RS256"])
        return _said(target_audience=audience, client_assertion_type=_ASSERTION, client_assertion=assertion)


class ClientCredentials:
    """Tokens of the server behind `facility`, whose base is the token endpoint, asked for in `form` for use at
    `audience` (scheme and host of who is asked with them; '' when the server wants none).

    One token for each set of scopes is kept until shortly before its end, and is asked for once however many wait.
    """

    def __init__(self, facility: Facility, form: Form, audience: str = "") -> None:
        self._facility = facility
        self._form = form
        self._audience = audience
        self._kept: dict[str, tuple[str, datetime]] = {}
        self._asked: dict[str, asyncio.Task[str]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        name: str,
        endpoint: str,
        form: Form,
        audience: str = "",
        tls: ssl.SSLContext | None = None,
        rules: FacilityRules | None = None,
    ) -> AsyncIterator[ClientCredentials]:
        """The tokens of the server at `endpoint`, with its connections until the end of the block."""
        async with Facility.open(name, endpoint, tls, rules) as facility:
            source = cls(facility, form, audience)
            try:
                yield source
            finally:
                await source.close()

    @property
    def facility(self) -> Facility:
        """The token server."""
        return self._facility

    async def token(self, scopes: str) -> str:
        """A token for these scopes, blanks between them; '' asks for none by name.

        Raises `FacilityAway` when the server gave no usable answer, `TokenRefused` when it gave no such token.
        """
        scopes = " ".join(scopes.split())
        token, until = self._kept.get(scopes, ("", None))
        if until is not None and now() < until:
            return token
        task = self._asked.get(scopes)
        if task is None:
            task = asyncio.create_task(self._fetched(scopes))
            task.add_done_callback(_seen)
            self._asked[scopes] = task
        return await asyncio.shield(task)

    def forget(self, token: str) -> None:
        """Not to be given again: somebody refused it."""
        for scopes in [scopes for scopes, (kept, _) in self._kept.items() if kept == token]:
            del self._kept[scopes]

    async def close(self) -> None:
        """Ends what is still asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetched(self, scopes: str) -> str:
        try:
            return await once_more(lambda: self._told(scopes))
        finally:
            del self._asked[scopes]

    async def _told(self, scopes: str) -> str:
        """A new token; an assertion in the request is a new one too."""
        said = self._form.fields(scopes, self._facility.base, self._audience)
        fields = {"grant_type": "client_credentials", **_said(scope=scopes), **said}
        asked = now()
        answer = await self._facility.send(
            "POST",
            body=urlencode(fields).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
        )
        token, seconds = self._read(answer, scopes, fields)
        self._kept[scopes] = token, asked + timedelta(seconds=seconds - min(_MARGIN, seconds / 2))
        return token

    def _read(self, answer: Answer, scopes: str, fields: Mapping[str, str]) -> tuple[str, float]:
        """The token and its life in seconds (RFC 6749, sections 5.1 and 5.2)."""
        name = self._facility.name
        if answer.status >= 500 or answer.status in (408, 429):
            raise FacilityAway(name, f"it answered {answer.status}")
        members = _object(answer.body)
        if answer.status != 200:
            why = _told(members, fields)
            raise TokenRefused(name, f"no token for {scopes or 'us'} ({why or f'status {answer.status}'})")
        token, kind = members.get("access_token"), members.get("token_type", "Bearer")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise FacilityAway(name, "an answer without access_token")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise FacilityAway(name, "a token that is no bearer token")
        granted = members.get("scope")
        if isinstance(granted, str) and (missing := set(scopes.split()) - set(granted.split())):
            raise TokenRefused(name, f"a token without {' '.join(sorted(missing))}")
        return token, _seconds(members.get("expires_in"))


async def send_with_token(
    facility: Facility,
    source: TokenSource | None,
    scopes: str,
    method: str,
    path: str = "",
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to a request that bears a token for `scopes`; without `source` it bears none.

    Where the token itself is refused (401, or the text with status 400 that the ministry's verifier has for every fault
    of a token) the request goes once more with a fresh one: what was refused so was not done. Raises `TokenRefused`
    when that does not help either, or when our certificate was not seen, which the verifier tells with status 500;
    `FacilityAway` as `Facility.send`.
    """
    if source is None:
        answer = await facility.send(method, path, body=body, headers=headers)
        if answer.status != 400 and token_fault(answer):
            raise TokenRefused(facility.name, f"it wants a token or a certificate (status {answer.status})")
        return answer
    for last in (False, True):
        token = await source.token(scopes)
        bearing = {**(headers or {}), "Authorization": f"Bearer {token}"}
        answer = await facility.send(method, path, body=body, headers=bearing)
        why = token_fault(answer)
        if not why:
            return answer
        source.forget(token)
        if last or answer.status == 500:
            break
    raise TokenRefused(facility.name, why)


def token_fault(answer: Answer) -> str:
    """What an answer says of the token or the certificate it came with; '' when it is about something else."""
    if answer.status == 401:
        return "it does not take our token (status 401)"
    if answer.status == 400 and answer.body and not answer.body.lstrip().startswith((b"{", b"[", b"<")):
        return f"it does not take our token ({_plain(answer.body)})"
    if answer.status == 500 and _object(answer.body).get("detail") == "Unauthorized request":
        return "it saw no client certificate, or no token, of ours"
    return ""


def _said(**fields: str) -> dict[str, str]:
    """Those that are set."""
    return {name: value for name, value in fields.items() if value}


def _thumbprint(der: bytes) -> str:
    """SHA-256 of a certificate as RFC 8705 writes it (x5t#S256)."""
    return urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _certificates(path: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise Invalid(f"the file {path} (setting {setting}) cannot be read: {error.strerror}") from error
    except ValueError:
        raise Invalid(f"the file {path} (setting {setting}) has no PEM certificates") from None


def _object(body: bytes) -> dict[str, object]:
    """The JSON object in an answer; one without members when there is none."""
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return members if isinstance(members, dict) else {}


def _told(members: Mapping[str, object], sent: Mapping[str, str]) -> str:
    """What a server says was wrong (RFC 6749, section 5.2), without what we sent to prove ourselves."""
    texts = [members.get("error"), members.get("error_description")]
    said = " ".join(_plain(text.encode()) for text in texts if isinstance(text, str))
    secrets = (sent.get(name, "")[:16] for name in ("client_secret", "client_assertion"))
    return "" if any(secret and secret in said for secret in secrets) else said


def _plain(text: bytes) -> str:
    shown = text[:200].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in shown).strip()


def _seconds(value: object) -> float:
    """`expires_in`; some servers write it as a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return _UNSAID
    return min(float(value), _LONGEST)


def _seen(task: asyncio.Task[str]) -> None:
    """Takes note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()

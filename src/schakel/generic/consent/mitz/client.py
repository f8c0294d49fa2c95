"""The client of Mitz: the closed question, the open question, and subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime

import orjson

from schakel.facilities import Answer, Facility, once_more
from schakel.generic.consent.mitz import open_question
from schakel.generic.consent.mitz.answer import Decision, decided
from schakel.generic.consent.mitz.open_question import OpenQuestion, PermittedHolder
from schakel.generic.consent.mitz.question import ClosedQuestion
from schakel.generic.consent.mitz.request import Signing, written
from schakel.generic.consent.mitz.soap import AnswerUnusable
from schakel.kernel.clock import new_id, now

CLOSED = "/geslotenautorisatievraag/xacml3"
OPEN = "/openautorisatievraag"
SUBSCRIPTION = "/abonnementen/fhir/Subscription"
HANDBOOK_TYPE = "application/soap+xml; charset=UTF-8"

_LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClosedAnswer:
    """What Mitz answered, when, and the id of the question (the UUID of its MessageID)."""

    decision: Decision
    message: str
    answered: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What a subscription says. `endpoint` is our own address for notifications, `gateway` and `source` are the OIDs
    of our systems; `id` stays the same when it is asked again."""

    id: str
    patient: str
    birth_date: date
    holder: str
    holder_type: str
    endpoint: str
    gateway: str
    source: str


@dataclass(frozen=True, slots=True)
class SubscriptionAnswer:
    """`taken` with its `location`; else `later` tells to ask again, after `wait` when Mitz said so. `why` is for
    people: the status and the codes of an OperationOutcome, never its texts."""

    taken: bool
    location: str = ""
    later: bool = False
    wait: timedelta | None = None
    why: str = ""


class Mitz:
    """Mitz behind `facility`; `signing` signs each question (of an open one the assertion), None leaves it
    unsigned."""

    def __init__(
        self,
        facility: Facility,
        signing: Signing | None = None,
        content_type: str = HANDBOOK_TYPE,
        identify: Callable[[], str] = new_id,
    ) -> None:
        self._facility = facility
        self._signing = signing
        self._content_type = content_type
        self._identify = identify

    @property
    def facility(self) -> Facility:
        """How Mitz is reached."""
        return self._facility

    async def ask(self, question: ClosedQuestion) -> ClosedAnswer:
        """What Mitz says now. Raises `FacilityAway`, and its kind `AnswerUnusable` for an answer that is none."""
        name, message = self._named()
        document = written(question, message, f"{self._facility.base}{CLOSED}", self._signing)
        body = await self._answered(CLOSED, name, document)
        return ClosedAnswer(decided(self._facility.name, body, question, message), name, now())

    async def holders(self, question: OpenQuestion) -> tuple[PermittedHolder, ...]:
        """The holders that may release to this requester, as far as Mitz knows; nobody also when nothing is permitted.
        Raises as `ask`."""
        name, message = self._named()
        document = open_question.written(question, message, f"{self._facility.base}{OPEN}", self._signing)
        body = await self._answered(OPEN, name, document)
        return open_question.permitted(self._facility.name, body, question, message)

    def _named(self) -> tuple[str, str]:
        """The id of a question, and the MessageID made of it."""
        name = self._identify()
        return name, f"urn:uuid:{name}"

    async def _answered(self, path: str, name: str, document: bytes) -> bytes:
        headers = {"Content-Type": self._content_type, "X-Request-Id": name}
        answer = await once_more(lambda: self._facility.send("POST", path, body=document, headers=headers))
        if answer.status != 200:
            raise AnswerUnusable(self._facility.name, f"it answered {answer.status}")
        return answer.body

    async def subscribe(self, request: SubscriptionRequest) -> SubscriptionAnswer:
        """Asks to be told of the choices of a patient. Raises `FacilityAway`."""
        answer = await self._facility.send(
            "POST",
            SUBSCRIPTION,
            body=orjson.dumps(subscription(request)),
            headers={"Content-Type": "application/fhir+json", "X-Request-Id": request.id},
        )
        if answer.status in (200, 201, 202):
            return SubscriptionAnswer(True, answer.headers.get("location", "")[:500])
        why = " ".join([f"answered {answer.status}", *_issue_codes(answer)])
        later = answer.status in (401, 403, 408, 425, 429) or answer.status >= 500
        return SubscriptionAnswer(False, later=later, wait=_wait(answer), why=why)


def subscription(request: SubscriptionRequest) -> dict[str, object]:
    """The FHIR R4 Subscription that asks for the choices of a patient."""
    base = "http://fhir.nl/StructureDefinition"
    return {
        "resourceType": "Subscription",
        "extension": [
            {"url": f"{base}/Patient.birthDate", "valueDate": request.birth_date.isoformat()},
            {"url": f"{base}/GatewaySystem", "valueOid": f"urn:oid:{request.gateway}"},
            {"url": f"{base}/SourceSystem", "valueOid": f"urn:oid:{request.source}"},
        ],
        "status": "requested",
        "reason": "OTV",
        "criteria": f"Consent?_query=otv&patientid={request.patient}&providerid={request.holder}"
        f"&providertype={request.holder_type}",
        "channel": {"type": "rest-hook", "endpoint": request.endpoint, "payload": "application/fhir+xml"},
    }


def _issue_codes(answer: Answer) -> list[str]:
    """The codes of an OperationOutcome; its texts may name the patient."""
    try:
        issues = orjson.loads(answer.body)["issue"]
        codes = [issue["code"] for issue in issues[:5]]
    except (orjson.JSONDecodeError, TypeError, KeyError, IndexError, AttributeError):
        return []
    return [
        code for code in codes if isinstance(code, str) and code.replace("-", "").isalpha() and len(code) < 40
    ]


def _wait(answer: Answer) -> timedelta | None:
    """How long Mitz asks us to wait (RFC 9110, 10.2.3), at most a day."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(max(moment - now(), timedelta()), _LONGEST_WAIT)

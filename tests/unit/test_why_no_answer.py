"""Why a request has no whole answer: one stable word, which tells silence, refusal and what was never asked apart."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest
from tests.guarded import BSN, MINE, condition, patient

from schakel.generic.addressing.model import Address, Addresses, unknown, without_endpoint
from schakel.generic.identity import Errand, User
from schakel.generic.identity.credentials import Refused
from schakel.generic.identity.signer import NO_GRANT
from schakel.kernel.outcomes import Busy, Conflict, Outcome, Upstream
from schakel.kernel.values import Bsn
from schakel.network import HolderResult, HolderRules, Holders, Peers, Question, TokenAsker
from schakel.network.peers import PeerLate, PeerRefused, Reply
from schakel.network.proving import AccessToken

URA, BASE = "90000002", "https://fhir.example"
DOCTOR = User("900000008", "J. Jansen", "01.015")
FIRST, SECOND = f"{BASE}/Condition", f"{BASE}/Condition?page=2"


class Directory:
    """Has the holder, or raises `trouble`."""

    def __init__(self, trouble: Outcome | None = None, fhir: str = "stu3") -> None:
        self._trouble, self._fhir = trouble, fhir

    async def find(self, ura: str, exchange: str = "") -> Address:
        if self._trouble is not None:
            raise self._trouble
        return Address(ura, "", "https://as.example", "", {self._fhir: BASE}, {})


class Server:
    """Gives a token, or raises `trouble`."""

    def __init__(self, trouble: Outcome | None = None) -> None:
        self._trouble = trouble

    async def token(self, *_: Any) -> AccessToken:
        if self._trouble is not None:
            raise self._trouble
        return AccessToken("t")


class Pages:
    """Pages by their address: a Bundle, or what is raised instead."""

    def __init__(self, pages: dict[str, Outcome | dict[str, Any]]) -> None:
        self._pages = pages

    async def get(self, _ura: str, url: str, *_: Any) -> Reply:
        page = self._pages[url]
        if isinstance(page, Outcome):
            raise page
        return Reply(orjson.dumps(page), "")


def page(*resources: dict[str, Any], following: str = "", **more: Any) -> dict[str, Any]:
    """A searchset."""
    entry = [{"fullUrl": f"{BASE}/{r['resourceType']}/{r['id']}", "resource": r} for r in resources]
    link = [{"relation": "next", "url": following}] if following else []
    filled = {name: rows for name, rows in (("entry", entry), ("link", link)) if rows}
    return {"resourceType": "Bundle", "type": "searchset", **filled, **more}


OWN = page(patient("p1", BSN))
DIAGNOSIS = condition("c1", MINE)
WHOLE: dict[str, Outcome | dict[str, Any]] = {f"{BASE}/Patient": OWN, FIRST: page(DIAGNOSIS)}


async def asked(
    directory: Directory, server: Server, pages: dict[str, Outcome | dict[str, Any]]
) -> HolderResult:
    """A question of two requests to the holder."""
    holders = Holders(
        cast(Addresses, directory), cast(TokenAsker, server), cast(Peers, Pages(pages)), HolderRules(60)
    )
    errand = Errand("bgz", DOCTOR, "TREAT", "current", ())
    question = Question("1", Bsn(BSN), errand, "stu3", ["Patient", "Condition"])
    [result] = [one async for one in holders.ask(question, [URA])]
    return result


def causes(result: HolderResult) -> list[tuple[str, str]]:
    """The status of each request and the word that says why."""
    return [(one.report()["status"], one.report()["cause"]) for one in result.requests]


async def test_a_whole_answer_has_no_cause() -> None:
    assert causes(await asked(Directory(), Server(), WHOLE)) == [("complete", ""), ("complete", "")]


@pytest.mark.parametrize(
    ("directory", "server", "status", "cause"),
    [
        pytest.param(Directory(unknown(URA)), Server(), "failed", "not-addressable", id="unknown"),
        pytest.param(
            Directory(without_endpoint(URA, "bgz")), Server(), "failed", "not-addressable", id="no-endpoint"
        ),
        pytest.param(
            Directory(Conflict("two", code="directory-conflict")),
            Server(),
            "failed",
            "not-addressable",
            id="conflict",
        ),
        pytest.param(Directory(fhir="r4"), Server(), "failed", "not-addressable", id="other-version"),
        pytest.param(
            Directory(Busy("half", code="directory-not-read")),
            Server(),
            "failed",
            "no-answer",
            id="half-read",
        ),
        pytest.param(
            Directory(),
            Server(Upstream("none", code="no-issuer")),
            "failed",
            "not-addressable",
            id="no-issuer",
        ),
        pytest.param(
            Directory(),
            Server(Refused("lacking", code="credential-missing")),
            "failed",
            "not-provable",
            id="no-credential",
        ),
        pytest.param(
            Directory(), Server(Upstream("none", code=NO_GRANT)), "failed", "not-provable", id="no-grant"
        ),
        pytest.param(Directory(), Server(PeerRefused("no")), "refused", "refused", id="no-token"),
        pytest.param(Directory(), Server(PeerLate("late")), "late", "no-answer", id="late-token"),
        pytest.param(Directory(), Server(Upstream("500")), "failed", "no-answer", id="no-usable-token"),
    ],
)
async def test_who_could_not_be_asked_is_told_apart_from_who_did_not_answer(
    directory: Directory, server: Server, status: str, cause: str
) -> None:
    assert causes(await asked(directory, server, WHOLE)) == [(status, cause)] * 2


@pytest.mark.parametrize(
    ("first", "second", "status", "cause"),
    [
        pytest.param(PeerLate("late"), None, "late", "no-answer", id="late"),
        pytest.param(Upstream("answered 500"), None, "failed", "no-answer", id="trouble"),
        pytest.param(PeerRefused("no"), None, "refused", "refused", id="refused"),
        pytest.param(page(total=3), None, "failed", "short", id="none-of-three"),
        pytest.param(page(DIAGNOSIS, total=3), None, "incomplete", "short", id="one-of-three"),
        pytest.param(
            page(DIAGNOSIS, following=SECOND), PeerLate("late"), "incomplete", "no-answer", id="late-halfway"
        ),
        pytest.param(
            page(DIAGNOSIS, following=SECOND),
            Upstream("answered 500"),
            "incomplete",
            "no-answer",
            id="trouble-halfway",
        ),
        pytest.param(
            page(DIAGNOSIS, following=SECOND),
            PeerRefused("no"),
            "incomplete",
            "refused",
            id="refused-halfway",
        ),
        pytest.param(page(DIAGNOSIS, following=FIRST), None, "incomplete", "short", id="pages-without-end"),
    ],
)
async def test_who_stops_halfway_is_told_apart_from_who_gives_a_part(
    first: Outcome | dict[str, Any], second: Outcome | None, status: str, cause: str
) -> None:
    pages = {**WHOLE, FIRST: first, **({} if second is None else {SECOND: second})}
    assert causes(await asked(Directory(), Server(), pages)) == [("complete", ""), (status, cause)]


@pytest.mark.parametrize(
    ("own", "cause"),
    [
        pytest.param(page(), "short", id="not-given"),
        pytest.param(PeerLate("late"), "no-answer", id="late"),
        pytest.param(PeerRefused("no"), "refused", id="refused"),
    ],
)
async def test_what_cannot_be_checked_against_the_patient_has_the_cause_of_the_patient(
    own: Outcome | dict[str, Any], cause: str
) -> None:
    result = await asked(Directory(), Server(), {**WHOLE, f"{BASE}/Patient": own})
    assert causes(result)[1] == ("incomplete", cause)
    assert result.resources == {}

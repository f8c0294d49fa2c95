"""A region is measured at peers that lie, lead elsewhere or say what cannot be: nothing holds by that, what was
measured can be handed on, and nobody is led inside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.api_peer import running_api
from tests.measuring import capabilities, measured, region, roadmap, saying
from tests.nodes import free_ports

from schakel.conformance.api_requirements import ApiOptions, Verdict, catalogue, check_api
from schakel.facilities.reach import Reach
from schakel.kernel.clock import instant, now
from schakel.roadmap import run as running
from schakel.roadmap import wire
from schakel.roadmap.run import measure

NONSENSE: tuple[tuple[str, Any], ...] = (
    ("a list", []),
    ("nothing", b""),
    ("a text", "x"),
    ("bytes", b"\xff\x00\xfe"),
    ("deep", b"[" * 100_000),
    ("a deep object", b'{"entry":' * 50_000),
    (
        "numbers where lists are",
        dict.fromkeys(("entry", "states", "subscriptions", "holders", "rest", "told"), 7),
    ),
    (
        "lists of texts",
        {name: ["x", None] for name in ("entry", "subscriptions", "holders", "rest", "type", "grants")},
    ),
    ("a half letter", b'{"resourceType": "\\ud800"}'),
    ("a page that leads to itself", {"resourceType": "Bundle", "entry": [], "link": [{"relation": "next"}]}),
)
INTERNAL = ("nvi-registration", "mitz-subscription", "log-seals", "professional-login", "core-data")


def answering() -> dict[str, Any]:
    """What an internal door says when all facilities answer."""
    one = {"id": "x", "answers": True, "away": None, "answered": instant(now())}
    return {"localisation": [one], "consent": [one], "addressing": [one]}


@pytest.mark.parametrize("body", [one for _, one in NONSENSE], ids=[name for name, _ in NONSENSE])
@pytest.mark.parametrize(
    "check", [*INTERNAL, "fhir-metadata", "token-metadata", "directory-entry", "api-requirements"]
)
async def test_nothing_holds_by_nonsense(check: str, body: Any) -> None:
    async with saying() as peer:
        for path in (
            "/a/localisation/status",
            "/a/consent/subscriptions",
            "/a/log/verification",
            "/a/professionals/logins",
            "/a/fhir/stu3/metadata",
            "/a/fhir/r4/metadata",
            "/fhir/metadata",
            "/directory/Organization",
            "/.well-known/oauth-authorization-server",
            "/docs",
        ):
            peer.says(path, body)
        peer.says("/a/facilities", answering())
        found = await measured(
            check,
            internal=f"{peer.url}/a",
            internal_key="k",
            fhir={"r4": f"{peer.url}/fhir"},
            issuer=peer.url,
            directory=f"{peer.url}/directory",
            docs=f"{peer.url}/docs",
        )
    assert found.verdict in ("fails", "unknown")


STRANGE: dict[str, Any] = {
    "no time": {"answered": None},
    "a time that is none": {"answered": "yesterday"},
    "a number for a time": {"answered": 7},
    "a word for an answer": {"answers": "yes"},
    "nothing of it": {"answers": None},
}


@pytest.mark.parametrize(
    "body",
    [
        *(one for _, one in NONSENSE),
        *(
            {"localisation": [{"id": "x", "answers": True, "answered": instant(now()), **one}]}
            for one in STRANGE.values()
        ),
    ],
    ids=[*(name for name, _ in NONSENSE), *STRANGE],
)
async def test_nothing_holds_by_nonsense_about_facilities(body: Any) -> None:
    status = {"states": {"active": 4, "refused": 0}, "categories": 1, "failing": 0, "due": 0}
    async with saying() as peer:
        peer.says("/a/localisation/status", status)
        peer.says("/a/facilities", answering())
        given: dict[str, Any] = {"internal": f"{peer.url}/a", "internal_key": "k"}
        assert (await measured("nvi-registration", **given)).verdict == "holds"
        peer.says("/a/facilities", body)
        assert (await measured("nvi-registration", **given)).verdict == "unknown"


async def test_a_number_that_no_reader_takes_spoils_no_run() -> None:
    status = {"states": {"active": 2**63 - 1, "refused": 0}, "categories": 1, "failing": 0, "due": -(2**60)}
    async with saying() as peer:
        peer.says("/a/localisation/status", status)
        peer.says("/a/facilities", answering())
        one = region({"internal": f"{peer.url}/a", "internal_key": "k"})
        made = await measure(one, roadmap(), only=("nvi-registration",))
    assert wire.read(wire.dump(made)) == made
    assert made.measured[0].finding.verdict == "holds"


async def test_a_clock_that_is_set_back_spoils_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards() -> Iterator[datetime]:
        moment = now()
        while True:
            yield moment
            moment -= timedelta(minutes=1)

    moments = backwards()
    monkeypatch.setattr(running, "now", lambda: next(moments))
    async with saying() as peer:
        peer.says("/fhir/metadata", capabilities("r4"))
        organisation = {"fhir": {"r4": f"{peer.url}/fhir"}}
        made = await measure(region(organisation, organisation), roadmap(), only=("fhir-metadata",))
    assert wire.read(wire.dump(made)) == made and len(made.measured) == 2


@pytest.mark.parametrize(("plain", "asked"), [(False, False), (True, True)])
async def test_a_login_that_leads_inside_leads_nobody_there(plain: bool, asked: bool) -> None:
    async with saying() as peer, saying() as inside:
        peer.says("/a/professionals/logins", {"id": "../../patients", "address": f"{inside.url}/secret"}, 201)
        found = await measured(
            "professional-login",
            {"http_on_loopback": plain},
            internal=f"{peer.url}/a",
            internal_key="k",
        )
    assert found.verdict == "unknown"
    assert ("GET /secret" in inside.asked) == asked
    assert all("patients" not in one or "/a/professionals/logins/" in one for one in peer.asked), peer.asked


# -- API requirements ----------------------------------------------------------------------------------------


def not_applicable(folder: Path, *codes: str) -> str:
    """A declaration by which none of these applies."""
    path = folder / "declared.toml"
    path.write_text(
        "".join(f'[{code}]\nconformity = "not-applicable"\nremark = "Not for us."\n' for code in codes)
    )
    return str(path)


async def test_who_says_that_nothing_applies_has_not_met_what_is_seen_broken(tmp_path: Path) -> None:
    async with saying() as peer:
        peer.says("/fhir/metadata", capabilities("r4"), media="application/fhir+json")
        found = await measured(
            "api-requirements",
            fhir={"r4": f"{peer.url}/fhir"},
            api_declaration=not_applicable(tmp_path, *catalogue()),
        )
    assert found.verdict == "fails" and "SC002" in found.reason.en, found


async def test_who_says_that_nothing_applies_where_nothing_answers_has_met_nothing(tmp_path: Path) -> None:
    found = await measured(
        "api-requirements",
        fhir={"r4": f"http://127.0.0.1:{free_ports(1)[0]}/fhir"},
        api_declaration=not_applicable(tmp_path, *catalogue()),
    )
    assert found.verdict == "unknown", found


@pytest.mark.parametrize(
    "document",
    [
        {"openapi": "3.0.0", "paths": {"/x": {"get": {"parameters": 5, "responses": [1], "requestBody": 3}}}},
        {"openapi": "3.0.0", "servers": ["x"], "paths": {"/x": {"get": {"responses": {"200": "x"}}}}},
        {"openapi": "3.0.0", "info": [1], "paths": {"/x": {"post": {"requestBody": {"content": [1]}}}}},
        {
            "openapi": "3.0.0",
            "paths": {"/x": {"get": {"requestBody": {"$ref": "#/paths/~1x/get/requestBody"}}}},
        },
    ],
)
async def test_an_api_that_describes_itself_in_nonsense_ends_no_run(document: Any) -> None:
    statement = capabilities("r4", rest=[{"mode": "server", "resource": [{"type": 1, "interaction": 2}]}, 5])
    async with saying() as peer:
        peer.says("/fhir/metadata", statement, media="application/fhir+json")
        peer.says("/openapi", document)
        result = await check_api(ApiOptions(f"{peer.url}/fhir", openapi=f"{peer.url}/openapi", seconds=5))
    assert result.with_verdict(Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("reach", "asked"), [(Reach(), False), (None, True), (Reach(http_on_loopback=True), True)]
)
async def test_a_page_that_leads_inside_leads_nobody_there(reach: Reach | None, asked: bool) -> None:
    async with running_api() as api, saying() as inside:

        async def leads(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{inside.url}/secret"})

        [port] = free_ports(1)
        app = web.Application()
        app.router.add_get("/docs", leads)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await check_api(api.options(docs=f"http://127.0.0.1:{port}/docs", writes=False, reach=reach))
        finally:
            await runner.cleanup()
    assert ("GET /secret" in inside.asked) == asked

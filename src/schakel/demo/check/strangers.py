"""Holders that are not what they should be: one that is not there, one that answers with another patient, one that
speaks another version. Each is an organisation of its own for as long as it takes, with a certificate of the authority,
and published in the national directory as any other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web

from schakel.demo import cast
from schakel.demo.check import newcomers
from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Trial, prove, prove_equal, report, troubles
from schakel.demo.doors import FHIR_JSON, HOST
from schakel.fhir.json import Resource, dump
from schakel.kernel import tls
from schakel.kernel.values import BSN_SYSTEM

_OTHER = "999900006"
"""A patient (BSN) of nobody."""

Searchset = Callable[[web.Request, str], web.Response]
"""The answer to a search, at a FHIR base."""


async def dead(trial: Trial) -> str:
    """A holder at which nobody listens is told as failed, and hides nothing of the others."""
    organisation = newcomers.newcomer("Praktijk De Stilte")
    async with newcomers.published(trial, organisation, "https://127.0.0.1:1"):
        told = await _beside_the_others(trial, organisation)
    prove_equal(told["status"], "failed", f"the dead holder ({troubles(told)})")
    return f"the others are complete; of this one is told: {told['reason']}"


async def lying(trial: Trial) -> str:
    """What a holder sends of another patient is held back and counted, and told to nobody."""

    def answer(request: web.Request, base: str) -> web.Response:
        patient: Resource = {
            "resourceType": "Patient",
            "id": "other",
            "identifier": [{"system": BSN_SYSTEM, "value": _OTHER}],
        }
        problem: Resource = {
            "resourceType": "Condition",
            "id": "theirs",
            "clinicalStatus": "active",
            "verificationStatus": "confirmed",
            "code": {"text": "of somebody else"},
            "subject": {"reference": "Patient/other"},
        }
        kind = request.path.rpartition("/")[2]
        return _searchset(base, *(one for one in (patient, problem) if one["resourceType"] == kind))

    organisation = newcomers.newcomer("Praktijk De Vergissing")
    async with (
        _listening(trial, organisation, answer) as address,
        newcomers.published(trial, organisation, address),
    ):
        told = await _beside_the_others(trial, organisation, _OTHER)
    held = [one for request in told["requests"] for one in request["held_back"]]
    prove(
        {one["resource"].partition("/")[0] for one in held} == {"Patient", "Condition"}, f"held back: {held}"
    )
    prove_equal(sum(request["entries"] for request in told["requests"]), 0, "passed on of this holder")
    prove(told["status"] != "complete", "the holder is told as complete")
    reasons = ", ".join(sorted({one["reason"] for one in held}))
    return f"the others are complete; of this one {len(held)} resources are held back ({reasons}): {told['status']}"


async def wrong_version(trial: Trial) -> str:
    """A holder that answers in another FHIR version than was asked is not guessed at."""

    def answer(_request: web.Request, base: str) -> web.Response:
        reply = _searchset(base)
        reply.headers["Content-Type"] = f"{FHIR_JSON}; fhirVersion=4.0"
        return reply

    organisation = newcomers.newcomer("Praktijk De Toekomst")
    async with (
        _listening(trial, organisation, answer) as address,
        newcomers.published(trial, organisation, address),
    ):
        told = await _beside_the_others(trial, organisation)
    reasons = {request["reason"] for request in told["requests"]}
    prove_equal(told["status"], "failed", f"the holder of another version ({troubles(told)})")
    prove(len(reasons) == 1 and "4.0" in next(iter(reasons)), f"reasons: {sorted(reasons)[:3]}")
    return f"the others are complete; of this one each request failed: {next(iter(reasons))}"


async def _beside_the_others(
    trial: Trial, organisation: cast.Organisation, secret: str = ""
) -> dict[str, Any]:
    """What is told of a holder that is asked together with a good one, whose part is whole; `secret` is nowhere in the
    answer."""
    holders = (organisation.ura, trial.holder.ura)
    answer = await trial.fetch(trial.requester, trial.chooser(), await logged_in(trial), holders)
    good = report(answer, trial.holder.ura)
    prove_equal(good["status"], "complete", f"{trial.holder.slug} beside it ({troubles(good)})")
    prove(answer["status"] != "complete", "the whole is told as complete")
    prove(not secret or secret not in str(answer), "what was held back is told")
    return report(answer, organisation.ura)


# -- its server -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _listening(trial: Trial, organisation: cast.Organisation, answer: Searchset) -> AsyncIterator[str]:
    """Serves an authorisation server and a FHIR base for the organisation; the address."""
    with TemporaryDirectory() as folder:
        pair = await newcomers.certificate(trial, organisation, folder)
        context = tls.server(pair.certificate, pair.key, setting="")
    runner = web.AppRunner(_application(answer), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0, ssl_context=context, shutdown_timeout=1)
        await site.start()
        yield f"https://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _application(answer: Searchset) -> web.Application:
    def at(request: web.Request) -> str:
        return f"https://{request.host}"

    async def metadata(request: web.Request) -> web.Response:
        told = {
            "issuer": at(request),
            "token_endpoint": f"{at(request)}/token",
            "grant_types_supported": ["client_credentials"],
        }
        return web.json_response(told)

    async def token(_request: web.Request) -> web.Response:
        return web.json_response({"access_token": "given-to-everybody", "token_type": "Bearer"})

    async def search(request: web.Request) -> web.Response:
        return answer(request, f"{at(request)}/fhir/stu3")

    application = web.Application()
    application.router.add_get("/.well-known/oauth-authorization-server", metadata)
    application.router.add_post("/token", token)
    application.router.add_get("/fhir/stu3/{rest:.*}", search)
    return application


def _searchset(base: str, *found: Resource) -> web.Response:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    if found:
        bundle["entry"] = [
            {
                "fullUrl": f"{base}/{one['resourceType']}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in found
        ]
    return web.Response(body=dump(bundle), content_type=FHIR_JSON)

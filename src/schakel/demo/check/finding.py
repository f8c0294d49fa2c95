"""The steps before the exchange: who has data of the patient, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from schakel.demo import cast, directories
from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Party, Trial, identifier, prove, prove_equal
from schakel.demo.loading import SUBSCRIPTIONS
from schakel.demo.stand_ins import ALLOWS
from schakel.fhir.json import Resource
from schakel.kernel.clock import instant, now
from schakel.kernel.values import URA_SYSTEM

_SNOMED = "http://snomed.info/sct"


async def localise(trial: Trial) -> str:
    """A professional who logged in at Dezi asks without naming anybody. The index names whoever has a chart, Mitz those
    among them that have a subscription and may release; nobody is named without a reason."""
    trial.bsn, trial.login = trial.chooser(), await logged_in(trial)
    trial.begun = instant(now())
    trial.answer = answer = await trial.fetch(trial.requester, trial.bsn, trial.login, ())
    expected = {one.ura for one in trial.known_at(trial.bsn)}
    asked = {one["by"]: (one["status"], one["reason"]) for one in answer["localised"]}
    prove_equal(asked, {"nvi": ("answered", ""), "mitz": ("answered", "")}, "facilities that were asked")
    named = {by: {one["ura"] for one in answer["holders"] if by in _reasons(one)} for by in asked}
    prove_equal(named["nvi"], expected, "named by the index")
    subscribed = {one.ura for one, numbers in SUBSCRIPTIONS if ALLOWS in numbers}
    prove_equal(named["mitz"], subscribed & expected, "named by Mitz")
    prove_equal({one["ura"] for one in answer["holders"]}, expected, "asked")
    events = await trial.log(trial.requester, entity__identifier=f"urn:uuid:{answer['id']}")
    looked = [event for event in events if "localised" in _kinds(event)]
    prove_equal(len(looked), 1, "events of looking for this patient in the requester's log")
    prove_equal(identifier(looked[0], "1"), trial.bsn, "patient in the requester's log")
    return f"the index: {_slugs(trial, named['nvi'])}; Mitz too: {_slugs(trial, named['mitz'])}"


async def facade(trial: Trial) -> str:
    """The EHR that asks the index itself is told of the same holders, with the patient's BSN."""
    bsn = trial.bsn or trial.chooser()
    found = await lists(trial, bsn)
    numbers = {one["subject"]["identifier"]["value"] for one in found}
    prove_equal(numbers, {bsn}, "patients of the records")
    others = custodians(found) - {trial.requester.ura}
    prove_equal(others, {one.ura for one in trial.known_at(bsn)}, "holders")
    own = [one for one in found if trial.requester.ura in custodians([one])]
    prove(bool(own) and all("code" in one for one in own), "own records without a category")
    return f"{len(others)} others, and {len(own)} categories of its own"


async def address(trial: Trial) -> str:
    """Each holder's address is from the national directory, where the holder itself published it; the operator entered
    none. The token endpoint is what the metadata of the holder say."""
    prove(bool(trial.answer), "the exchange has not been made")
    entered = {name for one in trial.settings().values() for name in one}
    prove_equal(entered, {"ura", "name", "jwks"}, "what the operator entered of others")
    for told in trial.answer["holders"]:
        found = told["directory"]
        prove(found is not None, f"URA {told['ura']} has no address ({told['reason']})")
        prove(directories.SOURCE in found["source"], f"an address is from {found['source']}")
        prove_equal(found["stale"], False, f"the address of URA {told['ura']} is stale")
    holders = [trial.parties[cast.organisation(one["ura"]).slug] for one in trial.answer["holders"]]
    for holder in holders:
        for asker in (trial.requester, trial.holder):
            told = await looked_up(trial, asker, holder.ura)
            prove_equal(
                (told["endpoint"], told["issuer"]),
                (holder.guarded, holder.issuer),
                f"the address of {holder.slug}",
            )
        published = await _published(trial, holder)
        prove(
            {holder.guarded, holder.issuer} <= published,
            f"{holder.slug} published {sorted(published)} in the national directory",
        )
    origin, _, slug = trial.holder.issuer.rpartition("/")
    metadata = await trial.client.send("GET", f"{origin}/.well-known/oauth-authorization-server/{slug}")
    prove_equal(metadata.status, 200, "metadata of the holder")
    aliases = metadata.json()["mtls_endpoint_aliases"]
    prove_equal(aliases["token_endpoint"], f"{trial.holder.back}/oauth2/token", "token endpoint")
    return (
        f"{len(holders)} holders are where they say themselves in the national directory, in the copies of both "
        f"operators; the token endpoint of {trial.holder.slug} is {aliases['token_endpoint']}"
    )


async def ehr(trial: Trial) -> str:
    """The EHR finds who gives a kind of care, where, and their addresses (ITI-90)."""
    hospitals = [trial.parties[one.slug] for one in cast.HOSPITALS]
    services = await _search(
        trial, "HealthcareService", {"service-type": f"{_SNOMED}|{directories.CARDIOLOGY}", "active": "true"}
    )
    prove_equal(len(services), len(hospitals), "clinics for cardiology")
    given = []
    for hospital in hospitals:
        found = await _search(
            trial,
            "Organization",
            {"identifier": f"{URA_SYSTEM}|{hospital.ura}", "_include": "Organization:endpoint"},
        )
        [whole] = [one for one in found if one["resourceType"] == "Organization"]
        addresses = {one["address"] for one in found if one["resourceType"] == "Endpoint"}
        prove(hospital.guarded in addresses, f"{hospital.slug} has the addresses {sorted(addresses)}")
        departments = await _search(
            trial, "Organization", {"partof": f"Organization/{whole['id']}", "active": "true"}
        )
        names = {f"Organization/{one['id']}" for one in departments}
        clinics = [one for one in services if one["providedBy"]["reference"] in names]
        prove_equal(len(clinics), 1, f"clinics for cardiology in the departments of {hospital.slug}")
        places = await _search(trial, "Location", {"organization": f"Organization/{whole['id']}"})
        at = {one["reference"] for one in clinics[0]["location"]}
        prove_equal({f"Location/{one['id']}" for one in places}, at, f"places of {hospital.slug}")
        given.append(f"{clinics[0]['name']} in {places[0]['address']['city']} ({len(addresses)} addresses)")
    return "; ".join(given)


# -- what is asked ---------------------------------------------------------------------------------------------


async def lists(trial: Trial, bsn: str, party: Party | None = None) -> list[Resource]:
    """What the index says of a patient to the EHR of a party, the requester when None."""
    who = party or trial.requester
    query = urlencode({"patient:identifier": f"http://fhir.nl/fhir/NamingSystem/bsn|{bsn}"})
    return await trial.pages(who, f"{who.internal}/localisation/fhir/r4/List?{query}")


def custodians(found: list[Resource]) -> set[str]:
    """The URAs of those that records are of."""
    return {one["extension"][0]["valueReference"]["identifier"]["value"] for one in found}


async def looked_up(trial: Trial, asker: Party, ura: str) -> dict[str, Any]:
    """Where the node of `asker` would ask an organisation for a BgZ; empty when it does not know."""
    query = urlencode({"ura": ura, "exchange": "bgz"})
    reply = await trial.internal("GET", asker, f"/directory/address?{query}")
    prove(reply.status in (200, 404), f"looking up URA {ura} ({reply.said()})")
    return reply.json() if reply.status == 200 else {}


async def _published(trial: Trial, party: Party) -> set[str]:
    """The addresses of an organisation in the national directory itself, as the requester reads them there."""
    query = urlencode({"identifier": f"{URA_SYSTEM}|{party.ura}", "_include": "Organization:endpoint"})
    reply = await trial.requester.outside.send("GET", f"{trial.stand_ins['lrza']}/fhir/Organization?{query}")
    prove_equal(reply.status, 200, f"asking the national directory ({reply.said()})")
    found = [one["resource"] for one in reply.json().get("entry", ())]
    return {one["address"] for one in found if one["resourceType"] == "Endpoint"}


async def _search(trial: Trial, kind: str, parameters: Mapping[str, str]) -> list[Resource]:
    """What a search in the query directory gives the EHR of the requester."""
    base = f"{trial.requester.internal}/directory/fhir/r4"
    return await trial.pages(trial.requester, f"{base}/{kind}?{urlencode(parameters)}")


def _reasons(told: Mapping[str, Any]) -> set[str]:
    return {one["by"] for one in told["found"]}


def _kinds(event: Resource) -> set[str]:
    return {one["code"] for one in event.get("subtype", ())}


def _slugs(trial: Trial, uras: set[str]) -> str:
    return ", ".join(slug for slug, one in trial.parties.items() if one.ura in uras)

"""`directory-entry`: the organisation stands in the query directory, once, with its type and where it is reached.

Whether an address answers is asked without a key, and without more than the directory says. That no address answers is
no fault of the directory: then it could not be checked whether the addresses are right. Neither is a directory in
trouble a fault of the organisation, nor one that its own node follows and could not ask any more.

Source: the ministry's guide on generic functions, addressing (IHE mCSD 3.8, ITI-90): Organization with the URA as
identifier, a type, and Endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from schakel.kernel.values import URA_SYSTEM, Ura
from schakel.roadmap.checks.internal import need_facilities
from schakel.roadmap.checks.model import Check, Silent, Target, Unclear, found
from schakel.roadmap.checks.tools import Answer, Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text
from schakel.roadmap.region import Organisation

ID = "directory-entry"

_MOST_ENDPOINTS = 50


async def _measure(target: Target, tools: Tools) -> Finding:
    organisation = target.organisation
    if _at_its_own_door(organisation):
        await need_facilities(target, tools, "addressing")
    ura = Ura(organisation.ura)
    query = (("identifier", ",".join(ura.spellings)),)
    entries = [
        one
        for one in await _searched(target, tools, "Organization", query)
        if one.get("active") is not False and _has(one, ura)
    ]
    if len(entries) != 1:
        return _fails(
            Text(
                f"De organisatie staat {len(entries)} keer in het adresboek, niet één keer."
                if entries
                else "De organisatie staat niet in het adresboek.",
                f"The organisation stands in the directory {len(entries)} times, not once."
                if entries
                else "The organisation is not in the directory.",
            ),
            {"entries": len(entries)},
        )
    [entry] = entries
    kinds = [
        code for one in _tables(entry.get("type")) for code in _tables(one.get("coding")) if code.get("code")
    ]
    if not kinds:
        return _fails(
            Text(
                "In het adresboek staat geen soort organisatie.",
                "The directory names no type of organisation.",
            )
        )
    endpoints = [one for one in await _endpoints(target, tools, entry) if one.get("status") == "active"]
    addresses = sorted({str(one["address"]) for one in endpoints if isinstance(one.get("address"), str)})
    if not addresses:
        return _fails(
            Text(
                "In het adresboek staat geen adres dat in gebruik is.",
                "The directory has no address that is in use.",
            )
        )
    answered, silent = await _asked(tools, addresses)
    if not answered:
        raise Unclear(silent[0].reason, "; ".join(one.detail for one in silent))
    entered = "De organisatie staat één keer in het adresboek, met haar soort"
    return found(
        ID,
        "holds",
        Text(
            f"{entered}; van de {len(addresses)} adressen geven er {answered} antwoord.",
            f"The organisation stands in the directory once, with its type; {answered} of {len(addresses)} addresses "
            "give an answer.",
        ),
        detail=f"Organization/{entry.get('id', '')}",
        facts={"addresses": len(addresses), "answering": answered},
    )


def _has(entry: Mapping[str, Any], ura: Ura) -> bool:
    """Whether an organisation has this number, however it is written there: a node takes it so too."""
    return any(
        str(one.get("system", "")).lower() == URA_SYSTEM.lower() and one.get("value") in ura.spellings
        for one in _tables(entry.get("identifier"))
    )


async def _asked(tools: Tools, addresses: list[str]) -> tuple[int, list[Unclear]]:
    """How many addresses answer, whatever they say, and why the others do not."""
    answered, silent = 0, list[Unclear]()
    for address in addresses[:_MOST_ENDPOINTS]:
        try:
            await tools.get(address, accept="*/*", led=True)
        except Unclear as error:
            silent.append(error)
        else:
            answered += 1
    silent.sort(key=lambda one: not isinstance(one, Silent))
    return answered, silent


async def _endpoints(target: Target, tools: Tools, entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The endpoints that the organisation lists."""
    made: dict[str, Mapping[str, Any]] = {}
    for reference in _tables(entry.get("endpoint"))[:_MOST_ENDPOINTS]:
        kind, _, name = str(reference.get("reference", "")).rpartition("/")
        if kind.rpartition("/")[2] == "Endpoint" and name not in made:
            answer = await _got(target, tools, f"Endpoint/{name}")
            if answer.status in (404, 410):
                continue
            table = answer.table()
            if answer.status != 200 or table is None or table.get("resourceType") != "Endpoint":
                raise Unclear(
                    Text(
                        f"Het adresboek geeft een adres van de organisatie niet (status {answer.status}).",
                        f"The directory does not give an address of the organisation (status {answer.status}).",
                    ),
                    answer.address,
                )
            made[name] = table
    return list(made.values())


async def _searched(
    target: Target, tools: Tools, kind: str, query: tuple[tuple[str, str], ...]
) -> list[Mapping[str, Any]]:
    answer = await _got(target, tools, kind, query)
    table = answer.table()
    if answer.status != 200 or table is None or table.get("resourceType") != "Bundle":
        raise Unclear(
            Text(
                f"Het adresboek geeft geen zoekresultaat (status {answer.status}).",
                f"The directory gives no search result (status {answer.status}).",
            ),
            answer.address,
        )
    if any(one.get("relation") == "next" for one in _tables(table.get("link"))):
        raise Unclear(
            Text(
                "Het adresboek geeft meer zoekresultaten dan er op één pagina gaan.",
                "The directory gives more search results than go on one page.",
            ),
            answer.address,
        )
    return [
        resource
        for one in _tables(table.get("entry"))
        if isinstance(resource := one.get("resource"), dict) and resource.get("resourceType") == kind
    ]


async def _got(target: Target, tools: Tools, path: str, query: tuple[tuple[str, str], ...] = ()) -> Answer:
    organisation = target.organisation
    address = f"{organisation.directory}/{path}"
    if _at_its_own_door(organisation):
        return await tools.internal(organisation, address, params=query)
    headers = {"Accept": "application/fhir+json"}
    return await tools.send("GET", address, params=query, headers=headers)


def _at_its_own_door(organisation: Organisation) -> bool:
    """Whether the directory is the copy that the organisation's own node keeps."""
    return bool(organisation.internal) and organisation.directory.startswith(f"{organisation.internal}/")


def _fails(reason: Text, facts: Mapping[str, int] | None = None) -> Finding:
    return found(ID, "fails", reason, facts=dict(facts or {}))


def _tables(value: object) -> list[dict[str, Any]]:
    return list(_each(value))


def _each(value: object) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one


CHECK = Check(
    ID,
    Text("Adresboek", "Directory"),
    Text(
        "Zoekt de organisatie met haar URA in het adresboek: één keer, met een soort, en een adres dat antwoordt.",
        "Looks the organisation up in the directory by its URA: once, with a type, and an address that answers.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.directory),
    measure=_measure,
)

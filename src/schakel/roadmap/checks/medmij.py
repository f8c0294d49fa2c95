"""`medmij-list`: the provider stands in the MedMij list of providers with its services, and their doors answer.

A door that does not answer is no fault of the list: then it could not be checked.

Source: MedMij framework 2.2.x, "Interfaces lijsten", Zorgaanbiederslijst releases 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from lxml import etree

from schakel.generic.addressing.medmij_lists import ZAL, read
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks.model import Check, Target, Unclear, found, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "medmij-list"


@dataclass(frozen=True, slots=True)
class Listed:
    """A data service that a provider offers, with the FHIR bases of its roles."""

    service: str
    bases: tuple[str, ...]


async def _measure(target: Target, tools: Tools) -> Finding:
    given = target.organisation.medmij
    assert given is not None, "`wants` says so"
    address = f"{given.lists}/MedMij_{ZAL.name}.xml"
    answer = await tools.send("GET", address, params=(("api", "2"),))
    try:
        if answer.status != 200:
            raise Invalid(f"status {answer.status}")
        number = read(ZAL, answer.body).number
        services = _services(answer.body, given.name)
    except Invalid as error:
        raise Unclear(
            Text("De lijst van zorgaanbieders is niet te lezen.", "The list of providers cannot be read."),
            f"{address}: {error.message}",
        ) from None
    detail = f"{address}, number {number}"
    if services is None:
        reason = Text(
            f"{given.name} staat niet in de lijst van zorgaanbieders.",
            f"{given.name} is not in the list of providers.",
        )
        return found(ID, "fails", reason, detail)
    offered = {one.service for one in services}
    faults = []
    if not offered:
        faults.append(
            Text(
                f"{given.name} biedt in de lijst geen gegevensdienst aan.",
                f"{given.name} offers no data service in the list.",
            )
        )
    if missing := sorted(set(given.services) - offered):
        named = ", ".join(missing)
        faults.append(
            Text(
                f"In de lijst ontbreken de gegevensdiensten {named}.",
                f"The list lacks the data services {named}.",
            )
        )
    if not faults:
        for base in sorted({base for one in services for base in one.bases}):
            faults += await _door(tools, base)
    return judged(
        ID,
        faults,
        Text(
            f"{given.name} staat in de lijst, en de deuren van haar gegevensdiensten antwoorden: {len(offered)}.",
            f"{given.name} is in the list, and the doors of its data services answer: {len(offered)}.",
        ),
        detail,
        {"services": len(offered), "list": number},
    )


async def _door(tools: Tools, base: str) -> list[Text]:
    """What is wrong with the door of a data service, which says what it does without a token."""
    answer = await tools.get(f"{base.rstrip('/')}/metadata", accept="application/fhir+json", led=True)
    table = answer.table()
    if answer.status >= 500:
        raise Unclear(
            Text(
                f"{base} antwoordt nu met status {answer.status}.",
                f"{base} answers with status {answer.status} at the moment.",
            ),
            answer.address,
        )
    if answer.status == 200 and table is not None and table.get("resourceType") == "CapabilityStatement":
        return []
    return [
        Text(
            f"{base} zegt niet wat het doet (status {answer.status}, geen CapabilityStatement).",
            f"{base} does not say what it does (status {answer.status}, no CapabilityStatement).",
        )
    ]


def _services(body: bytes, name: str) -> list[Listed] | None:
    """The data services of the provider `name` in a list that was read before; None when it is not in it."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(body, parser)
    for provider in _all(root, "Zorgaanbieder"):
        if _text(provider, "Zorgaanbiedernaam") == name:
            return [
                Listed(
                    _text(service, "GegevensdienstId"),
                    tuple((one.text or "").strip() for one in _all(service, "ResourceEndpointuri")),
                )
                for service in _all(provider, "Gegevensdienst")
            ]
    return None


def _all(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    """The elements of this name below `parent`, in the namespace of the list."""
    return parent.iter(f"{{{etree.QName(parent).namespace}}}{name}")


def _text(parent: etree._Element, name: str) -> str:
    return next(((one.text or "").strip() for one in _all(parent, name)), "")


CHECK = Check(
    ID,
    Text("Lijst van MedMij", "List of MedMij"),
    Text(
        "Zoekt de zorgaanbieder in de lijst van MedMij, met haar gegevensdiensten, en vraagt elke deur wat zij doet.",
        "Looks the provider up in the list of MedMij, with its data services, and asks each door what it does.",
    ),
    timedelta(days=7),
    wants=lambda one: one.medmij is not None,
    measure=_measure,
)

"""The technical addresses that a node knows of an organisation by itself: `accesses`.

One for each exchange that it serves and FHIR version, one for its authorisation server, one for the directory of its
entries: of the two the one that asks for a certificate, as with two of one kind nobody could choose. An exchange that
directories have no code for is not told: nobody could find it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schakel.generic.addressing import exchanges
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.entries import WHOLE, Entries, entries, entry_id
from schakel.generic.addressing.own.model import Access, OwnOrganisation
from schakel.kernel.outcomes import Invalid


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where an organisation is reached: its authorisation server, its FHIR doors (each followed by the version) and its
    directories; '' for what others do not reach."""

    issuer: str
    fhir: str = ""
    directory: str = ""
    update_client: str = ""


def accesses(served: Iterable[str], at: Addresses) -> tuple[Access, ...]:
    """The addresses of an organisation that serves these exchanges (ids or scopes)."""
    found: dict[str, Access] = {}
    for name in sorted(served):
        if at.fhir and (one := _exchange(name, at.fhir)) is not None:
            found.setdefault(one.key, one)
    found["authorisation-server"] = Access(
        "authorisation-server",
        "Authorisation server",
        at.issuer,
        codes.OAUTH_NUTS,
        (codes.NUTS_OAUTH,),
    )
    if at.directory or at.update_client:
        found["directory"] = directory(at.directory or at.update_client)
    return tuple(found.values())


def directory(address: str) -> Access:
    """A directory of own entries."""
    told = codes.payloads(exchanges.exchange("admin-directory"))
    return Access(
        "directory", "Administration directory", address, codes.FHIR_REST, told, (codes.MEDIA["r4"],)
    )


def root(own: OwnOrganisation, address: str) -> Entries:
    """An organisation as a root directory has it: itself, and the one address of the directory of its entries.

    The id of the organisation is short: the ministry's update client writes an entry of that directory as
    `{this id}-{id of the entry}`, which has to stay within the 64 characters of a FHIR id (its recordings 23 and 60).
    """
    told = OwnOrganisation(own.ura, own.name, own.types, accesses=(directory(address),), vendor=own.vendor)
    return entries(told, f"ura-{own.ura}")


def moved(ura: str) -> tuple[str, str]:
    """Type and id under which roots of before had an organisation: of the two a client must find only one."""
    return "Organization", entry_id(ura, "Organization", WHOLE)


def _exchange(name: str, doors: str) -> Access | None:
    """The address of an exchange below the FHIR doors; None when directories do not know it."""
    try:
        known = exchanges.exchange(name)
    except Invalid:
        return None
    if known.version is None:
        return None
    told = codes.payloads(known)
    capability = next((one.code for one in told if one.system == exchanges.CAPABILITIES), known.names[0])
    key = f"fhir-{known.version}/{capability}"
    title = f"FHIR {known.version.upper()}: {known.names[0]}"
    address = f"{doors}/{known.version}"
    return Access(key, title, address, codes.FHIR_REST, told, (codes.MEDIA[known.version],))

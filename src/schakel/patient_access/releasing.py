"""What of a search may go to the patient: what is about this patient, and what that refers to.

* a match must be about this patient and no other;
* what was included must be about this patient, or name nobody and be referred to by something that is released;
* another Patient is never released, nor a Provenance unless everything it is about is this patient's.
"""

from __future__ import annotations

from collections.abc import Sequence

from schakel.gateway.minimise import Dropped, Item, Minimised, Subject, about, provenance_targets
from schakel.patient_access.services import Service


def released(items: Sequence[Item], subject: Subject, service: Service) -> Minimised:
    """Divides the items of one answer."""
    kept: dict[str, Item] = {}
    reasons: dict[str, str] = {}
    waiting: list[Item] = []
    for found in items:
        named = about(found, subject)
        if named is False or (named is None and (found.match or found.type == "Patient")):
            reasons[found.key] = "other-patient"
        elif found.match:
            kept[found.key] = found
        else:
            waiting.append(found)
    growing = True
    while growing:
        linked = {
            f"{kind}/{target}" for one in kept.values() for _, kind, target in one.rows.reference if kind
        }
        fitting = [i for i in waiting if i.key not in kept and _follows(i, linked, kept, subject, service)]
        kept |= {i.key: i for i in fitting}
        growing = bool(fitting)
    for found in waiting:
        if found.key not in kept:
            reasons[found.key] = "not-referred-to"
    in_order = tuple(i for i in items if i.key in kept)
    return Minimised(in_order, tuple(Dropped(key, why) for key, why in reasons.items()))


def _follows(
    found: Item, linked: set[str], kept: dict[str, Item], subject: Subject, service: Service
) -> bool:
    if found.type == "Provenance":
        targets = provenance_targets(found)
        return bool(targets) and targets <= kept.keys()
    if about(found, subject) is True and found.type in service.gives:
        return True
    return found.key in linked

"""Why something stands as it does, in Dutch and English: one sentence or two for every state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache

from babel.dates import format_date

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.evidence import Declaration, Evidence, Member
from schakel.roadmap.model import Item, Text

NOT_DECLARED = Text(
    "Geen controle kan dit meten, en niemand heeft er iets over verklaard.",
    "No check can measure this, and nobody has declared anything about it.",
)

NOT_DECLARED_REST = Text("Niemand heeft daar iets over verklaard.", "Nobody has declared anything about it.")


@lru_cache(maxsize=4096)
def day(of: date) -> Text:
    """A date in full, as in 5 March 2026."""
    return Text(*(format_date(of, "d MMMM y", locale=locale) for locale in ("nl", "en")))


def day_of(moment: datetime) -> Text:
    """The date of a moment, in Amsterdam."""
    return day(moment.astimezone(AMSTERDAM).date())


def proved(one: Evidence, number: int) -> Text:
    """All `number` checks hold; `one` is the first."""
    on, said = day_of(one.at), one.finding.reason
    if number == 1:
        return Text(f"Gemeten op {on.nl}: {said.nl}", f"Measured on {on.en}: {said.en}")
    return Text(
        f"{number} controles kloppen. Gemeten op {on.nl}: {said.nl}",
        f"{number} checks hold. Measured on {on.en}: {said.en}",
    )


def self_measured(one: Evidence) -> Text:
    """What the organisation itself found counts, and a keeper of the board did not find it as well."""
    on, said = day_of(one.at), one.finding.reason
    if one.finding.verdict == "not-applicable":
        nl, en = f"Niet van toepassing, vond de organisatie zelf op {on.nl}", "Not applicable, found"
    else:
        nl, en = f"Door de organisatie zelf gemeten op {on.nl}", "Measured"
    return Text(
        f"{nl}: {said.nl} Wie het bord bijhoudt heeft dit niet gemeten, of te lang geleden.",
        f"{en} by the organisation itself on {on.en}: {said.en} Who keeps the board did not measure this, or too long "
        "ago.",
    )


def with_rest(measured: Text, declared: Text) -> Text:
    """What was measured of a step, and what was declared about the rest."""
    return Text(f"{measured.nl} De rest: {declared.nl}", f"{measured.en} The rest: {declared.en}")


def without_rest(measured: Text, unseen: Text, why: Text) -> Text:
    """What was measured of a step, what the checks do not see, and why that is still open."""
    return Text(
        f"{measured.nl} Niet gemeten: {unseen.nl} {why.nl}",
        f"{measured.en} Not measured: {unseen.en} {why.en}",
    )


def of_newer_checks(checks: tuple[str, ...]) -> Text:
    """What checks see that this program does not have."""
    names = ", ".join(checks)
    return Text(
        f"Wat {names} zou zien; deze versie van het programma heeft dat niet.",
        f"What {names} would see, which this version of the program does not have.",
    )


def fails(one: Evidence) -> Text:
    """A check that fails."""
    on, said = day_of(one.at), one.finding.reason
    whose = _by_itself(one)
    reason = Text(f"Gemeten{whose.nl} op {on.nl}: {said.nl}", f"Measured{whose.en} on {on.en}: {said.en}")
    return _and_beside(reason, one)


def unknown(one: Evidence) -> Text:
    """A check that could not be done."""
    on, said = day_of(one.at), one.finding.reason
    whose = _by_itself(one)
    reason = Text(
        f"Kon{whose.nl} op {on.nl} niet worden gecontroleerd: {said.nl}",
        f"Could not be checked{whose.en} on {on.en}: {said.en}",
    )
    return _and_beside(reason, one)


def _by_itself(one: Evidence) -> Text:
    """Words, with a space before them, that say so when the organisation itself looked; none otherwise."""
    return Text(" door de organisatie zelf", " by the organisation itself") if one.own else Text("", "")


def _and_beside(reason: Text, one: Evidence) -> Text:
    """The reason, with what was found otherwise than `one`."""
    if one.beside is None:
        return reason
    on, said = day_of(one.beside.at), one.beside.finding.reason
    if one.beside.own:
        return Text(
            f"{reason.nl} (De organisatie zelf vond op {on.nl} iets anders: {said.nl})",
            f"{reason.en} (The organisation itself found otherwise on {on.en}: {said.en})",
        )
    return Text(
        f"{reason.nl} (Wie het bord bijhoudt, vond op {on.nl} iets anders: {said.nl})",
        f"{reason.en} (Who keeps the board found otherwise on {on.en}: {said.en})",
    )


def old(one: Evidence) -> Text:
    """Evidence older than the term of its check."""
    on, whose = day_of(one.at), _by_itself(one)
    return _with_last_true(
        f"De laatste meting{whose.nl} is van {on.nl} en dus te oud.",
        f"The last measurement{whose.en} is of {on.en}, which is too long ago.",
        one.last_true,
    )


def ended(one: Evidence) -> Text:
    """What was found was known to end, and it has."""
    assert one.finding.until is not None
    end, whose = day_of(one.finding.until), _by_itself(one)
    return _with_last_true(
        f"Wat toen{whose.nl} is gemeten, gold tot {end.nl}.",
        f"What was measured then{whose.en} was good until {end.en}.",
        one.last_true,
    )


def _with_last_true(nl: str, en: str, last_true: datetime | None) -> Text:
    if last_true is None:
        return Text(nl, en)
    last = day_of(last_true)
    return Text(f"{nl} Het klopte voor het laatst op {last.nl}.", f"{en} It last held on {last.en}.")


@lru_cache(maxsize=4096)
def not_checked(checks: tuple[str, ...]) -> Text:
    """Checks of which there is no evidence at all."""
    names = ", ".join(checks)
    return Text(f"Nog nooit gecontroleerd: {names}.", f"Never checked: {names}.")


def measured_not_applicable(one: Evidence) -> Text:
    """The check itself found that this is not for the organisation."""
    on, said = day_of(one.at), one.finding.reason
    return Text(
        f"Niet van toepassing, gemeten op {on.nl}: {said.nl}",
        f"Not applicable, measured on {on.en}: {said.en}",
    )


def declared(one: Declaration) -> Text:
    """A declaration that counts."""
    on, until = day(one.on), day(one.until)
    return Text(
        f"Verklaard door {one.declared_by} op {on.nl}, gezien door {one.seen_by}, geldig tot en met {until.nl}. "
        f"Bewijsstuk: {one.document}.",
        f"Declared by {one.declared_by} on {on.en}, seen by {one.seen_by}, good up to and including {until.en}. "
        f"Document: {one.document}.",
    )


def unconfirmed(one: Declaration) -> Text:
    """A declaration that nobody else has seen."""
    on = day(one.on)
    return Text(
        f"Verklaard door {one.declared_by} op {on.nl}; een tweede lezer heeft dit nog niet gezien.",
        f"Declared by {one.declared_by} on {on.en}; a second reader has not seen this yet.",
    )


def declaration_past(one: Declaration) -> Text:
    """A declaration whose last day is past."""
    until = day(one.until)
    return Text(
        f"De verklaring van {one.declared_by} was geldig tot en met {until.nl} en moet opnieuw.",
        f"The declaration of {one.declared_by} was good up to and including {until.en} and must be made again.",
    )


def declared_not_done(one: Declaration) -> Text:
    """Someone declared that it is not so."""
    on, why = day(one.on), one.reason.strip()
    nl, en = f"Verklaard door {one.declared_by} op {on.nl}", f"Declared by {one.declared_by} on {on.en}"
    return Text(
        f"{nl}: nog niet gedaan." + (f" {why}" if why else ""),
        f"{en}: not done yet." + (f" {why}" if why else ""),
    )


def not_applicable(one: Declaration, failing: Evidence | None) -> Text:
    """Declared, and seen, that it is not for this organisation; what a check says against it is told too."""
    on = day(one.on)
    nl = f"Niet van toepassing, verklaard door {one.declared_by} op {on.nl}, gezien door {one.seen_by}: {one.reason}"
    en = f"Not applicable, declared by {one.declared_by} on {on.en}, seen by {one.seen_by}: {one.reason}"
    if failing is None:
        return Text(nl, en)
    when, said = day_of(failing.at), failing.finding.reason
    return Text(
        f"{nl} (De controle van {when.nl} vindt: {said.nl})",
        f"{en} (The check of {when.en} finds: {said.en})",
    )


def other_sectors(item: Item, member: Member, sectors: Mapping[str, Text]) -> Text:
    """The item names other sectors only."""
    return _other_sectors(
        tuple(sectors.get(code, Text(code, code)) for code in item.sectors),
        sectors.get(member.sector, Text(member.sector, member.sector)),
    )


@lru_cache(maxsize=1024)
def _other_sectors(named: tuple[Text, ...], own: Text) -> Text:
    return Text(
        f"De routekaart noemt dit voor {', '.join(one.nl for one in named)}; deze organisatie is van {own.nl}. Of het "
        "ook voor haar is, staat er niet.",
        f"The roadmap names this for {', '.join(one.en for one in named)}; this organisation is of {own.en}. Whether "
        "it is meant for it too, it does not say.",
    )


@lru_cache(maxsize=64)
def no_step_applies(number: int) -> Text:
    """An item of which no step applies."""
    if not number:
        return Text("Dit item vraagt geen stappen.", "This item asks for no steps.")
    return Text(
        "Geen van de stappen is hier van toepassing.",
        "None of the steps applies here.",
    )


@lru_cache(maxsize=64)
def all_proved(number: int) -> Text:
    """All steps that apply are measured and so."""
    if number == 1:
        return Text("De enige stap is gemeten en klopt.", "The only step is measured and holds.")
    return Text(
        f"Alle {number} stappen zijn gemeten en kloppen.", f"All {number} steps are measured and hold."
    )


@lru_cache(maxsize=4096)
def all_declared(measured: int, number: int) -> Text:
    """All steps that apply are good, not all by measuring."""
    return Text(
        f"{measured} van {number} stappen gemeten, de rest verklaard en gezien door een tweede lezer.",
        f"{measured} of {number} steps measured, the rest declared and seen by a second reader.",
    )


@lru_cache(maxsize=8192)
def partly(good: int, number: int, step: str, reason: Text) -> Text:
    """Some steps are good; `step` is the weakest of the others."""
    return Text(
        f"{good} van {number} stappen zijn in orde. Open is {step}: {reason.nl}",
        f"{good} of {number} steps are good. Open is {step}: {reason.en}",
    )


@lru_cache(maxsize=8192)
def first(step: str, reason: Text) -> Text:
    """The reason of the step that decides."""
    return Text(f"{step}: {reason.nl}", f"{step}: {reason.en}")

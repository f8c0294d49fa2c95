"""BloodPressure, BodyWeight, BodyHeight and the other vital signs and nursing observations."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.codes import UPPER_ARM_LEFT, UPPER_ARM_RIGHT, WASHING, WRIST_RIGHT
from schakel.demo.patients.elements import NICTIZ, Code, Json, Link, concept, loinc, quantity, sct

_VITAL_SIGNS = Code("http://hl7.org/fhir/observation-category", "vital-signs", "Vital Signs")
_PRESSURE = loinc("85354-9", "Blood pressure panel with all children optional")
_SYSTOLIC = loinc("8480-6", "Intravasculaire systolische bloeddruk [druk] in arterieel vaatstelsel")
_DIASTOLIC = loinc("8462-4", "Intravasculaire diastolische bloeddruk [druk] in arterieel vaatstelsel")
_MEAN = loinc("8478-0", "Mean blood pressure")
_CUFF = loinc("8358-4", "Blood pressure device Cuff size")
_POSITION = loinc("8361-8", "Body position with respect to gravity")
_STANDARD_CUFF = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.15.1", "STD", "Standaard")
_SITTING = sct("33586001", "Zittende positie")
_LYING = sct("102538003", "Liggende positie")
_WEIGHT = loinc("29463-7", "Lichaamsgewicht [massa] in ^patiënt")
_HEIGHT = loinc("8302-2", "Lichaamslengte [lengte] in ^patiënt")
_STANDING_HEIGHT = loinc("8308-9", "Lichaamslengte^staand [lengte] in ^patiënt")
_CLOTHING = loinc("8352-7", "Clothing worn during measure")
_CLOTHED = Code(
    "urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.8.1", "FULL", "Volledig gekleed, inclusief schoenen"
)
_HELP = sct("16581000146103", "Hulp nodig")
_INDEPENDENT = sct("165245003", "Onafhankelijk")


def _observe(
    chart: Chart,
    kind: str,
    profile: str,
    codes: tuple[Code, ...],
    when: str,
    members: Json,
    *,
    vital: bool = True,
) -> Link:
    return chart.add(
        kind,
        "Observation",
        [NICTIZ + profile],
        {
            "status": "final",
            "category": [concept(_VITAL_SIGNS)] if vital else None,
            "code": concept(*codes),
            "subject": chart.subject,
            "effectiveDateTime": when,
            **members,
        },
        codes[0].display,
    )


def blood_pressure(chart: Chart, systolic: int, diastolic: int, when: str, *, lying: bool = False) -> Link:
    """zib-BloodPressure in mm[Hg] with mean pressure, cuff and position."""
    mean = round(diastolic + (systolic - diastolic) / 3)
    pressures = ((_SYSTOLIC, systolic), (_DIASTOLIC, diastolic), (_MEAN, mean))
    components: list[Json] = [
        {"code": concept(code), "valueQuantity": quantity(str(value), "mm[Hg]")} for code, value in pressures
    ]
    components += [
        {"code": concept(_CUFF), "valueCodeableConcept": concept(_STANDARD_CUFF)},
        {"code": concept(_POSITION), "valueCodeableConcept": concept(_LYING if lying else _SITTING)},
    ]
    arm = chart.rng.choice((UPPER_ARM_LEFT, UPPER_ARM_RIGHT, UPPER_ARM_RIGHT, WRIST_RIGHT))
    return _observe(
        chart,
        "bloodpressure",
        "zib-BloodPressure",
        (_PRESSURE,),
        when,
        {
            "bodySite": concept(arm),
            "method": concept(sct("22762002", "Niet-invasief")),
            "component": components,
        },
    )


def body_weight(chart: Chart, kilograms: float, when: str, *, in_error: bool = False) -> Link:
    """zib-BodyWeight in kg, one decimal, dressed."""
    dressed = {"code": concept(_CLOTHING), "valueCodeableConcept": concept(_CLOTHED)}
    members: Json = {"valueQuantity": quantity(f"{kilograms:.1f}", "kg"), "component": [dressed]}
    if in_error:
        members |= {"status": "entered-in-error", "comment": "Lengte ingevoerd in het veld voor gewicht."}
    return _observe(chart, "bodyweight", "zib-BodyWeight", (_WEIGHT,), when, members)


def body_height(chart: Chart, centimetres: int, when: str) -> Link:
    """zib-BodyHeight in cm; standing from the age of two."""
    codes = (_HEIGHT, _STANDING_HEIGHT) if chart.age > 2 else (_HEIGHT,)
    members: Json = {"valueQuantity": quantity(str(centimetres), "cm")}
    return _observe(chart, "bodyheight", "zib-BodyHeight", codes, when, members)


def heart_rate(chart: Chart, beats: int, when: str) -> Link:
    """zib-HeartRate, beats a minute."""
    members: Json = {"valueQuantity": quantity(str(beats), "/min")}
    return _observe(chart, "heartrate", "zib-HeartRate", (loinc("8867-4", "Hartfrequentie"),), when, members)


def temperature(chart: Chart, celsius: float, when: str) -> Link:
    """zib-BodyTemperature in degrees Celsius."""
    members: Json = {"valueQuantity": quantity(f"{celsius:.1f}", "°C", "Cel")}
    code = loinc("8310-5", "Lichaamstemperatuur")
    return _observe(chart, "temperature", "zib-BodyTemperature", (code,), when, members)


def saturation(chart: Chart, percent: int, when: str) -> Link:
    """zib-OxygenSaturation in percent, by pulse oximetry."""
    members: Json = {"valueQuantity": quantity(str(percent), "%")}
    code = loinc("59408-5", "Zuurstofsaturatie in arterieel bloed d.m.v. pulsoximetrie")
    return _observe(chart, "saturation", "zib-OxygenSaturation", (code,), when, members)


def respiration(chart: Chart, breaths: int, when: str) -> Link:
    """zib-Respiration: breaths a minute."""
    rate = {
        "code": concept(loinc("9279-1", "Ademhalingsfrequentie")),
        "valueQuantity": quantity(str(breaths), "/min"),
    }
    code = sct("422834003", "beoordelen van ademhaling")
    return _observe(
        chart, "respiration", "zib-Respiration", (code,), when, {"component": [rate]}, vital=False
    )


def pain(chart: Chart, score: int, when: str) -> Link:
    """zib-PainScore on the numeric rating scale, 0 to 10."""
    scale = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.9.1", "NRS", "NRS")
    code = sct("225908003", "pijnscore")
    members: Json = {"valueQuantity": {"value": score}, "method": concept(scale)}
    return _observe(chart, "painscore", "zib-PainScore", (code,), when, members, vital=False)


def mobility(chart: Chart, when: str, *, help_needed: bool) -> Link:
    """zib-Mobility: walking, and getting from bed to chair."""
    transfer = sct("714917003", "Hulp nodig") if help_needed else sct("714915006", "Onafhankelijk")
    components: list[Json] = [
        {
            "code": concept(sct("282097004", "loopvermogen")),
            "valueCodeableConcept": concept(_HELP if help_needed else _INDEPENDENT),
        },
        {
            "code": concept(sct("364666007", "vermogen om transfer uit te voeren")),
            "valueCodeableConcept": concept(transfer),
        },
    ]
    code = sct("301438001", "mobiliteit")
    return _observe(chart, "mobility", "zib-Mobility", (code,), when, {"component": components}, vital=False)


def washing(chart: Chart, when: str, *, help_needed: bool) -> Link:
    """zib-AbilityToWashOneself."""
    value = sct("16621000146103", "Hulp nodig") if help_needed else sct("19831000146107", "Onafhankelijk")
    members: Json = {"valueCodeableConcept": concept(value)}
    return _observe(chart, "washing", "zib-AbilityToWashOneself", (WASHING,), when, members, vital=False)

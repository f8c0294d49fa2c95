"""The laboratory tests of the demo as data: LOINC code, UCUM unit, reference range and usual values."""

from __future__ import annotations

from dataclasses import dataclass

from schakel.demo.patients.elements import Code, loinc, sct

CHEMISTRY = sct("275711006", "Klinische chemie")
HAEMATOLOGY = sct("252275004", "Hematologie")

BLOOD = sct("87612001", "Bloed")
SERUM = sct("67922002", "Serum")


@dataclass(frozen=True, slots=True)
class Test:
    """One determination. `low` and `high` bound the reference range ("" for an open side).

    `usual` are the values that people without illness have; `digits` is the number of decimals reported.
    """

    code: Code
    unit: str
    low: str
    high: str
    usual: tuple[float, float]
    digits: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Tests that are ordered together on one specimen."""

    code: Code
    kind: Code
    material: Code
    tests: tuple[str, ...]


TESTS: dict[str, Test] = {
    "haemoglobin": Test(
        loinc("59260-0", "Hemoglobine [mol/volume] in bloed"),
        "mmol/L", "7.5", "10.0", (7.8, 9.8), 1,
    ),
    "haematocrit": Test(
        loinc("4544-3", "Hematocriet [volumefractie] in bloed d.m.v. geautomatiseerde telling"),
        "L/L", "0.36", "0.50", (0.37, 0.48), 2,
    ),
    "leukocytes": Test(
        loinc("6690-2", "Leukocyten [aantal/volume] in bloed d.m.v. geautomatiseerde telling"),
        "10*9/L", "4.0", "10.0", (4.5, 9.5), 1,
    ),
    "platelets": Test(
        loinc("777-3", "Trombocyten [aantal/volume] in bloed d.m.v. geautomatiseerde telling"),
        "10*9/L", "150", "400", (170, 380), 0,
    ),
    "sodium": Test(
        loinc("2951-2", "Natrium [mol/volume] in serum of plasma"),
        "mmol/L", "135", "145", (136, 144), 0,
    ),
    "potassium": Test(
        loinc("2823-3", "Kalium [mol/volume] in serum of plasma"),
        "mmol/L", "3.5", "5.0", (3.7, 4.8), 1,
    ),
    "creatinine": Test(
        loinc("14682-9", "Creatinine [mol/volume] in serum of plasma"),
        "umol/L", "50", "100", (55, 95), 0,
    ),
    "urea": Test(
        loinc("22664-7", "Ureum [mol/volume] in serum of plasma"),
        "mmol/L", "2.5", "7.5", (3.0, 7.0), 1,
    ),
    "hba1c": Test(
        loinc("59261-8", "Hemoglobine A1c/hemoglobine totaal in bloed volgens IFCC-protocol"),
        "mmol/mol", "", "42", (32, 41), 0,
    ),
    "glucose": Test(
        loinc("14749-6", "Glucose [mol/volume] in serum of plasma"),
        "mmol/L", "4.0", "7.8", (4.4, 6.2), 1,
    ),
    "cholesterol": Test(
        loinc("14647-2", "Cholesterol [mol/volume] in serum of plasma"),
        "mmol/L", "", "5.0", (3.9, 5.4), 2,
    ),
    "hdl": Test(
        loinc("14646-4", "Cholesterol in HDL [mol/volume] in serum of plasma"),
        "mmol/L", "1.0", "", (1.05, 1.90), 2,
    ),
    "ldl": Test(
        loinc("22748-8", "Cholesterol in LDL [mol/volume] in serum of plasma"),
        "mmol/L", "", "3.0", (1.80, 3.40), 2,
    ),
    "triglycerides": Test(
        loinc("14927-8", "Triglyceriden [mol/volume] in serum of plasma"),
        "mmol/L", "", "2.0", (0.70, 1.90), 2,
    ),
    "crp": Test(
        loinc("1988-5", "C-reactief proteïne [massa/volume] in serum of plasma"),
        "mg/L", "", "10", (1, 8), 0,
    ),
    "nt-probnp": Test(
        loinc("33762-6", "NT-proBNP [massa/volume] in serum of plasma"),
        "ng/L", "", "125", (30, 120), 0,
    ),
    "tsh": Test(
        loinc("3016-3", "Thyrotropine [eenheden/volume] in serum of plasma"),
        "m[IU]/L", "0.40", "4.00", (0.6, 3.6), 2,
    ),
    "ferritin": Test(
        loinc("2276-4", "Ferritine [massa/volume] in serum of plasma"),
        "ug/L", "15", "150", (25, 140), 0,
    ),
}  # fmt: skip

PANELS: dict[str, Panel] = {
    "blood-count": Panel(
        loinc("58410-2", "Compleet bloedbeeld panel in bloed d.m.v. geautomatiseerde telling"),
        HAEMATOLOGY, BLOOD, ("haemoglobin", "haematocrit", "leukocytes", "platelets"),
    ),
    "kidney": Panel(
        loinc("24362-6", "Nierfunctie panel in serum of plasma"),
        CHEMISTRY, SERUM, ("sodium", "potassium", "creatinine", "urea"),
    ),
    "glucose": Panel(
        loinc("59261-8", "Hemoglobine A1c/hemoglobine totaal in bloed volgens IFCC-protocol"),
        CHEMISTRY, BLOOD, ("hba1c", "glucose"),
    ),
    "lipids": Panel(
        loinc("24331-1", "Lipiden panel in serum of plasma"),
        CHEMISTRY, SERUM, ("cholesterol", "hdl", "ldl", "triglycerides"),
    ),
    "heart": Panel(
        loinc("33762-6", "NT-proBNP [massa/volume] in serum of plasma"),
        CHEMISTRY, SERUM, ("nt-probnp",),
    ),
    "inflammation": Panel(
        loinc("1988-5", "C-reactief proteïne [massa/volume] in serum of plasma"), CHEMISTRY, SERUM, ("crp",),
    ),
    "thyroid": Panel(
        loinc("3016-3", "Thyrotropine [eenheden/volume] in serum of plasma"), CHEMISTRY, SERUM, ("tsh",),
    ),
    "iron": Panel(
        loinc("2276-4", "Ferritine [massa/volume] in serum of plasma"), CHEMISTRY, SERUM, ("ferritin",),
    ),
}  # fmt: skip

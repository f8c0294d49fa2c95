"""The medicines of the demo: ATC code, and G-Standaard PRK and GPK where the published suites name them."""

from __future__ import annotations

from dataclasses import dataclass

from schakel.demo.patients.elements import ATC, Code
from schakel.demo.patients.entries import MedicineEntry

GPK = "urn:oid:2.16.840.1.113883.2.4.4.1"
PRK = "urn:oid:2.16.840.1.113883.2.4.4.10"
ROUTE = "urn:oid:2.16.840.1.113883.2.4.4.9"
UNIT = "urn:oid:2.16.840.1.113883.2.4.4.1.900.2"

ORAL = Code(ROUTE, "9", "oraal")


@dataclass(frozen=True, slots=True)
class Product:
    """A medicine as it is prescribed. `unit` is what one dose counts; `route_text` says how it is taken."""

    key: str
    name: str
    codes: tuple[Code, ...]
    unit: str = "stuk"
    route: Code | None = ORAL
    route_text: str = "oraal"


def _product(
    key: str, name: str, atc: tuple[str, str], prk: str = "", gpk: str = "", unit: str = "stuk", by: str = ""
) -> Product:
    codes = [Code(PRK, prk, name)] if prk else []
    codes += [Code(GPK, gpk, name)] if gpk else []
    codes.append(Code(ATC, atc[0], atc[1]))
    return Product(key, name, tuple(codes), unit, None if by else ORAL, by or "oraal")


PRODUCTS: dict[str, Product] = {
    product.key: product
    for product in (
        _product("metformin", "METFORMINE TABLET 500MG", ("A10BA02", "metformine"), "1090"),
        _product("gliclazide", "GLICLAZIDE TABLET MGA 30MG", ("A10BB09", "gliclazide")),
        _product(
            "glargine", "INSULINE GLARGINE INJVLST 100E/ML", ("A10AE04", "insuline glargine"),
            unit="E", by="subcutaan",
        ),
        _product("atorvastatin", "ATORVASTATINE TABLET 10MG", ("C10AA05", "atorvastatine"), "98604"),
        _product("simvastatin", "SIMVASTATINE TABLET FO 20MG", ("C10AA01", "simvastatine"), "67814"),
        _product("lisinopril", "LISINOPRIL TABLET 10MG", ("C09AA03", "lisinopril"), "26638", "71587"),
        _product("amlodipine", "AMLODIPINE TABLET 5MG", ("C08CA01", "amlodipine"), "123315"),
        _product("metoprolol", "METOPROLOL TABLET MGA 100MG (SUCCINAAT)", ("C07AB02", "metoprolol"), "26190"),
        _product("furosemide", "FUROSEMIDE TABLET 40MG", ("C03CA01", "furosemide"), "5967", "16810"),
        _product("spironolactone", "SPIRONOLACTON TABLET 25MG", ("C03DA01", "spironolacton")),
        _product("apixaban", "APIXABAN TABLET 5MG", ("B01AF02", "apixaban"), "105678"),
        _product(
            "acenocoumarol", "ACENOCOUMAROL TABLET 1MG", ("B01AA07", "acenocoumarol"), "7323", "20303"
        ),
        _product("aspirin", "ACETYLSALICYLZUUR DISPERTABLET 80MG", ("B01AC06", "acetylsalicylzuur"), "68632"),
        _product("clopidogrel", "CLOPIDOGREL TABLET 75MG", ("B01AC04", "clopidogrel")),
        _product(
            "salbutamol", "SALBUTAMOL AEROSOL 100UG/DO 200DO", ("R03AC02", "salbutamol"),
            unit="inhalatie", by="inhalatie",
        ),
        _product(
            "tiotropium", "TIOTROPIUM INHALATIEPOEDER 18UG", ("R03BB04", "tiotropiumbromide"),
            unit="inhalatie", by="inhalatie",
        ),
        _product(
            "budesonide-formoterol", "BUDESONIDE/FORMOTEROL INHALATIEPOEDER 200/6UG/DO",
            ("R03AK07", "formoterol en budesonide"), unit="inhalatie", by="inhalatie",
        ),
        _product("prednisone", "PREDNISON TABLET 5MG", ("H02AB07", "prednison"), "8311"),
        _product("doxycycline", "DOXYCYCLINE TABLET 100MG", ("J01AA02", "doxycycline"), "19844"),
        _product("amoxicillin", "AMOXICILLINE DISPERTABLET 500MG", ("J01CA04", "amoxicilline"), "68519"),
        _product("nitrofurantoin", "NITROFURANTOINE CAPSULE MGA 100MG", ("J01XE01", "nitrofurantoïne")),
        _product("sertraline", "SERTRALINE TABLET 50MG", ("N06AB06", "sertraline")),
        _product("mirtazapine", "MIRTAZAPINE TABLET 15MG", ("N06AX11", "mirtazapine"), "75211"),
        _product("oxazepam", "OXAZEPAM TABLET 10MG", ("N05BA04", "oxazepam"), "353"),
        _product("sumatriptan", "SUMATRIPTAN TABLET 50MG", ("N02CC01", "sumatriptan")),
        _product("propranolol", "PROPRANOLOL TABLET 80MG", ("C07AA05", "propranolol"), "5738"),
        _product(
            "metoclopramide", "METOCLOPRAMIDE TABLET 10MG", ("A03FA01", "metoclopramide"), "6947", "19429"
        ),
        _product("paracetamol", "PARACETAMOL TABLET 500MG", ("N02BE01", "paracetamol"), "67903", "2194"),
        _product("naproxen", "NAPROXEN TABLET 500MG", ("M01AE02", "naproxen"), "20850"),
        _product("oxycodone", "OXYCODON TABLET 5MG", ("N02AA05", "oxycodon")),
        _product("pantoprazole", "PANTOPRAZOL TABLET MSR 40MG", ("A02BC02", "pantoprazol"), "43044", "96938"),
        _product("omeprazole", "OMEPRAZOL CAPSULE MSR 20MG", ("A02BC01", "omeprazol"), "60062"),
        _product("macrogol", "MACROGOL/ZOUTEN POEDER VOOR DRANK", ("A06AD65", "macrogol, combinaties")),
        _product("levothyroxine", "LEVOTHYROXINE TABLET 100UG", ("H03AA01", "levothyroxine")),
        _product("alendronate", "ALENDRONINEZUUR TABLET 70MG", ("M05BA04", "alendroninezuur")),
        _product("vitamin-d", "COLECALCIFEROL CAPSULE 800IE", ("A11CC05", "colecalciferol")),
        _product("ferrous-fumarate", "FERROFUMARAAT TABLET 200MG", ("B03AA02", "ferrofumaraat"), "42293"),
        _product("folic-acid", "FOLIUMZUUR TABLET 0,5MG", ("B03BB01", "foliumzuur")),
        _product(
            "nadroparin", "NADROPARINE INJVLST 9500IE/ML WWSP 0,3ML", ("B01AB06", "nadroparine"),
            by="subcutaan",
        ),
    )
}  # fmt: skip

_PERIODS = {"d": "dag", "wk": "week"}


def instruction(entry: MedicineEntry) -> str:
    """How to use a medicine, in the words that stand on the label."""
    if entry.schedule:
        return "Volgens doseerschema" + (f", {entry.instruction}" if entry.instruction else "")
    often = f"{entry.times} keer per {_PERIODS[entry.every]}" if entry.times else "Zo nodig"
    text = f"{often} {entry.dose} {PRODUCTS[entry.product].unit}"
    return f"{text}, {entry.instruction}" if entry.instruction else text

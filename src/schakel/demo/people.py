"""Synthetic persons: Dutch names, birth dates and addresses, and BSNs that nobody has.

A BSN here starts with 999 but not with 9999 (the published suites use that range) and passes the 11-proef.
Everything follows from the seed: the n-th person is the same whatever the number of persons asked for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from schakel.kernel.values import Bsn

Sex = Literal["female", "male"]

MAX_PERSONS = 20_000
"""The range 9990-9998 holds some 82,000 valid numbers; well below that a free one is always found soon."""


@dataclass(frozen=True, slots=True)
class Name:
    """A Dutch name: first names, own family name with its prefix, and the partner's name when it is used.

    With a partner name the person is called partner name, hyphen, own name (HL7 assembly order NL3).
    """

    given: tuple[str, ...]
    prefix: str
    family: str
    partner_prefix: str = ""
    partner_family: str = ""

    @property
    def initials(self) -> str:
        return "".join(f"{name[0]}." for name in self.given)

    @property
    def surname(self) -> str:
        """The whole family name with prefixes, as the person uses it."""
        own = f"{self.prefix} {self.family}".strip()
        if not self.partner_family:
            return own
        return f"{self.partner_prefix} {self.partner_family}-{own}".strip()

    @property
    def display(self) -> str:
        """Initials and surname, the text by which references name this person."""
        return f"{self.initials} {self.surname}"


@dataclass(frozen=True, slots=True)
class Address:
    """A Dutch address; `suffix` is the letter or addition behind the house number, often empty."""

    street: str
    house_number: str
    suffix: str
    postal_code: str
    city: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who lives in the region. `number` counts from 1; `marital` is a code of v3 MaritalStatus."""

    number: int
    bsn: str
    name: Name
    sex: Sex
    birth_date: date
    address: Address
    phone: str
    email: str
    marital: str

    def age(self, today: date) -> int:
        """Age in whole years on `today`."""
        had_birthday = (today.month, today.day) >= (self.birth_date.month, self.birth_date.day)
        return today.year - self.birth_date.year - (0 if had_birthday else 1)


_FEMALE = (
    "Johanna", "Wilhelmina", "Annelies", "Fenna", "Roos", "Saskia", "Marieke", "Femke", "Nienke", "Hilde",
    "Truus", "Geertje", "Aaltje", "Esther", "Noor", "Lieke", "Samira", "Fatima", "Yasmina", "Shanti",
    "Ingrid", "Margriet", "Hennie", "Corrie", "Tessa", "Iris", "Mirjam", "Josephine", "Zoë", "Désirée",
)  # fmt: skip
_MALE = (
    "Johannes", "Hendrik", "Gerrit", "Pieter", "Bram", "Daan", "Sjoerd", "Wouter", "Jeroen", "Maarten",
    "Kees", "Evert", "Harm", "Lubbert", "Mohamed", "Youssef", "Rachid", "Emre", "Radjesh", "Marlon",
    "Thijs", "Ruben", "Floris", "Berend", "Tjeerd", "Koen", "Noël", "Frits", "Willem", "Anton",
)  # fmt: skip
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("de", "Vries"), ("van den", "Berg"), ("van", "Dijk"), ("", "Bakker"), ("", "Visser"), ("de", "Boer"),
    ("", "Mulder"), ("", "Bos"), ("van der", "Meulen"), ("", "Hendriks"), ("van", "Leeuwen"), ("", "Dekker"),
    ("", "Brouwer"), ("de", "Wit"), ("", "Dijkstra"), ("", "Smits"), ("de", "Graaf"), ("van der", "Linden"),
    ("", "Kok"), ("", "Jacobs"), ("de", "Haan"), ("", "Vermeulen"), ("van den", "Heuvel"),
    ("van der", "Veen"), ("", "Yılmaz"), ("", "El Amrani"), ("", "Ramautar"), ("", "Kowalska"),
    ("in 't", "Veld"), ("op den", "Kamp"),
    ("", "Postma"), ("", "Hoekstra"), ("ten", "Cate"), ("", "Wiersma"), ("", "Sjöstrand"), ("", "Ancona"),
)  # fmt: skip
_PLACES: tuple[tuple[str, str], ...] = (
    ("Oosterwolde aan de Aa", "9990"), ("Meerdonk", "9991"), ("Klein Ravelde", "9992"),
    ("Hoogveenmond", "9993"),
)  # fmt: skip
_STREETS = (
    "Lindelaan", "Molenweg", "Dorpsstraat", "Beukenhof", "Prins Mauritsstraat", "Kerkpad", "Aasingel",
    "Vlierstraat", "Burgemeester Tonckensplein", "Roggeveld", "Zwanebloem", "Turfschip",
)  # fmt: skip
_LETTERS = "ABCDEFGHJKLMNPRSTVWXZ"


@dataclass(frozen=True, slots=True)
class _Lead:
    """One of the named persons with whom the region begins."""

    name: Name
    sex: Sex
    age: int
    marital: str


LEADS: tuple[_Lead, ...] = (
    _Lead(Name(("Willemijn", "Anna"), "van der", "Horst", "", "Okkinga"), "female", 67, "M"),
    _Lead(Name(("Gerrit", "Jan"), "ten", "Brinkhof"), "male", 79, "W"),
    _Lead(Name(("Hermina", "Theodora"), "", "Hulsbeek", "van", "Vlierden"), "female", 84, "W"),
    _Lead(Name(("Orhan",), "", "Yıldırım"), "male", 63, "M"),
    _Lead(Name(("Sanne", "Maria"), "de", "Ruigh"), "female", 32, "T"),
    _Lead(Name(("Bram", "Pieter"), "", "Kuiperij"), "male", 41, "D"),
    _Lead(Name(("Indra", "Devi"), "", "Ramsoekh"), "female", 37, "S"),
)
"""The named persons, known at both hospitals with a complete record (illness: `stories.LEAD_STORIES`)."""


def _bsn(rng: random.Random, taken: set[str]) -> str:
    """A free BSN from 999000000-999899999 that passes the 11-proef."""
    while True:
        candidate = f"999{rng.randrange(900_000):06d}"
        if candidate not in taken and Bsn.passes(candidate):
            taken.add(candidate)
            return candidate


def _name(rng: random.Random, sex: Sex, married: bool) -> Name:
    given = tuple(rng.sample(_FEMALE if sex == "female" else _MALE, rng.choice((1, 1, 2, 2, 3))))
    prefix, family = rng.choice(_FAMILIES)
    if sex == "female" and married and rng.random() < 0.6:
        partner_prefix, partner_family = rng.choice(_FAMILIES)
        return Name(given, prefix, family, partner_prefix, partner_family)
    return Name(given, prefix, family)


def _address(rng: random.Random) -> Address:
    city, digits = rng.choice(_PLACES)
    return Address(
        street=rng.choice(_STREETS),
        house_number=str(rng.randint(1, 240)),
        suffix=rng.choice(("", "", "", "a", "b", "bis")),
        postal_code=f"{digits}{rng.choice(_LETTERS)}{rng.choice(_LETTERS)}",
        city=city,
    )


def _marital(rng: random.Random, age: int) -> str:
    if age < 20:
        return "S"
    if age > 78 and rng.random() < 0.5:
        return "W"
    return rng.choice("MMMMTDSS" if age > 30 else "SSSSMT")


def _person(number: int, seed: int, today: date, taken: set[str]) -> Person:
    rng = random.Random(f"{seed}/person/{number}")
    bsn = _bsn(rng, taken)
    if number <= len(LEADS):
        lead = LEADS[number - 1]
        name, sex, age, marital = lead.name, lead.sex, lead.age, lead.marital
    else:
        sex = rng.choice(("female", "male"))
        age = min(99, int(rng.triangular(1, 99, 68)))
        marital = _marital(rng, age)
        name = _name(rng, sex, marital in "MW")
    # Between one day and a year after the birthday that made the age, so that the age holds on `today`.
    birth_date = today - timedelta(days=round(age * 365.25) + rng.randint(5, 355))
    return Person(
        number=number,
        bsn=bsn,
        name=name,
        sex=sex,
        birth_date=birth_date,
        address=_address(rng),
        phone=f"06-9990{number:04d}" if number < 10_000 else f"06-99{number:06d}",
        email=f"persoon{number}@post.example",
        marital=marital,
    )


def persons(count: int, seed: int, today: date) -> tuple[Person, ...]:
    """The first `count` persons of the region of `seed`, as they are on `today`.

    Raises `ValueError` for a count below 0 or above `MAX_PERSONS`.
    """
    if not 0 <= count <= MAX_PERSONS:
        raise ValueError(f"the region has 0 to {MAX_PERSONS} patients, not {count}")
    taken: set[str] = set()
    return tuple(_person(number, seed, today, taken) for number in range(1, count + 1))

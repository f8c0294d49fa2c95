"""SPF: who may send mail in the name of a domain.

One record, read as a receiver reads it: what it includes and leads on to are looked up, and of the questions that this
costs ten at most. Where a name depends on the message (a macro), it is counted and not followed.

Source: RFC 7208 sections 4.5, 4.6, 5 and 6.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schakel.roadmap.checks.names import Names
from schakel.roadmap.model import Text

_MOST_QUESTIONS = 10
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists"})
_MECHANISMS = _ASKING | {"all", "ip4", "ip6"}
_TERM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:([:=/])(.*))?", re.IGNORECASE)


class _Fault(Exception):
    def __init__(self, nl: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(nl, en)


@dataclass(slots=True)
class _Reading:
    """One reading of a record with all that it leads to; `questions` is what it cost so far."""

    names: Names
    questions: int = 0

    async def ending(self, domain: str, records: list[str]) -> str:
        """What the record says of whoever is not in it: `-`, `~`, `?` or `+`. Raises `_Fault` and `Unclear`."""
        if len(records) != 1:
            raise _Fault(
                f"{domain} heeft {len(records)} SPF-records, niet één.",
                f"{domain} has {len(records)} SPF records, not one.",
            )
        onward, ending = "", ""
        for word in records[0].split()[1:]:
            read = _TERM.fullmatch(word)
            sign, name, joint, value = (
                (read[1], read[2].lower(), read[3], read[4] or "") if read else ("",) * 4
            )
            if joint == "=" and not sign:
                if name == "redirect":
                    onward = value
                continue  # Other modifiers say nothing about who may send.
            if name not in _MECHANISMS or (name == "include" and not value):
                raise _Fault(
                    f"Het SPF-record van {domain} is niet te lezen bij {word[:60]}.",
                    f"The SPF record of {domain} cannot be read at {word[:60]}.",
                )
            if name == "all":
                ending = ending or sign or "+"
            elif name in _ASKING and not ending:
                self.asks()
                if name == "include" and "%" not in value:
                    await self.follow(value)
        if ending or not onward:
            return ending or "?"
        self.asks()
        return "?" if "%" in onward else await self.follow(onward)

    async def follow(self, domain: str) -> str:
        return await self.ending(domain, among((await self.names.ask(domain, "TXT")).texts))

    def asks(self) -> None:
        self.questions += 1
        if self.questions > _MOST_QUESTIONS:
            raise _Fault(
                f"SPF kost een ontvanger meer dan {_MOST_QUESTIONS} vragen aan de DNS, en geldt dan niet.",
                f"SPF costs a receiver more than {_MOST_QUESTIONS} questions to the DNS, and then it does not count.",
            )


def among(texts: list[str]) -> list[str]:
    """The records of SPF among the texts of a domain."""
    return [one for one in texts if one.lower() == "v=spf1" or one.lower().startswith("v=spf1 ")]


async def faults(domain: str, texts: list[str], names: Names) -> list[Text]:
    """What is wrong with the SPF of a domain with these texts. Raises `Unclear`."""
    try:
        ending = await _Reading(names).ending(domain, among(texts))
    except _Fault as fault:
        return [fault.text]
    if ending in ("-", "~"):
        return []
    return [
        Text(
            "SPF eindigt niet met -all of ~all: iedereen mag uit naam van dit domein sturen.",
            "SPF does not end with -all or ~all: anybody may send in the name of this domain.",
        )
    ]

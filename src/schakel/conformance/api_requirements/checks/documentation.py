"""SD001, SD004, SD009, SD013: what can be seen of the documentation at the address that the tester gives.

A page that is there proves that it is open, not that it is complete: that a person declares.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml import etree

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import Check, Probe, Unseen, broken, holds, unpacked
from schakel.kernel.outcomes import Invalid

_FAQ = re.compile(r"\bfaq\b|frequently asked|veelgestelde vragen", re.IGNORECASE)
_VERSIONING = re.compile(r"versioning|version policy|versiebeleid|versionering", re.IGNORECASE)
_ENGLISH = re.compile(r"\b(?:the|and|of|to|that|for|with|be|are|this|which|not|on|as)\b", re.IGNORECASE)
_DUTCH = re.compile(r"\b(?:de|het|een|en|van|te|dat|voor|met|zijn|die|niet|op|als|worden)\b", re.IGNORECASE)
_ENOUGH = 20


async def _text(probe: Probe) -> tuple[str, str]:
    """The address where the documentation is in the end, and its words."""
    if not probe.options.docs:
        raise Unseen(
            "geen adres van de documentatie; geef --docs",
            "no address of the documentation; give --docs",
            probe.base,
        )
    url, answer = await probe.page(probe.options.docs)
    if answer.status != 200:
        raise Unseen(
            f"de documentatie is niet te lezen (antwoord {answer.status})",
            f"the documentation cannot be read (answer {answer.status})",
            url,
        )
    try:
        page = etree.fromstring(unpacked(answer), etree.HTMLParser(no_network=True))
    except (etree.XMLSyntaxError, Invalid):
        page = None
    if page is None:
        raise Unseen("dit is geen pagina met tekst", "this is no page with text", url)
    etree.strip_elements(page, "script", "style", with_tail=False)
    return url, " ".join(map(str, page.itertext()))


async def open_to_all(probe: Probe) -> Sequence[Finding]:
    """SD001.013: the documentation opens without a login."""
    key = "SD001.013"
    if not probe.options.docs:
        await _text(probe)
    url, answer = await probe.page(probe.options.docs)
    if answer.status in (401, 403):
        return [broken(key, "de documentatie vraagt een login", "the documentation asks for a login", url)]
    if answer.status in (404, 410):
        return [
            broken(
                key, "er is geen documentatie op dit adres", "there is no documentation at this address", url
            )
        ]
    probe.refuse_closed(answer, url)
    if re.search(rb"<input[^>]+type=[\"']?password", answer.body, re.IGNORECASE):
        return [broken(key, "het adres leidt naar een login", "the address leads to a login", url)]
    _, words = await _text(probe)
    if len(words.split()) < _ENOUGH:
        raise Unseen(
            "op de pagina staat bijna geen tekst zonder script",
            "there is almost no text on the page without script",
            url,
        )
    return [
        holds(key, "te lezen zonder login", "can be read without a login", url),
    ]


async def questions(probe: Probe) -> Sequence[Finding]:
    """SD004.001: the page is or names a list of frequently asked questions."""
    return await _named(probe, "SD004.001", _FAQ, "veelgestelde vragen", "frequently asked questions")


async def versioning(probe: Probe) -> Sequence[Finding]:
    """SD013: the page is or names a policy for versions."""
    return await _named(probe, "SD013", _VERSIONING, "versiebeleid", "versioning policy")


async def _named(probe: Probe, key: str, wanted: re.Pattern[str], nl: str, en: str) -> Sequence[Finding]:
    url, words = await _text(probe)
    if match := wanted.search(words):
        return [holds(key, f"de pagina noemt: {match[0]}", f"the page names: {match[0]}", url)]
    raise Unseen(
        f"de pagina noemt geen {nl}; of dat elders staat, zegt een mens",
        f"the page names no {en}; whether that is elsewhere, a person says",
        url,
    )


async def in_english(probe: Probe) -> Sequence[Finding]:
    """SD009.001: the page is in English, by the words that any English and any Dutch text has."""
    url, words = await _text(probe)
    english, dutch = len(_ENGLISH.findall(words)), len(_DUTCH.findall(words))
    if english + dutch < _ENOUGH:
        raise Unseen("te weinig tekst om de taal te zien", "too little text to see the language", url)
    if english > 2 * dutch:
        return [holds("SD009.001", "de pagina is in het Engels", "the page is in English", url)]
    if dutch > 2 * english:
        return [
            broken(
                "SD009.001",
                "de pagina is in het Nederlands; geef met --docs de Engelse",
                "the page is in Dutch; give the English one with --docs",
                url,
            )
        ]
    raise Unseen("de pagina is in meer talen", "the page is in more than one language", url)


CHECKS = (
    Check(("SD001.013",), open_to_all),
    Check(("SD004.001",), questions),
    Check(("SD009.001",), in_english),
    Check(("SD013",), versioning),
)

"""What is measured on a page of the portal: by the rules of axe, and what axe does not look at."""

from __future__ import annotations

from collections.abc import Mapping

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page

LOCALES = {"nl": "nl-NL", "en": "en-GB"}

STOPS = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, ' +
    'summary, [tabindex="0"]')].filter(one => one.checkVisibility({visibilityProperty: true})).map((one, place) => {
        one.dataset.place = place; return place; }).length"""
"""How many things on the page can be used; each gets its number."""

FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return {place: at.dataset.place, html: at.outerHTML.slice(0, 200), line: style.outlineStyle,
            thick: parseFloat(style.outlineWidth), wide: box.width, high: box.height,
            seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth};
}"""

SMALLER = """() => [...document.querySelectorAll('button, select, textarea, summary, nav a, ' +
    'input:not([type=hidden], [type=checkbox], [type=radio])')].filter(one => one.checkVisibility()).map(one =>
    [one.outerHTML.slice(0, 120), one.getBoundingClientRect().height]).filter(([, height]) => height < 24)"""
"""What is lower than a finger needs (WCAG 2.2, 2.5.8)."""

UNPRINTED = """() => [...document.querySelectorAll('details > :not(summary, form)')].filter(one =>
    !one.checkVisibility()).map(one => one.outerHTML.slice(0, 120))"""
"""What is folded away and stays so on paper; forms are left out there."""

CONTRASTS = """selectors => selectors.map(selector => {
    const one = document.querySelector(selector);
    const light = colour => { const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; };
    let behind = one, style = getComputedStyle(one);
    while (/^rgba\\(0, 0, 0, 0\\)$/.test(style.backgroundColor)) {
        behind = behind.parentElement; style = getComputedStyle(behind); }
    const drawn = getComputedStyle(one), ink = one.closest('svg') ? drawn.fill : drawn.color;
    const [low, high] = [light(ink), light(style.backgroundColor)].sort((a, b) => a - b);
    return [selector, (high + 0.05) / (low + 0.05)]; }).filter(([, ratio]) => ratio < 4.5)"""
"""Texts with too little contrast to the first opaque background under them."""


async def clean(page: Page, rules: Mapping[str, object]) -> None:
    """Nothing is wrong by the rules of axe. What it does not measure, as it lies out of sight of a scrolling table or
    is one sign only, is measured here."""
    found = (await Axe().run(page, options=dict(rules))).response
    assert found["violations"] == [], (page.url, found["violations"])
    unsure = {one["id"]: [node["target"][0] for node in one["nodes"]] for one in found["incomplete"]}
    assert await page.evaluate(CONTRASTS, unsure.pop("color-contrast", [])) == []
    for header in unsure.pop("th-has-data-cells", []):  # Axe does not follow headers of groups of rows.
        assert await page.locator(header).get_attribute("scope") == "rowgroup"
    assert unsure == {}, page.url

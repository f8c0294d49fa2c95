"""The rules for the XHTML of a narrative (FHIR STU3 and R4, Narrative: txt-1 and txt-2)."""

from __future__ import annotations

from schakel.fhir.xml.narrative import XHTML, div_of

_ELEMENTS = frozenset({
    "a", "abbr", "acronym", "b", "big", "blockquote", "br", "caption", "cite", "code", "col", "colgroup",
    "dd", "dfn", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li",
    "ol", "p", "pre", "q", "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td",
    "tfoot", "th", "thead", "tr", "tt", "ul", "var",
})  # fmt: skip
_ATTRIBUTES = frozenset({
    "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellhalign", "cellpadding",
    "cellspacing", "cellvalign", "char", "charoff", "charset", "cite", "class", "colspan", "compact",
    "coords", "dir", "frame", "headers", "height", "href", "hreflang", "hspace", "id", "lang", "longdesc",
    "name", "nowrap", "rel", "rev", "rowspan", "rules", "scope", "shape", "span", "src", "start", "style",
    "summary", "tabindex", "title", "type", "valign", "value", "vspace", "width",
    "{http://www.w3.org/XML/1998/namespace}lang",
})  # fmt: skip


def is_safe_narrative(text: str) -> bool:
    """Whether `text` is one XHTML div with only formatting, and with some content."""
    try:
        root = div_of(text)
    except ValueError:
        return False
    content = False
    for element in root.iter():
        if not isinstance(element.tag, str):
            return False
        name = element.tag.removeprefix(f"{{{XHTML}}}")
        if name not in _ELEMENTS or not _ATTRIBUTES.issuperset(map(str, element.attrib)):
            return False
        below = "" if element is root else element.tail or ""
        content = content or name == "img" or bool((element.text or "").strip() or below.strip())
    return content

"""FHIR XML to and from the JSON shape, driven by the definitions: `parse` and `dump`.

Source: STU3 and R4, xml.html and json.html. Reading takes elements in any order and keeps what is there: an
element that occurs more often than its maximum becomes an array. Writing follows the order of definitions.
Refused: DTDs, entities, processing instructions, unknown elements and attributes, other namespaces, text
between elements. Dropped: comments, `xsi:schemaLocation`, namespace prefixes. The narrative `div` is text in
JSON and elements in XML (`narrative`). Whether the content is right is for `schakel.fhir.structure`.
"""

from schakel.fhir.xml.reading import parse
from schakel.fhir.xml.writing import dump, indented, writable

__all__ = ["dump", "indented", "parse", "writable"]

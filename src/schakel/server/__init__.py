"""The FHIR REST API over a `Source`: interactions, search answers, transactions, CapabilityStatement.

A request is first parsed (`interaction.parse`), then executed (`FhirService`), then rendered (`answer`). A door
may stand between the steps: what it judged is the very object that is executed.
"""

from schakel.server.answer import Answer
from schakel.server.interaction import parse
from schakel.server.model import Interaction, Request
from schakel.server.offer import Exchanged, Offer, Possible
from schakel.server.service import FhirService

__all__ = ["Answer", "Exchanged", "FhirService", "Interaction", "Offer", "Possible", "Request", "parse"]

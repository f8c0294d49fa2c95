"""An OpenAPI 3.1 document of each listener, made from the one list of routes.

What a route does stands in the docstring of its handler; what goes in and out of our own doors in `own`; the FHIR
doors are written out by `fhir` from the CapabilityStatement, with the resource type as a parameter.
"""

from schakel.http.openapi.document import OpenApi, document

__all__ = ["OpenApi", "document"]

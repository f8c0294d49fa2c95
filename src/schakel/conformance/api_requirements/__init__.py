"""The Dutch API requirements (Nictiz API-eisen 1.2.0), each by id, at any endpoint.

`check_api(ApiOptions(url))` asks the endpoint what a machine can see, takes what people declare (`read_answers`) for
the rest, and returns an `ApiResult` with one result for each requirement and each of its parts. `report` writes it.
"""

from schakel.conformance.api_requirements.answers import Declared, read_answers
from schakel.conformance.api_requirements.catalogue import VERSION, catalogue
from schakel.conformance.api_requirements.model import ApiResult, Level, Result, Standard, Verdict, exit_code
from schakel.conformance.api_requirements.options import ApiOptions
from schakel.conformance.api_requirements.run import check_api

__all__ = [
    "VERSION",
    "ApiOptions",
    "ApiResult",
    "Declared",
    "Level",
    "Result",
    "Standard",
    "Verdict",
    "catalogue",
    "check_api",
    "exit_code",
    "read_answers",
]

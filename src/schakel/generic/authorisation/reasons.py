"""The codes of refusals of this package, with what they mean. A code is stable; the sentence may be improved."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REASONS: Mapping[str, str] = MappingProxyType(
    {
        # Before the matrix is asked who may have it: is the request one of the accepted ones?
        "scope-missing": "the token's scope does not include this exchange",
        "interaction-not-allowed": "the exchange has no interaction of this kind",
        "form-not-allowed": "the request is none of the forms that the exchange allows",
        "patient-not-named": "the request does not name one patient, once, by BSN or id",
        # Conditions of the permits, in the order in which they are looked at.
        "category-not-permitted": "no permit of the exchange covers this category of data",
        "purpose-not-permitted": "the purpose of use is not one for which this data may be had",
        "user-missing": "a professional must stand behind this request, and none is named",
        "user-not-permitted": "this is a request of a system, and a professional is named",
        "role-not-permitted": "the role of the professional may not have this data",
        "facility-type-missing": "the type of the asking organisation is not proved",
        "facility-type-not-permitted": "organisations of this type may not have this data on this ground",
        "assurance-too-low": "the professional proved who they are at too low a level",
        "token-not-bound": "the token is not bound to a key or a certificate",
        "credential-missing": "a credential that this data asks for was not presented",
        "credential-other-patient": "the credential that was presented is about another patient",
        "credential-other-role": "the role in the credential that was presented may not have this data",
        "ground-missing": "there is no ground to give out this patient's data",
        "ground-not-sufficient": "the ground that was found does not suffice for this data",
        # What a Task ties a request to.
        "task-owner-other": "the Task is not for the organisation that asks",
        "task-change-not-allowed": "the update changes more of the Task than its receiver may change",
        "task-status-not-allowed": "the status that is asked may not follow the status of the Task",
        # The matrix itself.
        "matrix-invalid": "the file with the organisation's own rows cannot be taken",
    }
)

"""The CapabilityStatement: as that of the real NVI, it describes the interface of an older document."""

from __future__ import annotations

from typing import Any

STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "url": "http://nvi.example.nl/fhir/metadata",
    "version": "1.0.0",
    "name": "NVICapabilityStatement",
    "title": "NVI FHIR API",
    "status": "active",
    "date": "2024-12-08",
    "publisher": "Ministerie van Volksgezondheid, Welzijn en Sport",
    "kind": "instance",
    "implementation": {"description": "Stand-in of the NVI", "url": "https://nvi.example.nl/fhir"},
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [
        {
            "mode": "server",
            "security": {
                "cors": True,
                "service": [
                    {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                "code": "OAuth",
                            }
                        ]
                    }
                ],
            },
            "resource": [
                {
                    "type": "NVIDataReference",
                    "profile": "http://vws.nl/fhir/StructureDefinition/NVIDataReference-input",
                    "supportedProfile": [
                        "http://vws.nl/fhir/StructureDefinition/NVIDataReference-input",
                        "http://vws.nl/fhir/StructureDefinition/NVIDataReference-output",
                    ],
                    "interaction": [{"code": "create"}, {"code": "search-type"}, {"code": "delete"}],
                    "searchParam": [
                        {"name": "source", "type": "token"},
                        {"name": "pseudonym", "type": "string"},
                        {"name": "oprfKey", "type": "string"},
                        {"name": "careContext", "type": "token"},
                    ],
                },
                {
                    "type": "Organization",
                    "interaction": [],
                    "operation": [
                        {
                            "name": "localize",
                            "definition": "http://vws.nl/fhir/OperationDefinition/Organization-localize",
                        }
                    ],
                },
            ],
        }
    ],
}

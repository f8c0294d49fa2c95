"""The kernel: outcomes, value types, clock and ids. It knows nothing of FHIR, HTTP or the database."""

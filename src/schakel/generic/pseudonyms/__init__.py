"""Pseudonyms: a BSN made into what another organisation may know a patient by, with the help of the PRS that never
sees it (OPRF, RFC 9497)."""

"""Localisation: which organisations have data about a patient, by the national index (NVI)."""

"""Schakel: the link between care organisations in the Dutch health-data network."""

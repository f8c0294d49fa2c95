"""Keeping the query directory in step with other directories."""

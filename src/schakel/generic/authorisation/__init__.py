"""Authorisation: which requests an exchange allows, as data, and the judgement of one parsed request.

Entry point: `judge(version, query, rows)`. The rows of the BgZ stand in `bgz.ROWS`. What is not in a row is refused.
"""

from schakel.generic.authorisation.bgz import ROWS, Row
from schakel.generic.authorisation.judge import Judgement, PatientNamed, fits, judge, listed_form

__all__ = ["ROWS", "Judgement", "PatientNamed", "Row", "fits", "judge", "listed_form"]

"""Search parameters of an organisation's own: SearchParameter resources that it wrote, and that have effect.

`reading` says what a resource means and what may not be; `sets` holds what one organisation has at a moment, and
`indexing` puts it into the index; `changing` is the change of that set, in the transaction that writes the resource;
`reindexing` is the job that brings the resources of before into the index, `status` what is told of it. Only searches
on the organisation's own door know these parameters; what other doors give rests on those of the standard alone.

Standard: FHIR SearchParameter (STU3, R4).
"""

from schakel.store.parameters.keeping import kept_fresh
from schakel.store.parameters.reindexing import Reindexing
from schakel.store.parameters.sets import OwnParameter, ParameterRules, ParameterSets
from schakel.store.parameters.status import StoredJobs

__all__ = [
    "OwnParameter",
    "ParameterRules",
    "ParameterSets",
    "Reindexing",
    "StoredJobs",
    "kept_fresh",
]

-- An identifier is searched without naming a patient (`If-None-Exist: identifier=...`), and few resources have the
-- same one: found by its value, whatever the number of patients. The statement says `param = 'identifier'` in so
-- many words, or the planner could not know that this index holds what it needs.
CREATE INDEX index_token_identifier ON index_token (tenant, fhir, type, code) WHERE param = 'identifier';

-- When it was written down that a second look was not given in time, and what was not accepted, by patient.
ALTER TABLE emergency_access ADD COLUMN overdue_told timestamptz;
CREATE INDEX emergency_access_rejected ON emergency_access (tenant, patient, judged) WHERE NOT accepted;

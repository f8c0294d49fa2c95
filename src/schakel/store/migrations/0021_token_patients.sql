-- For which patients (BSN) data was given under a token (`access_token.jti`): a resource that names no patient is looked
-- for among them, whichever process is asked. A row permits nothing. It goes when its token has expired.
CREATE TABLE token_patient (
    tenant  integer     NOT NULL,
    token   text        NOT NULL COLLATE "C",
    patient text        NOT NULL COLLATE "C",
    made    timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, token, patient)
);
CREATE INDEX token_patient_expires ON token_patient (tenant, expires);

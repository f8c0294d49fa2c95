-- Patients who log in to read the page of the log. Of what their browsers hold, only the SHA-256 is kept; a row that has
-- expired is removed.

-- A browser that went to the login service; it is removed when the browser comes back, so that it counts once.
CREATE TABLE log_login (
    tenant   integer     NOT NULL,
    id       uuid        NOT NULL,
    secret   bytea       NOT NULL,
    nonce    text        NOT NULL,
    verifier text        NOT NULL,
    language text        NOT NULL,
    expires  timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX log_login_expires ON log_login (tenant, expires);

-- Someone who is logged in: `patient` is the BSN, `id` what the log calls this session.
CREATE TABLE log_session (
    tenant  integer     NOT NULL,
    secret  bytea       NOT NULL,
    id      uuid        NOT NULL,
    patient text        NOT NULL COLLATE "C",
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, secret)
);
CREATE INDEX log_session_expires ON log_session (tenant, expires);

-- Logins of professionals at Dezi, which their EHR began.
--
-- Of the ticket in the address, the secret in the browser's cookie and the state that Dezi gives back, only the SHA-256
-- is kept. `step` is waiting, begun, checking, done or failed; `reason` and `message` say why it failed. `statement` is
-- the signed statement about the professional, only while the login holds: a row that has expired is removed.
CREATE TABLE dezi_login (
    tenant    integer     NOT NULL,
    id        uuid        NOT NULL,
    step      text        NOT NULL CHECK (step IN ('waiting', 'begun', 'checking', 'done', 'failed')),
    ticket    bytea       NOT NULL,
    secret    bytea       NOT NULL DEFAULT '',
    asked     bytea       NOT NULL DEFAULT '',
    nonce     text        NOT NULL DEFAULT '',
    verifier  text        NOT NULL DEFAULT '',
    return_to text        NOT NULL DEFAULT '',
    statement text        NOT NULL DEFAULT '',
    reason    text        NOT NULL DEFAULT '',
    message   text        NOT NULL DEFAULT '',
    expires   timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX dezi_login_expires ON dezi_login (tenant, expires);

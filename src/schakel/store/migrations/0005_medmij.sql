-- What the authorisation flow of MedMij keeps: the national lists, flows in a browser, consents, codes and
-- tokens, and the chain log.
--
-- Every key leads with the tenant, but for the national lists, which are the same for all.

-- The last list of each kind that was found good: the XML as it was fetched.
CREATE TABLE medmij_list (
    name    text        NOT NULL COLLATE "C" PRIMARY KEY,
    number  bigint      NOT NULL,
    body    bytea       NOT NULL,
    fetched timestamptz NOT NULL DEFAULT now()
);

-- An authorisation that a person is going through in a browser; `secret` is the SHA-256 of the browser's cookie.
-- `step` is landing, login, checking, unavailable or consent; `patient` a BSN once the person has logged in, and
-- `services` what that person can agree to. `state` is what the client gave, as it stood in its address.
CREATE TABLE medmij_flow (
    tenant         integer     NOT NULL,
    id             uuid        NOT NULL,
    secret         bytea       NOT NULL,
    step           text        NOT NULL,
    client         text        NOT NULL COLLATE "C",
    redirect_uri   text        NOT NULL,
    state          text        NOT NULL,
    share          text        NOT NULL,
    request_id     text        NOT NULL,
    correlation_id text        NOT NULL,
    language       text        NOT NULL,
    nonce          text        NOT NULL DEFAULT '',
    verifier       text        NOT NULL DEFAULT '',
    patient        text        NOT NULL DEFAULT '' COLLATE "C",
    services       text[]      NOT NULL DEFAULT '{}',
    expires        timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX medmij_flow_expires ON medmij_flow (tenant, expires);

-- What a person allowed: this client may use these services. `share` is the one service of a consent to share,
-- else ''. `ended` is when it was withdrawn, or found misused.
CREATE TABLE medmij_consent (
    tenant   integer     NOT NULL,
    id       uuid        NOT NULL,
    patient  text        NOT NULL COLLATE "C",
    client   text        NOT NULL COLLATE "C",
    share    text        NOT NULL,
    services text[]      NOT NULL,
    given    timestamptz NOT NULL DEFAULT now(),
    ended    timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX medmij_consent_patient ON medmij_consent (tenant, patient);

-- Codes, access tokens and refresh tokens by the SHA-256 of their text, which is kept nowhere; the one key makes
-- each of them unique among all. `used_by` is the request that used a code or refresh token up; `salt` is kept
-- only where the answer to that request may be given once more.
CREATE TABLE medmij_secret (
    tenant         integer     NOT NULL,
    digest         bytea       NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('code', 'access', 'refresh')),
    id             uuid        NOT NULL,
    consent        uuid        NOT NULL,
    correlation_id text        NOT NULL,
    redirect_uri   text        NOT NULL DEFAULT '',
    issued         timestamptz NOT NULL DEFAULT now(),
    expires        timestamptz NOT NULL,
    used           timestamptz,
    used_by        text        NOT NULL DEFAULT '',
    salt           bytea,
    PRIMARY KEY (tenant, digest),
    FOREIGN KEY (tenant, consent) REFERENCES medmij_consent (tenant, id)
);
CREATE INDEX medmij_secret_expires ON medmij_secret (tenant, expires);
CREATE INDEX medmij_secret_consent ON medmij_secret (tenant, consent);

-- The chain log: what passed between the parties of MedMij, without data of a person.
CREATE TABLE chain_event (
    tenant   integer     NOT NULL,
    recorded timestamptz NOT NULL DEFAULT now(),
    id       uuid        NOT NULL,
    type     text        NOT NULL,
    session  text        NOT NULL COLLATE "C",
    body     jsonb       NOT NULL,
    PRIMARY KEY (tenant, recorded, id)
);
CREATE INDEX chain_event_session ON chain_event (tenant, session);

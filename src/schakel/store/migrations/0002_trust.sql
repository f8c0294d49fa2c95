-- What the generic functions keep: tokens, used assertions, grounds for disclosure and the log.
--
-- Every key leads with the tenant. Times are the database's own, except `audit_event.recorded`.

-- Assertions (RFC 7523) that were exchanged for a token; a second use is refused. Kept until well past their
-- expiry.
CREATE TABLE used_assertion (
    tenant    integer     NOT NULL,
    requester text        NOT NULL COLLATE "C",
    jti       text        NOT NULL COLLATE "C",
    expires   timestamptz NOT NULL,
    PRIMARY KEY (tenant, requester, jti)
);
CREATE INDEX used_assertion_expires ON used_assertion (tenant, expires);

-- Access tokens by the SHA-256 of their text; the text itself is kept nowhere.
CREATE TABLE access_token (
    tenant             integer     NOT NULL,
    digest             bytea       NOT NULL,
    jti                text        NOT NULL COLLATE "C",
    requester          text        NOT NULL COLLATE "C",
    scope              text        NOT NULL,
    user_id            text        NOT NULL,
    user_name          text        NOT NULL,
    user_role          text        NOT NULL,
    user_responsible   text        NOT NULL,
    purpose            text        NOT NULL,
    treatment_relation text        NOT NULL,
    patient            text        NOT NULL COLLATE "C",
    issued             timestamptz NOT NULL DEFAULT now(),
    expires            timestamptz NOT NULL,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX access_token_expires ON access_token (tenant, expires);

-- Grounds for disclosure: this requester may have this of this patient, until then. A ground names one exchange
-- or at least one query, never both. `ended` is when it was withdrawn.
CREATE TABLE disclosure_ground (
    tenant    integer     NOT NULL,
    id        uuid        NOT NULL DEFAULT gen_random_uuid(),
    requester text        NOT NULL COLLATE "C",
    patient   text        NOT NULL COLLATE "C",
    exchange  text        NOT NULL COLLATE "C",
    queries   text[]      NOT NULL,
    until     timestamptz NOT NULL,
    reason    text        NOT NULL,
    made      timestamptz NOT NULL DEFAULT now(),
    ended     timestamptz,
    PRIMARY KEY (tenant, id),
    CHECK ((exchange <> '') <> (cardinality(queries) > 0))
);
CREATE INDEX disclosure_ground_patient ON disclosure_ground (tenant, patient, requester);
CREATE INDEX disclosure_ground_requester ON disclosure_ground (tenant, requester, exchange);

-- The NEN 7513 log. `patient` is a BSN, or '' when the event concerns none or it is not known.
CREATE TABLE audit_event (
    tenant   integer     NOT NULL,
    id       uuid        NOT NULL,
    recorded timestamptz NOT NULL,
    patient  text        NOT NULL COLLATE "C",
    decision uuid        NOT NULL,
    body     bytea       NOT NULL,
    PRIMARY KEY (tenant, id)
);
ALTER TABLE audit_event ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX audit_event_recorded ON audit_event (tenant, recorded, id);
CREATE INDEX audit_event_patient ON audit_event (tenant, patient, recorded, id) WHERE patient <> '';
CREATE INDEX audit_event_decision ON audit_event (tenant, decision);

CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log takes new events only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_append_only;

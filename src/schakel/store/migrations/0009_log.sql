-- The log, its seals, the decisions behind its events and the policies that decided.
--
-- An event is kept as its fields; the FHIR form is made when it is read. The table of 0002 held the FHIR form and is
-- put aside, when it has events, under the name `audit_event_before_seals`. Every key leads with the tenant.

DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_event) THEN
        ALTER TABLE audit_event RENAME TO audit_event_before_seals;
        ALTER INDEX audit_event_pkey RENAME TO audit_event_before_seals_pkey;
        ALTER INDEX audit_event_recorded RENAME TO audit_event_before_seals_recorded;
        ALTER INDEX audit_event_patient RENAME TO audit_event_before_seals_patient;
        ALTER INDEX audit_event_decision RENAME TO audit_event_before_seals_decision;
    ELSE
        DROP TABLE audit_event;
    END IF;
END
$$;

-- One event. `recorded` is the clock of the node, `kind` a FHIR interaction or a kind of our own, `outcome` 0, 4, 8
-- or 12, `requester` a URA or the host name of a patient's client, `person` the professional, `patient` a BSN, and
-- `correlation` what the events of one question have in common, in every organisation; each '' when there is none.
-- `body` holds all fields as JSON, packed; the columns before it are those that are searched by.
CREATE TABLE audit_event (
    tenant      integer     NOT NULL,
    id          uuid        NOT NULL,
    recorded    timestamptz NOT NULL,
    kind        text        NOT NULL COLLATE "C",
    outcome     smallint    NOT NULL,
    requester   text        NOT NULL COLLATE "C",
    person      text        NOT NULL COLLATE "C",
    patient     text        NOT NULL COLLATE "C",
    decision    uuid        NOT NULL,
    correlation text        NOT NULL COLLATE "C",
    body        bytea       NOT NULL,
    PRIMARY KEY (tenant, id)
);
ALTER TABLE audit_event ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX audit_event_recorded ON audit_event (tenant, recorded, id);
CREATE INDEX audit_event_patient ON audit_event (tenant, patient, recorded, id) WHERE patient <> '';
CREATE INDEX audit_event_person ON audit_event (tenant, person, recorded, id) WHERE person <> '';
CREATE INDEX audit_event_requester ON audit_event (tenant, requester, recorded, id);
CREATE INDEX audit_event_kind ON audit_event (tenant, kind, recorded, id);
CREATE INDEX audit_event_decision ON audit_event (tenant, decision);
CREATE INDEX audit_event_correlation ON audit_event (tenant, correlation) WHERE correlation <> '';

-- What was decided and on what inputs, packed, as the event that carries it gave it.
CREATE TABLE decision (
    tenant   integer     NOT NULL,
    id       uuid        NOT NULL,
    event    uuid        NOT NULL,
    recorded timestamptz NOT NULL,
    body     bytea       NOT NULL,
    PRIMARY KEY (tenant, id, event)
);
ALTER TABLE decision ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX decision_event ON decision (tenant, event);

-- The text of every policy that ever decided, by its digest.
CREATE TABLE policy_text (
    tenant  integer     NOT NULL,
    digest  text        NOT NULL COLLATE "C",
    kept    timestamptz NOT NULL DEFAULT now(),
    body    bytea       NOT NULL,
    PRIMARY KEY (tenant, digest)
);

-- The events that no seal holds yet: written in the commit of the event, removed in that of its seal.
CREATE TABLE audit_unsealed (
    tenant integer NOT NULL,
    id     uuid    NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- The seals as they are exported, one line each.
CREATE TABLE audit_seal (
    tenant integer     NOT NULL,
    number bigint      NOT NULL,
    sealed timestamptz NOT NULL,
    line   text        NOT NULL COLLATE "C",
    PRIMARY KEY (tenant, number)
);

-- The last seal that an address took.
CREATE TABLE audit_seal_sent (
    tenant  integer     NOT NULL,
    address text        NOT NULL,
    number  bigint      NOT NULL,
    sent    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, address)
);

-- The seals whose events went past the term of retention and were removed; their hashes stay in the seal.
CREATE TABLE audit_removed (
    tenant  integer     NOT NULL,
    number  bigint      NOT NULL,
    removed timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
);

CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER decision_is_append_only BEFORE UPDATE OR TRUNCATE ON decision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER policy_text_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_text
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER audit_seal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER audit_removed_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_removed
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();

-- Five years is the least that the law lets a log be kept (decree of 2019), so that nothing younger can be removed,
-- whatever the setting. The function that removes what is past the term of an organisation is a statement like any
-- other here: the rule is in the trigger.
CREATE FUNCTION refuse_early_removal_from_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone WHERE recorded > now() - interval '5 years') THEN
        RAISE EXCEPTION 'the log takes new events only: % of what is younger than five years is refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_event_is_kept AFTER DELETE ON audit_event REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_early_removal_from_log();
CREATE TRIGGER decision_is_kept AFTER DELETE ON decision REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_early_removal_from_log();

ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_append_only;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_kept;
ALTER TABLE decision ENABLE ALWAYS TRIGGER decision_is_append_only;
ALTER TABLE decision ENABLE ALWAYS TRIGGER decision_is_kept;
ALTER TABLE policy_text ENABLE ALWAYS TRIGGER policy_text_is_append_only;
ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER audit_seal_is_append_only;
ALTER TABLE audit_removed ENABLE ALWAYS TRIGGER audit_removed_is_append_only;

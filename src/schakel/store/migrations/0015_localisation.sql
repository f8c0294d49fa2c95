-- What others are told of after a write, and what the national index of localisation was told about whom.

-- Who follows what is written at an organisation, and up to where: the place (xid, number) of the last message that was
-- dealt with.
CREATE TABLE outbox_consumer (
    tenant integer     NOT NULL,
    name   text        NOT NULL COLLATE "C",
    xid    xid8        NOT NULL DEFAULT '0',
    number bigint      NOT NULL DEFAULT 0,
    made   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);

-- What was written, in the transaction that wrote it: one row for each patient. `topic` is 'patient' (`subject` is the
-- logical id of the Patient in version `fhir`, `types` are the types of resource that changed) or 'objection' (`subject`
-- is the BSN, `fhir` 0). Read in the order (xid, number), as far as no transaction is open any more.
CREATE TABLE outbox (
    tenant  integer     NOT NULL,
    xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    number  bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    topic   text        NOT NULL COLLATE "C",
    fhir    smallint    NOT NULL,
    subject text        NOT NULL COLLATE "C",
    types   text[]      NOT NULL,
    made    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, xid, number)
);

-- Whether anybody follows this tenant. Volatile, so that it looks after the gate was passed, with what is committed
-- by then: who begins to follow passes the gate alone (`store.outbox`), and no write slips through between.
CREATE FUNCTION outbox_followed(of integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outbox_consumer WHERE tenant = of);
END
$$;

-- Whose a Patient resource was when it was last looked at: a BSN, or '' when it has none that can be used.
CREATE TABLE localisation_subject (
    tenant  integer  NOT NULL,
    fhir    smallint NOT NULL,
    id      text     NOT NULL COLLATE "C",
    patient text     NOT NULL COLLATE "C",
    PRIMARY KEY (tenant, fhir, id)
);
CREATE INDEX localisation_subject_patient ON localisation_subject (tenant, patient);

-- The work: a patient whose registrations must be looked at when `run_after` has passed; NULL when there is nothing to
-- do. A worker moves `run_after` ahead and gives it a new `turn`; what it writes down later counts while that is its
-- own. `changed` counts the reasons to look again, `since` is the time of the first of them that nobody looked at.
-- `attempts` is 0 when the last turn ended as it should.
CREATE SEQUENCE localisation_turn;
CREATE TABLE localisation_patient (
    tenant    integer     NOT NULL,
    patient   text        NOT NULL COLLATE "C",
    changed   bigint      NOT NULL DEFAULT 1,
    turn      bigint      NOT NULL DEFAULT 0,
    since     timestamptz,
    attempts  integer     NOT NULL DEFAULT 0,
    error     text        NOT NULL DEFAULT '',
    run_after timestamptz,
    PRIMARY KEY (tenant, patient)
);
CREATE INDEX localisation_patient_next ON localisation_patient (tenant, run_after) WHERE run_after IS NOT NULL;

-- What the index was told: one row for each patient and category. `asked` says that the EHR wants it, whatever data are
-- here; `record` is the id there, '' when none is known, and `shared` that the index did not keep the category, so that
-- one record there stands for all categories. `recipient` and `scope` are those of the pseudonym under which it was
-- registered, `source` the software that it names. `written` is when the data came, NULL when they were there before.
CREATE TABLE localisation_record (
    tenant     integer     NOT NULL,
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient    text        NOT NULL COLLATE "C",
    category   text        NOT NULL COLLATE "C",
    state      text        NOT NULL CHECK (state IN ('waiting', 'active', 'withdrawing', 'withdrawn', 'refused')),
    asked      boolean     NOT NULL DEFAULT false,
    ground     text        NOT NULL DEFAULT '',
    record     text        NOT NULL DEFAULT '' COLLATE "C",
    shared     boolean     NOT NULL DEFAULT false,
    recipient  text        NOT NULL DEFAULT '',
    scope      text        NOT NULL DEFAULT '',
    source     text        NOT NULL DEFAULT '',
    error      text        NOT NULL DEFAULT '',
    written    timestamptz,
    made       timestamptz NOT NULL DEFAULT now(),
    changed    timestamptz NOT NULL DEFAULT now(),
    registered timestamptz,
    withdrawn  timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX localisation_record_patient ON localisation_record (tenant, patient, category);
CREATE INDEX localisation_record_there ON localisation_record (tenant, record) WHERE record <> '';

-- Which rules were in force when the patients were last gone through ('category: ground'), and how far that came: `place`
-- is the last patient of `phase` that was looked at ('records': who has a registration, 'patients': who is here).
CREATE TABLE localisation_sweep (
    tenant integer NOT NULL,
    rules  text[]  NOT NULL DEFAULT '{}',
    phase  text    NOT NULL DEFAULT 'done' CHECK (phase IN ('records', 'patients', 'done')),
    place  text    NOT NULL DEFAULT '' COLLATE "C",
    PRIMARY KEY (tenant)
);

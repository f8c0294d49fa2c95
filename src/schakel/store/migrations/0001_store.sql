-- Resources, their history and their search index.
--
-- Every key leads with the tenant. The search keys of the side tables lead with tenant, version, type and
-- patient. `patient` is the logical id of the one patient a resource belongs to (Patient compartment), and ''
-- when it belongs to none or to several; rows of Patient itself have ''. `fhir` is 3 (STU3) or 4 (R4).

CREATE TABLE tenant (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug     text NOT NULL UNIQUE,
    ura      text NOT NULL UNIQUE,
    name     text NOT NULL
);

-- Handed out in blocks of 1000 to each process; gaps are harmless.
CREATE SEQUENCE rid_block INCREMENT BY 1000;

CREATE TABLE resource (
    tenant   integer     NOT NULL,
    fhir     smallint    NOT NULL,
    type     text        NOT NULL COLLATE "C",
    id       text        NOT NULL COLLATE "C",
    version  integer     NOT NULL,
    rid      bigint      NOT NULL,
    patient  text        NOT NULL COLLATE "C",
    deleted  boolean     NOT NULL,
    updated  timestamptz NOT NULL,
    xid      xid8        NOT NULL DEFAULT pg_current_xact_id(),
    body     bytea       NOT NULL,
    PRIMARY KEY (tenant, fhir, type, id)
);
CREATE INDEX resource_patient ON resource (tenant, fhir, type, patient, rid);
CREATE UNIQUE INDEX resource_rid ON resource (tenant, rid);
ALTER TABLE resource ALTER COLUMN body SET STORAGE EXTERNAL;

-- Versions that were replaced.
CREATE TABLE history (
    tenant   integer     NOT NULL,
    fhir     smallint    NOT NULL,
    type     text        NOT NULL COLLATE "C",
    id       text        NOT NULL COLLATE "C",
    version  integer     NOT NULL,
    patient  text        NOT NULL COLLATE "C",
    deleted  boolean     NOT NULL,
    updated  timestamptz NOT NULL,
    xid      xid8        NOT NULL,
    body     bytea       NOT NULL,
    PRIMARY KEY (tenant, fhir, type, id, version)
);
ALTER TABLE history ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE index_token (
    tenant   integer  NOT NULL,
    fhir     smallint NOT NULL,
    type     text     NOT NULL COLLATE "C",
    patient  text     NOT NULL COLLATE "C",
    param    text     NOT NULL COLLATE "C",
    code     text     NOT NULL COLLATE "C",
    system   text     NOT NULL COLLATE "C",
    rid      bigint   NOT NULL
);
CREATE INDEX index_token_search ON index_token (tenant, fhir, type, patient, param, code);
CREATE INDEX index_token_rid ON index_token (tenant, rid);

CREATE TABLE index_reference (
    tenant      integer  NOT NULL,
    fhir        smallint NOT NULL,
    type        text     NOT NULL COLLATE "C",
    patient     text     NOT NULL COLLATE "C",
    param       text     NOT NULL COLLATE "C",
    target_type text     NOT NULL COLLATE "C",
    target_id   text     NOT NULL COLLATE "C",
    rid         bigint   NOT NULL
);
CREATE INDEX index_reference_search ON index_reference (tenant, fhir, type, patient, param, target_id);
CREATE INDEX index_reference_target ON index_reference (tenant, fhir, target_type, target_id, type, param);
CREATE INDEX index_reference_rid ON index_reference (tenant, rid);

CREATE TABLE index_string (
    tenant   integer  NOT NULL,
    fhir     smallint NOT NULL,
    type     text     NOT NULL COLLATE "C",
    patient  text     NOT NULL COLLATE "C",
    param    text     NOT NULL COLLATE "C",
    folded   text     NOT NULL COLLATE "C",
    value    text     NOT NULL COLLATE "C",
    rid      bigint   NOT NULL
);
CREATE INDEX index_string_search ON index_string (tenant, fhir, type, patient, param, folded text_pattern_ops);
CREATE INDEX index_string_rid ON index_string (tenant, rid);

-- `low` is the first moment of the value, `high` the first moment after it.
CREATE TABLE index_date (
    tenant   integer     NOT NULL,
    fhir     smallint    NOT NULL,
    type     text        NOT NULL COLLATE "C",
    patient  text        NOT NULL COLLATE "C",
    param    text        NOT NULL COLLATE "C",
    low      timestamptz NOT NULL,
    high     timestamptz NOT NULL,
    rid      bigint      NOT NULL
);
CREATE INDEX index_date_search ON index_date (tenant, fhir, type, patient, param, low);
CREATE INDEX index_date_rid ON index_date (tenant, rid);

-- Pages of a search: what is still to come, as key and version, for ten minutes.
CREATE TABLE search_page (
    tenant   integer     NOT NULL,
    key      text        NOT NULL COLLATE "C",
    caller   text        NOT NULL COLLATE "C",
    fhir     smallint    NOT NULL,
    query    text        NOT NULL,
    ids      text[]      NOT NULL,
    versions integer[]   NOT NULL,
    made     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key)
);

-- Proof that a patient's data were erased; no personal data.
CREATE TABLE erasure (
    tenant    integer     NOT NULL,
    id        uuid        NOT NULL,
    requester text        NOT NULL,
    reason    text        NOT NULL,
    fhir      smallint    NOT NULL,
    removed   integer     NOT NULL,
    erased    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);

-- The query directory: a replica of the directories that are followed. Its resources are FHIR R4 resources of the
-- tenant '/directory'; here stands where they are from and how far each directory was followed.

-- A directory that is followed: one of the settings, or one that a root directory (`parent`) named for the organisation
-- with URA `authority`, which the root calls `called`. `in_step` is the last moment at which all it had was here, NULL
-- as long as it was never whole. `turn` counts its runs: a run that is overtaken by another writes nothing more.
-- `whole` is the turn that began to read all of it again, 0 when none is under way. `report` is what the last run did.
CREATE TABLE directory_source (
    tenant    integer     NOT NULL,
    name      text        NOT NULL COLLATE "C",
    kind      text        NOT NULL DEFAULT '',
    base      text        NOT NULL DEFAULT '',
    parent    text        NOT NULL DEFAULT '' COLLATE "C",
    authority text        NOT NULL DEFAULT '' COLLATE "C",
    called    text        NOT NULL DEFAULT '',
    in_step   timestamptz,
    turn      bigint      NOT NULL DEFAULT 0,
    whole     bigint      NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL DEFAULT now(),
    tried     timestamptz,
    succeeded timestamptz,
    failures  integer     NOT NULL DEFAULT 0,
    error     text        NOT NULL DEFAULT '',
    report    text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, name)
);

-- How far a type of it was followed: the page to go on with while it is read for the first time (`next`), and the
-- moment, as the directory said it, after which its history is asked (`since`).
CREATE TABLE directory_cursor (
    tenant integer NOT NULL,
    source text    NOT NULL COLLATE "C",
    type   text    NOT NULL COLLATE "C",
    state  text    NOT NULL CHECK (state IN ('initial', 'catching-up', 'in-step')),
    since  text    NOT NULL DEFAULT '',
    next   text    NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, source, type)
);

-- Which directory a resource is from, and the id that it has there (`remote`); `id` is the one it has here. `state` is
-- live, off (here, and switched off by its directory), gone (deleted there), refused (not taken from there, by a rule)
-- or noted (known, and not kept here; `called` is what is remembered of it: a name or an address). `version` and `updated` are those of the directory, `hash` is of what is stored. `ura` is that of an
-- organisation, `owner` the organisation it belongs to and `links` what it refers to and brings with it (ids here,
-- blanks between them). `seen` is the turn that read all and met it last.
CREATE TABLE directory_resource (
    tenant  integer NOT NULL,
    source  text    NOT NULL COLLATE "C",
    type    text    NOT NULL COLLATE "C",
    remote  text    NOT NULL COLLATE "C",
    id      text    NOT NULL COLLATE "C",
    state   text    NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'off', 'gone', 'refused', 'noted')),
    version text    NOT NULL DEFAULT '',
    updated timestamptz,
    hash    bytea   NOT NULL DEFAULT '',
    ura     text    NOT NULL DEFAULT '' COLLATE "C",
    owner   text    NOT NULL DEFAULT '' COLLATE "C",
    links   text    NOT NULL DEFAULT '' COLLATE "C",
    called  text    NOT NULL DEFAULT '',
    seen    bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, source, type, remote)
);
CREATE INDEX directory_resource_local ON directory_resource (tenant, type, id);
CREATE INDEX directory_resource_ura ON directory_resource (tenant, ura) WHERE ura <> '';

-- What is not right with a directory (`type` and `remote` are '') or with a resource of it.
CREATE TABLE directory_finding (
    tenant     integer     NOT NULL,
    source     text        NOT NULL COLLATE "C",
    type       text        NOT NULL COLLATE "C",
    remote     text        NOT NULL COLLATE "C",
    code       text        NOT NULL COLLATE "C",
    sentence   text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now(),
    resolved   timestamptz,
    PRIMARY KEY (tenant, source, type, remote, code)
);
CREATE INDEX directory_finding_open ON directory_finding (tenant, source, type, remote) WHERE resolved IS NULL;

-- The board of the roadmap: what was found about organisations of a region, what was declared, and what is planned.

-- The board itself. `revision` grows with every change, so that who keeps an overview in memory knows that it is old;
-- the row is what changes wait for, one after the other.
CREATE TABLE roadmap_board (
    tenant   integer NOT NULL,
    revision bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant)
);

-- Versions of the roadmap as they were imported; the last one is in force.
CREATE TABLE roadmap_version (
    tenant  integer     NOT NULL,
    number  bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    version text        NOT NULL COLLATE "C",
    body    bytea       NOT NULL,
    by      text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
);
CREATE UNIQUE INDEX roadmap_version_name ON roadmap_version (tenant, version);

-- The runs. `whole` says that it was about the region as a whole, with all its members; `sender` is the organisation at
-- whose door it came in, `digest` the SHA-256 of what it said.
CREATE TABLE roadmap_run (
    tenant   integer     NOT NULL,
    id       text        NOT NULL COLLATE "C",
    region   text        NOT NULL,
    roadmap  text        NOT NULL,
    by       text        NOT NULL,
    sender   text        NOT NULL,
    whole    boolean     NOT NULL,
    started  timestamptz NOT NULL,
    finished timestamptz NOT NULL,
    members  integer     NOT NULL,
    findings integer     NOT NULL,
    digest   bytea       NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);
CREATE INDEX roadmap_run_finished ON roadmap_run (tenant, finished);

-- Who are in the region; who left stays as a row that is not `here`.
CREATE TABLE roadmap_member (
    tenant  integer     NOT NULL,
    ura     text        NOT NULL COLLATE "C",
    name    text        NOT NULL,
    sector  text        NOT NULL COLLATE "C",
    kind    text        NOT NULL,
    here    boolean     NOT NULL DEFAULT true,
    changed timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura)
);

-- What checks found. Rows are added and nothing else.
CREATE TABLE roadmap_evidence (
    tenant    integer     NOT NULL,
    ura       text        NOT NULL COLLATE "C",
    check_id  text        NOT NULL COLLATE "C",
    at        timestamptz NOT NULL,
    number    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    verdict   text        NOT NULL CHECK (verdict IN ('holds', 'fails', 'unknown', 'not-applicable')),
    reason_nl text        NOT NULL,
    reason_en text        NOT NULL,
    detail    text        NOT NULL,
    facts     jsonb       NOT NULL,
    until     timestamptz,
    run       text        NOT NULL COLLATE "C",
    by        text        NOT NULL,
    PRIMARY KEY (tenant, ura, check_id, at, number)
);
CREATE INDEX roadmap_evidence_run ON roadmap_evidence (tenant, run);

-- Every check that was ever done at an organisation, and when it last held there.
CREATE TABLE roadmap_checked (
    tenant    integer NOT NULL,
    ura       text    NOT NULL COLLATE "C",
    check_id  text    NOT NULL COLLATE "C",
    last_true timestamptz,
    PRIMARY KEY (tenant, ura, check_id)
);

-- How many organisations of each sector stood how on each item, at the end of each run about the whole region.
CREATE TABLE roadmap_snapshot (
    tenant integer     NOT NULL,
    run    text        NOT NULL COLLATE "C",
    at     timestamptz NOT NULL,
    item   text        NOT NULL COLLATE "C",
    sector text        NOT NULL COLLATE "C",
    state  text        NOT NULL COLLATE "C",
    number integer     NOT NULL,
    PRIMARY KEY (tenant, run, item, sector, state)
);

-- What people declared. Of a row only the second reader and the withdrawal are still filled in, each once; a newer
-- declaration about the same step withdraws the one before.
CREATE TABLE roadmap_declaration (
    tenant       integer     NOT NULL,
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    ura          text        NOT NULL COLLATE "C",
    step         text        NOT NULL COLLATE "C",
    claim        text        NOT NULL CHECK (claim IN ('done', 'not-applicable', 'not-done')),
    reason       text        NOT NULL,
    document     text        NOT NULL,
    link         text        NOT NULL,
    owner        text        NOT NULL,
    said         date        NOT NULL,
    until        date        NOT NULL,
    declared_by  text        NOT NULL,
    account      text        NOT NULL DEFAULT '',
    declared_at  timestamptz NOT NULL DEFAULT now(),
    seen_by      text        NOT NULL DEFAULT '',
    seen_at      timestamptz,
    withdrawn_by text        NOT NULL DEFAULT '',
    withdrawn_at timestamptz,
    PRIMARY KEY (tenant, id),
    CHECK (seen_by <> declared_by)
);
CREATE UNIQUE INDEX roadmap_declaration_stands ON roadmap_declaration (tenant, ura, step) WHERE withdrawn_at IS NULL;
CREATE INDEX roadmap_declaration_step ON roadmap_declaration (tenant, ura, step, declared_at);

-- The work agenda: every change of an action is a row, the last one counts. `ura` is '' for the region.
CREATE TABLE roadmap_action (
    tenant     integer     NOT NULL,
    id         uuid        NOT NULL,
    change     integer     NOT NULL,
    item       text        NOT NULL COLLATE "C",
    step       text        NOT NULL COLLATE "C",
    ura        text        NOT NULL COLLATE "C",
    title      text        NOT NULL,
    owner      text        NOT NULL,
    starts     date,
    due        date,
    progress   text        NOT NULL CHECK (progress IN ('planned', 'running', 'done', 'dropped')),
    note       text        NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id, change)
);

CREATE FUNCTION roadmap_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is added to and never changed', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER roadmap_evidence_kept BEFORE UPDATE OR DELETE ON roadmap_evidence
    FOR EACH ROW EXECUTE FUNCTION roadmap_kept();
CREATE TRIGGER roadmap_action_kept BEFORE UPDATE OR DELETE ON roadmap_action
    FOR EACH ROW EXECUTE FUNCTION roadmap_kept();
CREATE TRIGGER roadmap_version_kept BEFORE UPDATE OR DELETE ON roadmap_version
    FOR EACH ROW EXECUTE FUNCTION roadmap_kept();

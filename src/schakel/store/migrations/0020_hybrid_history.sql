-- What the inventory of hybrid care keeps of what was replaced. Lists of building blocks stay in `hybrid_blocks`.

-- What was recorded of a pathway, written each time that it changed; it stays when the pathway goes. `list` is the number
-- in `hybrid_blocks` of the list by which it was read, 0 for that of the program; the rest is as in `hybrid_pathway`.
CREATE TABLE hybrid_version (
    tenant     integer     NOT NULL,
    ura        text        NOT NULL COLLATE "C",
    pathway    text        NOT NULL COLLATE "C",
    number     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    list       bigint      NOT NULL,
    blocks     jsonb       NOT NULL,
    indication text[]      NOT NULL,
    plan       text[]      NOT NULL,
    excludes   text[]      NOT NULL,
    account    text        NOT NULL,
    recorded   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura, pathway, number)
);

-- Of what was recorded before this, the last is known, and not by whom.
INSERT INTO hybrid_version (tenant, ura, pathway, list, blocks, indication, plan, excludes, account, recorded)
SELECT p.tenant, p.ura, p.id,
       coalesce((SELECT max(number) FROM hybrid_blocks b WHERE b.tenant = p.tenant AND b.made <= p.changed), 0),
       p.blocks, p.indication, p.plan, p.excludes, '', p.changed
FROM hybrid_pathway p;

-- The last count of the record of an organisation for a pathway and a year (`counted`): `version` is the one of
-- `hybrid_version` that had the rules. Counts from before this are not in it.
CREATE TABLE hybrid_count (
    tenant  integer     NOT NULL,
    ura     text        NOT NULL COLLATE "C",
    pathway text        NOT NULL COLLATE "C",
    counted text        NOT NULL COLLATE "C",
    version bigint      NOT NULL,
    people  integer     NOT NULL,
    account text        NOT NULL,
    made    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura, pathway, counted),
    FOREIGN KEY (tenant, ura, pathway) REFERENCES hybrid_pathway (tenant, ura, id) ON DELETE CASCADE
);

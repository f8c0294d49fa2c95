-- The board of the roadmap: whose word evidence is, what a change touched, and who did what.

-- `own`: the organisation said it of itself. A keeper of the board says the rest, in runs about the whole region.
ALTER TABLE roadmap_evidence ADD COLUMN own boolean NOT NULL DEFAULT false;
ALTER TABLE roadmap_evidence DISABLE TRIGGER roadmap_evidence_kept;
UPDATE roadmap_evidence AS e SET own = true
    FROM roadmap_run AS r WHERE r.tenant = e.tenant AND r.id = e.run AND NOT r.whole;
ALTER TABLE roadmap_evidence ENABLE TRIGGER roadmap_evidence_kept;
ALTER TABLE roadmap_evidence DROP CONSTRAINT roadmap_evidence_pkey;
ALTER TABLE roadmap_evidence ADD PRIMARY KEY (tenant, ura, check_id, own, at, number);

-- When a check last held, as it was known when each of the two last looked.
ALTER TABLE roadmap_checked ADD COLUMN own boolean NOT NULL DEFAULT false;
ALTER TABLE roadmap_checked DROP CONSTRAINT roadmap_checked_pkey;
ALTER TABLE roadmap_checked ADD PRIMARY KEY (tenant, ura, check_id, own);
DELETE FROM roadmap_checked;
INSERT INTO roadmap_checked (tenant, ura, check_id, own, last_true)
    SELECT tenant, ura, check_id, own, max(at) FILTER (WHERE verdict = 'holds') FROM roadmap_evidence
    GROUP BY tenant, ura, check_id, own;

-- The revision of the board in which something was last found or declared about the organisation: who keeps an overview
-- in memory works out anew what was touched since.
ALTER TABLE roadmap_member ADD COLUMN touched bigint NOT NULL DEFAULT 0;

-- Who did what on the board and who logged in: added, never changed, removed after its term. `account` is what the
-- identity provider calls somebody, '' for an organisation at its own door; `about` is what it was about (a step, an
-- action, a run, a version), `times` how many of those at once.
CREATE TABLE roadmap_trail (
    tenant  integer     NOT NULL,
    number  bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL DEFAULT now(),
    what    text        NOT NULL COLLATE "C",
    account text        NOT NULL,
    name    text        NOT NULL,
    ura     text        NOT NULL COLLATE "C",
    about   text        NOT NULL,
    times   integer     NOT NULL,
    PRIMARY KEY (tenant, number)
);
CREATE INDEX roadmap_trail_at ON roadmap_trail (tenant, at);
CREATE TRIGGER roadmap_trail_kept BEFORE UPDATE ON roadmap_trail
    FOR EACH ROW EXECUTE FUNCTION roadmap_kept();

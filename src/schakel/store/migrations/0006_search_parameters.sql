-- Search parameters of an organisation's own, and jobs: work that goes on after the answer.

-- Those that have effect. The rows of a parameter in the index stand under '+' and its `number`, which is new each
-- time its meaning changes, so that they are never taken for those of another. `bases` and `targets` are as in the
-- resource SearchParameter/`id`. `job` is the one that builds its rows.
CREATE TABLE search_parameter (
    tenant     integer  NOT NULL,
    fhir       smallint NOT NULL,
    id         text     NOT NULL COLLATE "C",
    number     bigint   NOT NULL,
    url        text     NOT NULL,
    code       text     NOT NULL COLLATE "C",
    type       text     NOT NULL,
    bases      text[]   NOT NULL,
    expression text     NOT NULL,
    targets    text[]   NOT NULL,
    state      text     NOT NULL CHECK (state IN ('building', 'ready', 'failed')),
    job        uuid     NOT NULL,
    PRIMARY KEY (tenant, fhir, id),
    UNIQUE (tenant, fhir, url)
);
CREATE SEQUENCE search_parameter_number;

-- Rises with every change of what an organisation has in search_parameter.
CREATE TABLE search_parameter_set (
    tenant     integer NOT NULL PRIMARY KEY,
    generation bigint  NOT NULL
);

-- Every transaction that writes resources goes through here before it locks one, and gets the generation of the
-- organisation's search parameters. A transaction that changes those goes through alone: when it ends, each resource
-- was either written before it, and is there to be read, or is written with the new set. The generation is read in
-- a statement of its own, after the wait, so that it is the last one.
CREATE FUNCTION write_gate(of integer, alone boolean) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(1, of);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(1, of);
    END IF;
    RETURN coalesce((SELECT generation FROM search_parameter_set WHERE tenant = of), 0);
END
$$;

-- Resources on which an expression of the organisation's own failed.
CREATE INDEX index_token_failed ON index_token (tenant, param) WHERE param LIKE '+%:failed';

-- A job is done in steps. A step is one transaction that locks the row of the job, does a part of the work, and says
-- how far it came (`place`): when it is cut off, nothing of it was done, and whoever looks for work does it again.
-- `attempts` are those that failed since the last step that was done; `run_after` is when the next one may begin.
CREATE TABLE job (
    tenant    integer     NOT NULL,
    id        uuid        NOT NULL DEFAULT gen_random_uuid(),
    kind      text        NOT NULL,
    argument  jsonb       NOT NULL,
    state     text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    place     text        NOT NULL DEFAULT '',
    done      bigint      NOT NULL DEFAULT 0,
    total     bigint,
    attempts  smallint    NOT NULL DEFAULT 0,
    error     text        NOT NULL DEFAULT '',
    run_after timestamptz NOT NULL DEFAULT now(),
    made      timestamptz NOT NULL DEFAULT now(),
    started   timestamptz,
    ended     timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX job_next ON job (tenant, run_after) WHERE state IN ('waiting', 'running');
CREATE INDEX job_made ON job (tenant, made);

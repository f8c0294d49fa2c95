-- What became of an organisation's own entries in the central directory, which gives them ids of its own. `tenant` is
-- that of the entries, `version` the version of an entry that must be there.
--
-- `remote` and `remote_version` are its id and version there, '' as long as we know of none. `sent` is what we sent last,
-- kept before it is sent, so that it is known again when its answer was lost; `seen` what was there after it, as far as
-- the central directory said so, and `signed` the last version there for which a signature was sent. `shared` is an entry that was there before us, into which ours is put. `overwrite`
-- says that an operator has seen that others changed it, and wants ours.
--
-- A row whose `run_after` has passed is taken by a worker. `stopped` waits for somebody to mend what `finding` says.
CREATE TABLE publication (
    tenant         integer     NOT NULL,
    type           text        NOT NULL COLLATE "C",
    id             text        NOT NULL COLLATE "C",
    version        integer     NOT NULL,
    remote         text        NOT NULL DEFAULT '' COLLATE "C",
    remote_version text        NOT NULL DEFAULT '' COLLATE "C",
    sent           text        NOT NULL DEFAULT '',
    seen           text        NOT NULL DEFAULT '',
    shared         boolean     NOT NULL DEFAULT false,
    overwrite      boolean     NOT NULL DEFAULT false,
    signed         text        NOT NULL DEFAULT '' COLLATE "C",
    state          text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'published', 'stopped')),
    finding        text        NOT NULL DEFAULT '',
    detail         text        NOT NULL DEFAULT '',
    attempts       integer     NOT NULL DEFAULT 0,
    run_after      timestamptz NOT NULL DEFAULT now(),
    changed        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, type, id)
);
CREATE INDEX publication_waiting ON publication (tenant, run_after) WHERE state = 'waiting';

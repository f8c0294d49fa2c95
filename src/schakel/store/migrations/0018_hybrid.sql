-- The inventory of hybrid care: pathways per organisation, whether each suits hybrid care, and who takes part.

-- Rises with every change, in the transaction of that change; who changes something takes this row first.
CREATE TABLE hybrid_revision (
    tenant integer NOT NULL,
    number bigint  NOT NULL,
    PRIMARY KEY (tenant)
);

-- The lists of building blocks that were imported; the last one counts. Without any the list of the program does.
CREATE TABLE hybrid_blocks (
    tenant  integer     NOT NULL,
    number  bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    body    bytea       NOT NULL,
    account text        NOT NULL,
    made    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
);

-- Who sent pathways; `population` is how many patients the organisation has, NULL when it did not tell.
CREATE TABLE hybrid_organisation (
    tenant     integer     NOT NULL,
    ura        text        NOT NULL COLLATE "C",
    name       text        NOT NULL,
    population integer     CHECK (population > 0),
    changed    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura)
);

-- `blocks` are those digitised: [{"code", "since", "source"}]; `layers` has a state by name of the layer.
-- `indication` and `plan` are the rules by which the record of the organisation is counted, empty for none.
CREATE TABLE hybrid_pathway (
    tenant           integer     NOT NULL,
    ura              text        NOT NULL COLLATE "C",
    id               text        NOT NULL COLLATE "C",
    name             text        NOT NULL,
    sector           text        NOT NULL,
    specialism       text        NOT NULL,
    condition        text        NOT NULL,
    intramural       boolean     NOT NULL,
    zmsc             text        NOT NULL,
    excludes         text[]      NOT NULL,
    digizo_reference text        NOT NULL,
    digizo_choice    text        NOT NULL CHECK (digizo_choice IN ('', 'apply', 'explain')),
    digizo_reason    text        NOT NULL,
    blocks           jsonb       NOT NULL,
    layers           jsonb       NOT NULL,
    indication       text[]      NOT NULL,
    plan             text[]      NOT NULL,
    changed          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura, id)
);

-- Every decision on whether a pathway suits hybrid care. The one with the last `decided_on` counts, of several on that
-- day the one written down last. It stays when the pathway goes.
CREATE TABLE hybrid_decision (
    tenant      integer     NOT NULL,
    ura         text        NOT NULL COLLATE "C",
    pathway     text        NOT NULL COLLATE "C",
    number      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    suitability text        NOT NULL CHECK (suitability IN ('yes', 'no', 'undecided')),
    decided_by  text        NOT NULL,
    decided_on  date        NOT NULL,
    reason      text        NOT NULL,
    account     text        NOT NULL,
    recorded    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, ura, pathway, number)
);

-- People with an indication, by a pseudonym of the region; never a BSN or anything else that leads to a person.
-- `earlier_events` has the last day with a digital event of each quarter before `last_event`; `counted` is the year for
-- which the record of the organisation was counted, '' for a row that somebody sent.
CREATE TABLE hybrid_person (
    tenant         integer NOT NULL,
    ura            text    NOT NULL COLLATE "C",
    pathway        text    NOT NULL COLLATE "C",
    pseudonym      text    NOT NULL COLLATE "C",
    eligible_from  date    NOT NULL,
    eligible_until date,
    exclusion      text    NOT NULL,
    enrolled_from  date,
    enrolled_until date,
    last_event     date,
    ended_reason   text    NOT NULL,
    earlier_events date[]  NOT NULL,
    counted        text    NOT NULL COLLATE "C",
    PRIMARY KEY (tenant, ura, pathway, pseudonym, eligible_from, counted),
    FOREIGN KEY (tenant, ura, pathway) REFERENCES hybrid_pathway (tenant, ura, id) ON DELETE CASCADE
);

-- What consent keeps: the kind of a ground, objections, what Mitz told us, subscriptions there, and emergency access.

-- `kind` is why the requester may have it; `task` the referral or handover (a Task) that it rests on, '' without one.
ALTER TABLE disclosure_ground
    ADD COLUMN kind text NOT NULL DEFAULT 'recorded'
        CHECK (kind IN ('recorded', 'referral', 'handover', 'patient')),
    ADD COLUMN task text NOT NULL DEFAULT '' COLLATE "C";

-- Objections of patients, recorded by the organisation. An empty list means all: all requesters when both lists of
-- them are empty, all exchanges when that list is.
CREATE TABLE consent_objection (
    tenant             integer     NOT NULL,
    id                 uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient            text        NOT NULL COLLATE "C",
    requesters         text[]      NOT NULL,
    provider_categories text[]     NOT NULL,
    exchanges          text[]      NOT NULL,
    reason             text        NOT NULL,
    made_by            text        NOT NULL,
    made               timestamptz NOT NULL DEFAULT now(),
    ended_by           text        NOT NULL DEFAULT '',
    ended              timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX consent_objection_patient ON consent_objection (tenant, patient);

-- The choices that Mitz notified, in the order in which they became known here: a feed for the EHR. The number of the
-- last one of a patient is the version under which answers of Mitz are remembered.
CREATE TABLE mitz_feed (
    tenant integer NOT NULL,
    last   bigint  NOT NULL,
    PRIMARY KEY (tenant)
);
CREATE TABLE mitz_notice (
    tenant            integer     NOT NULL,
    number            bigint      NOT NULL,
    patient           text        NOT NULL COLLATE "C",
    category          text        NOT NULL COLLATE "C",
    provider_category text        NOT NULL COLLATE "C",
    permitted         boolean     NOT NULL,
    chosen            timestamptz NOT NULL,
    received          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
);
CREATE UNIQUE INDEX mitz_notice_once
    ON mitz_notice (tenant, patient, category, provider_category, chosen, permitted);
CREATE INDEX mitz_notice_patient ON mitz_notice (tenant, patient, number);

-- The last choice known of a patient, for a category of data and a category of providers ('' is all of them).
CREATE TABLE mitz_choice (
    tenant            integer     NOT NULL,
    patient           text        NOT NULL COLLATE "C",
    category          text        NOT NULL COLLATE "C",
    provider_category text        NOT NULL COLLATE "C",
    permitted         boolean     NOT NULL,
    chosen            timestamptz NOT NULL,
    PRIMARY KEY (tenant, patient, category, provider_category)
);

-- Subscriptions at Mitz, and the work of asking for them: a row whose `run_after` has passed is taken by a worker,
-- which moves `run_after` ahead while it asks, so that another takes it when the first was killed.
CREATE TABLE mitz_subscription (
    tenant     integer     NOT NULL,
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient    text        NOT NULL COLLATE "C",
    birth_date date        NOT NULL,
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'active', 'refused', 'ended')),
    location   text        NOT NULL DEFAULT '',
    attempts   integer     NOT NULL DEFAULT 0,
    error      text        NOT NULL DEFAULT '',
    run_after  timestamptz NOT NULL DEFAULT now(),
    made       timestamptz NOT NULL DEFAULT now(),
    changed    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX mitz_subscription_patient ON mitz_subscription (tenant, patient) WHERE state <> 'ended';
CREATE INDEX mitz_subscription_next ON mitz_subscription (tenant, run_after) WHERE state = 'waiting';

-- Access in an emergency (break-glass), each with the second look that it needs. `overrode` is the objection that
-- stood against it, '' when none was known; `document` the written policy under which it was possible.
CREATE TABLE emergency_access (
    tenant    integer     NOT NULL,
    id        uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient   text        NOT NULL COLLATE "C",
    requester text        NOT NULL COLLATE "C",
    token     text        NOT NULL COLLATE "C",
    user_id   text        NOT NULL,
    user_name text        NOT NULL,
    user_role text        NOT NULL,
    purpose   text        NOT NULL,
    reason    text        NOT NULL,
    overrode  text        NOT NULL,
    document  text        NOT NULL,
    made      timestamptz NOT NULL DEFAULT now(),
    due       timestamptz NOT NULL,
    judged    timestamptz,
    accepted  boolean,
    judge     text        NOT NULL DEFAULT '',
    note      text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id),
    CHECK ((judged IS NULL) = (accepted IS NULL))
);
CREATE UNIQUE INDEX emergency_access_once ON emergency_access (tenant, token, patient);
CREATE INDEX emergency_access_open ON emergency_access (tenant, due) WHERE judged IS NULL;

-- Histories as feeds: in the order of commit, and found from a moment on.
--
-- `xid` is the position of a version in the feed: the transaction that made it or, when that one began earlier,
-- the position of the version before it, so that the versions of a resource never change places. `method` is how
-- a version came about: POST, PUT, PATCH or DELETE.

ALTER TABLE resource ADD COLUMN method text NOT NULL COLLATE "C" DEFAULT 'PUT';
ALTER TABLE history ADD COLUMN method text NOT NULL COLLATE "C" DEFAULT 'PUT';

CREATE INDEX resource_feed ON resource (tenant, fhir, xid, type);
CREATE INDEX resource_updated ON resource (tenant, fhir, updated);
CREATE INDEX history_feed ON history (tenant, fhir, xid, type);
CREATE INDEX history_updated ON history (tenant, fhir, updated);

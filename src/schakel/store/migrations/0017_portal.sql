-- Who logs in at a page of ours, whatever page it is: patients who read the log, people of the region in the portal. What
-- began for the log's page serves both; each page has a tenant of its own, or the organisation's. Of what a browser holds
-- only the SHA-256 is kept, and a row that has expired is removed.

ALTER TABLE log_login RENAME TO page_login;
ALTER INDEX log_login_pkey RENAME TO page_login_pkey;
ALTER INDEX log_login_expires RENAME TO page_login_expires;
-- The path of ours that the browser goes to after the login; '' for the page itself.
ALTER TABLE page_login ADD COLUMN return_to text NOT NULL DEFAULT '';

-- `subject` is a BSN, or what the identity provider calls a person. A session ends at `expires`, which each use moves
-- ahead but never beyond `ends`.
ALTER TABLE log_session RENAME TO page_session;
ALTER INDEX log_session_pkey RENAME TO page_session_pkey;
ALTER INDEX log_session_expires RENAME TO page_session_expires;
ALTER TABLE page_session RENAME COLUMN patient TO subject;
ALTER TABLE page_session ADD COLUMN name text NOT NULL DEFAULT '';
ALTER TABLE page_session ADD COLUMN since timestamptz NOT NULL DEFAULT now();
ALTER TABLE page_session ADD COLUMN ends timestamptz;
UPDATE page_session SET ends = expires;
ALTER TABLE page_session ALTER COLUMN ends SET NOT NULL;
CREATE INDEX page_session_subject ON page_session (tenant, subject, expires);

-- What may be used only once, and tokens with all that was proved to get them.
--
-- Every key leads with the tenant. Times are the database's own.

-- Ids that were used up: assertions (RFC 7523), presentations and their nonces, proofs of possession (RFC 9449). Of
-- each the SHA-256 of its kind, who made it and the id. Kept until well past the moment at which it would be refused
-- for its age.
CREATE TABLE used_id (
    tenant  integer     NOT NULL,
    digest  bytea       NOT NULL,
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX used_id_expires ON used_id (tenant, expires);

INSERT INTO used_id (tenant, digest, expires)
SELECT tenant, sha256(convert_to('assertion:' || length(requester) || ':' || requester || ':' || jti, 'UTF8')), expires
FROM used_assertion;
DROP TABLE used_assertion;

-- A token that a system got has no user; `user_responsible_role` is the role of who gave the user a mandate, '' when not
-- known. `claims` are the values that presented credentials proved, by field id;
-- `origins` who said each of them, and when (introspection). `jkt` and `x5t` are the thumbprints of the key and the
-- certificate that the token is bound to, '' when to none.
ALTER TABLE access_token
    ALTER COLUMN user_id DROP NOT NULL,
    ALTER COLUMN user_name DROP NOT NULL,
    ALTER COLUMN user_role DROP NOT NULL,
    ALTER COLUMN user_responsible DROP NOT NULL,
    ADD COLUMN user_responsible_role text DEFAULT '',
    ADD COLUMN requester_name text  NOT NULL DEFAULT '',
    ADD COLUMN facility_type  text  NOT NULL DEFAULT '',
    ADD COLUMN client_id      text  NOT NULL DEFAULT '',
    ADD COLUMN assurance      text  NOT NULL DEFAULT '',
    ADD COLUMN grant_type     text  NOT NULL DEFAULT 'client_credentials',
    ADD COLUMN claims         jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN origins        jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN jkt            text  NOT NULL DEFAULT '' COLLATE "C",
    ADD COLUMN x5t            text  NOT NULL DEFAULT '' COLLATE "C";
CREATE INDEX access_token_requester ON access_token (tenant, requester);

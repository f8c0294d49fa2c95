-- Search by number, quantity, composite and the words beside codes; pages of searches over several types.

-- Numbers and quantities. `least` and `most` are the ends of the value (equal but for a range or a comparator).
-- A UCUM quantity also stands here in base units: `base_least` and `base_most` in `base`.
CREATE TABLE index_quantity (
    tenant     integer          NOT NULL,
    fhir       smallint         NOT NULL,
    type       text             NOT NULL COLLATE "C",
    patient    text             NOT NULL COLLATE "C",
    param      text             NOT NULL COLLATE "C",
    least      double precision NOT NULL,
    most       double precision NOT NULL,
    system     text             NOT NULL COLLATE "C",
    code       text             NOT NULL COLLATE "C",
    unit       text             NOT NULL COLLATE "C",
    base       text             NOT NULL COLLATE "C",
    base_least double precision NOT NULL,
    base_most  double precision NOT NULL,
    rid        bigint           NOT NULL
);
CREATE INDEX index_quantity_search ON index_quantity (tenant, fhir, type, patient, param, base_least);
CREATE INDEX index_quantity_rid ON index_quantity (tenant, rid);

-- Values that must stand together in one element (composite parameters whose base is not the resource itself):
-- `node` numbers the elements of a resource, `part` the parts of the parameter. The columns are those of the other
-- tables, filled for the kind of the part.
CREATE TABLE index_composite (
    tenant      integer  NOT NULL,
    fhir        smallint NOT NULL,
    type        text     NOT NULL COLLATE "C",
    patient     text     NOT NULL COLLATE "C",
    param       text     NOT NULL COLLATE "C",
    node        smallint NOT NULL,
    part        smallint NOT NULL,
    code        text     COLLATE "C",
    system      text     COLLATE "C",
    target_type text     COLLATE "C",
    target_id   text     COLLATE "C",
    folded      text     COLLATE "C",
    value       text     COLLATE "C",
    low         timestamptz,
    high        timestamptz,
    least       double precision,
    most        double precision,
    unit        text     COLLATE "C",
    base        text     COLLATE "C",
    base_least  double precision,
    base_most   double precision,
    rid         bigint   NOT NULL
);
CREATE INDEX index_composite_search ON index_composite (tenant, fhir, type, patient, param, code);
CREATE INDEX index_composite_rid ON index_composite (tenant, rid);

-- What is said in words beside the codes of a resource (modifier :text): a line for each, with the parameter, U+001F
-- and the folded text. There is one row for each resource, found by its key.
CREATE TABLE index_text (
    tenant  integer  NOT NULL,
    fhir    smallint NOT NULL,
    type    text     NOT NULL COLLATE "C",
    patient text     NOT NULL COLLATE "C",
    words   text     NOT NULL COLLATE "C",
    rid     bigint   NOT NULL
);
CREATE INDEX index_text_rid ON index_text (tenant, rid);

-- A page may hold several types, and belongs to the patients that its search was limited to (NULL for no limit).
DELETE FROM search_page;
ALTER TABLE search_page ADD COLUMN types text[] NOT NULL, ADD COLUMN limited text[];

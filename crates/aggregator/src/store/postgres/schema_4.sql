-- When a collection was asked for, so that it can be told for how long it has waited. None: before this
-- version.
SET LOCAL search_path = sottovoce;

ALTER TABLE collections ADD COLUMN asked bigint;

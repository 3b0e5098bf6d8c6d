-- Commands of operators, in their order; kept for ever.
SET LOCAL search_path = sottovoce;

CREATE TABLE operator_commands (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    who  text NOT NULL,
    what text NOT NULL
);

-- When the reports of a segment arrived that waits again: `arrived` is from when on it may be leased then. None:
-- it has waited since it arrived.
ALTER TABLE segments ADD COLUMN since bigint;

-- Accepted reports that failed verification for good, by the reason's code.
CREATE TABLE lost (
    task    integer NOT NULL,
    reason  smallint NOT NULL,
    reports bigint NOT NULL,
    PRIMARY KEY (task, reason)
);

-- Commands of operators, in their order; kept for ever.
CREATE TABLE operator_commands (
    seq  INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    who  TEXT NOT NULL,
    what TEXT NOT NULL
) STRICT;

-- When the reports of a segment arrived that waits again: `arrived` is from when on it may be leased then. None:
-- it has waited since it arrived.
ALTER TABLE segments ADD COLUMN since INTEGER;

-- Accepted reports that failed verification for good, by the reason's code.
CREATE TABLE lost (
    task    INTEGER NOT NULL REFERENCES tasks,
    reason  INTEGER NOT NULL,
    reports INTEGER NOT NULL,
    PRIMARY KEY (task, reason)
) STRICT, WITHOUT ROWID;

-- Commands of operators, in their order; kept for ever.
CREATE TABLE operator_commands (
    seq  INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    who  TEXT NOT NULL,
    what TEXT NOT NULL
) STRICT;

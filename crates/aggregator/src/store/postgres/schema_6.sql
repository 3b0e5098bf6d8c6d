-- Commands of operators, in their order; kept for ever.
SET LOCAL search_path = sottovoce;

CREATE TABLE operator_commands (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    who  text NOT NULL,
    what text NOT NULL
);

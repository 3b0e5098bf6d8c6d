//! Overrides from the environment: `SOTTOVOCE_LISTEN` for `listen`, `SOTTOVOCE_TLS__KEY` for `key`
//! in `[tls]`. Two underscores step into a table.

use toml::{Table, Value};

/// What names of overrides begin with.
pub const PREFIX: &str = "SOTTOVOCE_";

/// Variables of ours that are not overrides.
const OTHERS: [&str; 2] = ["SOTTOVOCE_DATABASE_KEYS", "SOTTOVOCE_REQUIRE_POSTGRES"];

/// Puts each override in its place; gives the names of those that were used.
///
/// A value is read as TOML, and as text if it is none: `8`, `true`, `["a.toml"]`, `0.0.0.0:80`.
pub(super) fn apply(
    file: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<String>, String> {
    let mut used = Vec::new();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX).filter(|_| !OTHERS.contains(&name.as_str()))
        else {
            continue;
        };
        let path: Vec<_> = key.to_lowercase().split("__").map(str::to_owned).collect();
        put(file, &path, parse(value))
            .map_err(|table| format!("{name}: {table} is not a table"))?;
        used.push(name);
    }
    Ok(used)
}

fn put(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [key, rest @ ..] => {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            put(inner.as_table_mut().ok_or_else(|| key.clone())?, rest, value)
        }
    }
}

fn parse(text: String) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, variables: &[(&str, &str)]) -> Result<Table, String> {
        let mut file: Table = toml::from_str(text).unwrap();
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        apply(&mut file, variables).map(|_| file)
    }

    #[test]
    fn values_land_in_their_tables_with_their_types() {
        let found = applied(
            "listen = \"x\"\n[limits]\nupload_bytes = 1\n",
            &[
                ("SOTTOVOCE_LISTEN", "0.0.0.0:80"),
                ("SOTTOVOCE_LIMITS__UPLOAD_BYTES", "7"),
                ("SOTTOVOCE_TLS__KEY", "key.pem"),
                ("SOTTOVOCE_PROGRAMS", "[\"a.toml\"]"),
                ("PATH", "/bin"),
                ("SOTTOVOCE_DATABASE_KEYS", "secret"),
            ],
        );
        let expected = "listen = \"0.0.0.0:80\"\nprograms = [\"a.toml\"]\n\
                        [limits]\nupload_bytes = 7\n[tls]\nkey = \"key.pem\"\n";
        assert_eq!(found.unwrap(), toml::from_str(expected).unwrap());
    }

    #[test]
    fn a_step_into_what_is_no_table_is_refused_by_name() {
        let error = applied("listen = \"x\"", &[("SOTTOVOCE_LISTEN__PORT", "1")]).unwrap_err();
        assert!(error.contains("SOTTOVOCE_LISTEN__PORT") && error.contains("listen"), "{error}");
    }
}

//! Overrides from the environment: `SOTTOVOCE_LISTEN` for `listen`, `SOTTOVOCE_TLS__KEY` for `key`
//! in `[tls]`. Two underscores step into a table. `SOTTOVOCE_DATABASE_FILE` names a file that holds the value of
//! `SOTTOVOCE_DATABASE`, and so on: for what containers and service managers hand over as files.

use std::{ffi::OsString, fs::File, io::Read};
use toml::{Table, Value};
use zeroize::Zeroizing;

/// What names of overrides begin with.
pub const PREFIX: &str = "SOTTOVOCE_";

/// Holds the database keys themselves.
pub const DATABASE_KEYS: &str = "SOTTOVOCE_DATABASE_KEYS";
/// Names a file that holds them, in place of one that holds the path of a file.
const DATABASE_KEY_FILE: &str = "SOTTOVOCE_DATABASE_KEY_FILE";
/// The folder in which systemd has a unit's credentials.
pub(super) const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Variables of ours that are not overrides.
const OTHERS: [&str; 3] =
    [DATABASE_KEYS, "SOTTOVOCE_REQUIRE_POSTGRES", "SOTTOVOCE_REQUIRE_PROMTOOL"];

/// Bytes of a value that a file holds.
const LONGEST: u64 = 64 << 10;

/// Variables of ours in this process's environment, with the values that files hold.
pub(super) fn variables() -> Result<Vec<(String, String)>, String> {
    let mut ours = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with(PREFIX) || name == CREDENTIALS {
            ours.push(variable(name, value)?);
        }
    }
    let twice = |(name, _): &&(String, String)| ours.iter().filter(|(n, _)| n == name).count() > 1;
    match ours.iter().find(twice) {
        Some((name, _)) => Err(format!("{name} and {name}_FILE cannot be combined; unset one")),
        None => Ok(ours),
    }
}

/// The database keys that the environment holds, or a file that it names.
pub fn database_keys() -> Result<Option<Zeroizing<String>>, String> {
    let found = variables()?.into_iter().map(|(name, value)| (name, Zeroizing::new(value)));
    Ok(found.into_iter().find(|(name, _)| name == DATABASE_KEYS).map(|(_, value)| value))
}

fn variable(name: String, value: OsString) -> Result<(String, String), String> {
    let text = value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))?;
    let of = match name.strip_suffix("_FILE") {
        Some(_) if name == DATABASE_KEY_FILE => DATABASE_KEYS.to_owned(),
        Some(of) => of.to_owned(),
        None => return Ok((name, text)),
    };
    let held = held(&text).map_err(|error| format!("{name}: {text} cannot be read: {error}"))?;
    Ok((of, held))
}

/// What a file holds, without the end of its last line.
fn held(path: &str) -> std::io::Result<String> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

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
    fn a_file_holds_a_value_and_the_end_of_its_line_is_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "postgres://leader:hunter2@db/x\n").unwrap();
        let read = |name: &str, path: &std::path::Path| variable(name.into(), path.into());
        for (name, of) in [
            ("SOTTOVOCE_DATABASE_FILE", "SOTTOVOCE_DATABASE"),
            ("SOTTOVOCE_DATABASE_KEYS_FILE", DATABASE_KEYS),
            ("SOTTOVOCE_DATABASE_KEY_FILE", DATABASE_KEYS),
        ] {
            let held = (of.to_owned(), "postgres://leader:hunter2@db/x".to_owned());
            assert_eq!(read(name, &path), Ok(held));
        }
        let missing = read("SOTTOVOCE_DATABASE_FILE", &folder.path().join("none")).unwrap_err();
        assert!(
            missing.contains("SOTTOVOCE_DATABASE_FILE") && missing.contains("none"),
            "{missing}"
        );
        let endless = read("SOTTOVOCE_LOG_FILE", "/dev/zero".as_ref()).unwrap();
        assert_eq!(endless.1.len() as u64, LONGEST);
    }

    #[test]
    fn a_step_into_what_is_no_table_is_refused_by_name() {
        let error = applied("listen = \"x\"", &[("SOTTOVOCE_LISTEN__PORT", "1")]).unwrap_err();
        assert!(error.contains("SOTTOVOCE_LISTEN__PORT") && error.contains("listen"), "{error}");
    }
}

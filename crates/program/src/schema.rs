//! The JSON Schema of program files, from the very types that read them.

use super::file::File;

/// The schema, in draft 2020-12. It knows every key, its kind of value and the fixed words; what
/// belongs together, and what is in range, only [`Program::parse`](super::Program::parse) says.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProgramKind, template::template};
    use serde_json::{Value, json};

    /// As much of JSON Schema as ours uses.
    fn check(schema: &Value, root: &Value, value: &Value, place: &str) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let definition = &root["$defs"][name.trim_start_matches("#/$defs/")];
            assert!(definition.is_object(), "{name} is not defined");
            return check(definition, root, value, place);
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let mut outcomes = any.iter().map(|schema| check(schema, root, value, place));
            return outcomes.find(Result::is_ok).unwrap_or(Err(format!("{place}: fits nothing")));
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            return Err(format!("{place}: {value} is no known word"));
        }
        let is = |kind: &Value| match kind.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_u64(),
            Some("number") => value.is_number(),
            _ => false,
        };
        let kinds = schema["type"].as_array().map_or(vec![&schema["type"]], |a| a.iter().collect());
        if !schema["type"].is_null() && !kinds.into_iter().any(is) {
            return Err(format!("{place}: {value} is not of type {}", schema["type"]));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            check(&schema["items"], root, item, &format!("{place}[{index}]"))?;
        }
        let Some(object) = value.as_object() else { return Ok(()) };
        for key in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(key.as_str().unwrap()) {
                return Err(format!("{place}: {key} is missing"));
            }
        }
        for (key, value) in object {
            let place = format!("{place}.{key}");
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => return Err(format!("{place} is unknown")),
                (Value::Null, rest) => check(rest, root, value, &place)?,
                (known, _) => check(known, root, value, &place)?,
            }
        }
        Ok(())
    }

    fn read(text: &str) -> Value {
        let table: toml::Table = toml::from_str(text).unwrap();
        serde_json::to_value(table).unwrap()
    }

    fn examples() -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let programs = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
        programs.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn examples_and_templates_fit_the_schema() {
        let schema = json_schema();
        let templates = [ProgramKind::Feedback, ProgramKind::RedTeam].map(|k| template(k, "a"));
        let mut programs = examples();
        assert!(!programs.is_empty());
        programs.extend(templates.map(Result::unwrap));
        for text in programs {
            check(&schema, &schema, &read(&text), "program").unwrap();
        }
    }

    #[test]
    fn what_is_misspelt_or_of_another_type_or_missing_does_not_fit() {
        let schema = json_schema();
        let program = read(&template(ProgramKind::Feedback, "a").unwrap());
        for (pointer, key, value, words) in [
            ("", "windw", json!("1 day"), "windw is unknown"),
            ("", "min_batch_size", json!("many"), "not of type \"integer\""),
            ("", "kind", json!("blue-team"), "no known word"),
            ("/metrics/helpful", "kind", json!("thumb"), "no known word"),
            ("/metrics/helpful", "star", json!(5), "star is unknown"),
            ("/dimensions/cohort", "kind", json!("secret"), "no known word"),
            ("/asking", "per_day", json!(-1), "not of type"),
            ("/budget", "windows", json!(1.5), "fits nothing"),
        ] {
            let mut changed = program.clone();
            changed.pointer_mut(pointer).unwrap()[key] = value;
            let refused = check(&schema, &schema, &changed, "program").unwrap_err();
            assert!(refused.contains(words), "{pointer} {key}: {refused}");
        }
        for key in ["name", "leader", "helper", "collector", "window", "min_batch_size"] {
            let mut without = program.clone();
            without.as_object_mut().unwrap().remove(key);
            let refused = check(&schema, &schema, &without, "program").unwrap_err();
            assert!(refused.contains("is missing"), "{key}: {refused}");
        }
    }

    #[test]
    fn no_table_takes_keys_that_are_not_known() {
        let schema = json_schema();
        for table in schema["$defs"].as_object().unwrap().values().chain([&schema]) {
            assert_eq!(table["additionalProperties"], false, "{}", table["description"]);
        }
    }

    #[test]
    fn every_key_says_what_it_is() {
        let schema = json_schema();
        let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
        for table in tables {
            for (key, property) in table["properties"].as_object().into_iter().flatten() {
                let says = property["description"].as_str().is_some_and(|words| words.len() > 8);
                assert!(says, "{key}: {property}");
            }
        }
    }
}

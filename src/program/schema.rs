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
    use crate::program::{ProgramKind, template::template};
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

    #[test]
    fn programs_fit_the_schema_and_what_is_misspelt_does_not() {
        let schema = json_schema();
        let fits = |value: &Value| check(&schema, &schema, value, "program");
        for text in [
            include_str!("../../examples/support-assistant.toml").to_owned(),
            template(ProgramKind::Feedback, "a").unwrap(),
            template(ProgramKind::RedTeam, "a").unwrap(),
        ] {
            fits(&read(&text)).unwrap();
        }
        let program = read(&template(ProgramKind::Feedback, "a").unwrap());
        for (pointer, key, value, words) in [
            ("", "windw", json!("1 day"), "windw is unknown"),
            ("", "min_batch_size", json!("many"), "not of type"),
            ("/metrics/helpful", "kind", json!("thumb"), "no known word"),
            ("/metrics/helpful", "star", json!(5), "star is unknown"),
            ("/dimensions/cohort", "kind", json!("secret"), "no known word"),
            ("/asking", "per_day", json!(-1), "fits nothing"),
        ] {
            let mut changed = program.clone();
            changed.pointer_mut(pointer).unwrap()[key] = value;
            let refused = fits(&changed).unwrap_err();
            let is_told = refused.contains(words) || refused.contains("not of type");
            assert!(is_told, "{pointer} {key}: {refused}");
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

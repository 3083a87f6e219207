//! What the API server would say before any webhook: the schema of our own CRDs.
//!
//! Unknown fields are pruned by the API server, and refused when the client asks for strict validation (kubectl and
//! Argo CD do); a misspelt field is otherwise a setting that silently does not hold.

use gatehouse_crds::custom_resource_definitions;
use serde_json::Value;

use crate::report::Told;

/// Schemas of our kinds.
pub struct Schemas(Vec<(String, Value)>);

impl Schemas {
    /// Those that ship with this version.
    pub fn new() -> Self {
        let crds = custom_resource_definitions().into_iter().filter_map(|crd| {
            let schema = crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()?;
            Some((crd.spec.names.kind.clone(), serde_json::to_value(schema).ok()?))
        });
        Schemas(crds.collect())
    }

    /// Everything in which an object departs from the schema of its kind.
    pub fn check(&self, kind: &str, object: &Value) -> Vec<Told> {
        let mut out = Vec::new();
        let Some((_, schema)) = self.0.iter().find(|(k, _)| k == kind) else { return out };
        for (key, value) in object.as_object().into_iter().flatten() {
            match key.as_str() {
                "apiVersion" | "kind" | "metadata" | "status" => {}
                "spec" => walk(&schema["properties"]["spec"], value, "spec", &mut out),
                _ => out.push(unknown(key, "apiVersion, kind, metadata, spec")),
            }
        }
        if object.get("spec").is_none() {
            out.push(Told::fault("schema", "spec", "is absent; give it"));
        }
        out
    }
}

fn unknown(field: &str, known: &str) -> Told {
    Told::warning(
        "unknown-field",
        field,
        format!("is no field of this kind: it is ignored, or refused under strict validation; known here: {known}"),
    )
}

fn walk(schema: &Value, value: &Value, at: &str, out: &mut Vec<Told>) {
    // The API server drops nulls, so a null is an absent field.
    if value.is_null() {
        return;
    }
    if let Some(wanted) = schema["type"].as_str()
        && !is(wanted, value)
    {
        out.push(Told::fault("schema", at, format!("is {}; it must be {}", shown(value), article(wanted))));
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, at, out),
        Value::Array(items) => {
            bound(schema, "minItems", "maxItems", items.len(), "entries", at, out);
            for (i, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &format!("{at}[{i}]"), out);
            }
        }
        Value::String(text) => string(schema, text, at, out),
        Value::Number(number) => {
            let n = number.as_f64().unwrap_or_default();
            let low = schema["minimum"].as_f64().filter(|low| n < *low).map(|low| format!("at least {low}"));
            let high = schema["maximum"].as_f64().filter(|high| n > *high).map(|high| format!("at most {high}"));
            for limit in low.into_iter().chain(high) {
                out.push(Told::fault("schema", at, format!("is {number}; it must be {limit}")));
            }
        }
        _ => {}
    }
}

fn object(schema: &Value, fields: &serde_json::Map<String, Value>, at: &str, out: &mut Vec<Told>) {
    let properties = schema["properties"].as_object();
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if fields.get(required).is_none_or(Value::is_null) {
            out.push(Told::fault("schema", format!("{at}.{required}"), "is absent; give it"));
        }
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true);
    for (key, value) in fields {
        match (properties.and_then(|p| p.get(key)), &schema["additionalProperties"]) {
            (Some(known), _) => walk(known, value, &format!("{at}.{key}"), out),
            (None, Value::Object(_)) => walk(&schema["additionalProperties"], value, &format!("{at}[{key}]"), out),
            (None, Value::Bool(true)) => {}
            _ if open => {}
            _ => {
                let known: Vec<&str> = properties.into_iter().flat_map(|p| p.keys()).map(String::as_str).collect();
                out.push(unknown(&format!("{at}.{key}"), &known.join(", ")));
            }
        }
    }
}

fn string(schema: &Value, text: &str, at: &str, out: &mut Vec<Told>) {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.iter().any(|a| a == text)
    {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        out.push(Told::fault("schema", at, format!("is {text:?}; allowed: {}", names.join(", "))));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        out.push(Told::fault("schema", at, format!("is {text:?}; it must match {pattern}")));
    }
    bound(schema, "minLength", "maxLength", text.chars().count(), "characters", at, out);
}

fn bound(schema: &Value, low: &str, high: &str, count: usize, what: &str, at: &str, out: &mut Vec<Told>) {
    let limit = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
    if let Some(least) = limit(low).filter(|least| count < *least) {
        out.push(Told::fault("schema", at, format!("has {count} {what}; it needs at least {least}")));
    }
    if let Some(most) = limit(high).filter(|most| count > *most) {
        out.push(Told::fault("schema", at, format!("has {count} {what}; it may have {most}")));
    }
}

fn is(wanted: &str, value: &Value) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn article(kind: &str) -> &str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "a string (quote it)",
        "boolean" => "true or false",
        "integer" => "a whole number",
        other => other,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a map".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

//! The control API under `/_awsim/`: for tests, not part of AWS.

use awsim_model::{Millis, Policy};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::api::{Answered, text};
use crate::fault::Fault;
use crate::world::World;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Down {
    down_ms: u64,
}

/// The answer of `/_awsim/<path>`.
pub(crate) fn answer(world: &World, method: &Method, path: &str, query: &str, body: &Bytes) -> Answered {
    let known = ["health", "calls", "faults", "clock", "state", "quotas", "availability", "permissions"];
    let outcome = match (method.as_str(), path) {
        ("GET", "health") => Ok(json_answer(&json!({ "ok": true, "now": world.now() }))),
        ("GET", "calls") => calls(world, query),
        ("DELETE", "calls") => {
            world.clear_calls();
            Ok(json_answer(&json!({})))
        }
        ("GET", "faults") => Ok(json_answer(&json!(world.faults().list()))),
        ("POST", "faults") => faults(world, body),
        ("DELETE", "faults") => {
            world.faults().clear();
            Ok(json_answer(&json!({})))
        }
        ("GET", "clock") => Ok(json_answer(&json!({ "now": world.now() }))),
        ("POST", "clock") => read::<Advance>(body).map(|advance| {
            world.advance(Millis(advance.advance_ms));
            json_answer(&json!({ "now": world.now() }))
        }),
        ("GET", "state") => {
            let mut aws = world.aws();
            let now = world.now();
            aws.advance(now);
            Ok(json_answer(&aws.dump(now)))
        }
        ("GET", "permissions") => Ok(json_answer(&permissions(world))),
        ("GET", "quotas") => Ok(json_answer(&quotas(world))),
        ("POST", "quotas") => set_quotas(world, body),
        ("POST", "availability") => read::<Down>(body).map(|down| {
            world.go_down(Millis(down.down_ms));
            json_answer(&json!({ "now": world.now() }))
        }),
        (_, path) if known.contains(&path) => {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not a method of /_awsim/{path}")));
        }
        _ => {
            let list = known.join(", ");
            return Ok(text(StatusCode::NOT_FOUND, &format!("/_awsim/{path} is not one of {list}")));
        }
    };
    Ok(outcome.unwrap_or_else(|why| text(StatusCode::BAD_REQUEST, &why)))
}

fn calls(world: &World, query: &str) -> Result<Response<Full<Bytes>>, String> {
    let since = match query.split('&').find_map(|part| part.strip_prefix("since=")) {
        None => 0,
        Some(seq) => seq.parse().map_err(|_| format!("since '{seq}' is not a number"))?,
    };
    let mut lines = String::new();
    for entry in world.calls_since(since) {
        lines.push_str(&json!(entry).to_string());
        lines.push('\n');
    }
    Ok(typed("application/jsonl", lines))
}

fn faults(world: &World, body: &Bytes) -> Result<Response<Full<Bytes>>, String> {
    world.faults().place(read::<Fault>(body)?)?;
    Ok(json_answer(&json!(world.faults().list())))
}

/// What of the policy was needed so far, and what was not.
fn permissions(world: &World) -> Value {
    let needed = world.aws().needed().clone();
    let all = world.policy().map(Policy::grants).unwrap_or_default();
    let idle: Vec<_> = all.into_iter().filter(|grant| !needed.contains(grant)).collect();
    json!({ "needed": needed, "unused": idle })
}

fn quotas(world: &World) -> Value {
    let aws = world.aws();
    let all: Map<String, Value> =
        aws.settings().quotas.iter().map(|(name, max)| (name.to_owned(), json!(max))).collect();
    Value::Object(all)
}

fn set_quotas(world: &World, body: &Bytes) -> Result<Response<Full<Bytes>>, String> {
    let wanted: Map<String, Value> = read(body)?;
    let mut aws = world.aws();
    // All or none: a misspelt name must not leave half a change behind.
    let mut next = aws.settings().quotas.clone();
    for (name, value) in wanted {
        let value = value.as_i64().ok_or_else(|| format!("quota '{name}': {value} is not a whole number"))?;
        next.set(&name, value)?;
    }
    aws.settings_mut().quotas = next;
    drop(aws);
    Ok(json_answer(&quotas(world)))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| format!("the body does not fit: {e}"))
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    typed("application/json", format!("{value:#}\n"))
}

fn typed(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

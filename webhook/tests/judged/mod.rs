//! Bytes as a request to the webhook, and a second opinion on what it may admit: written apart from the review, by
//! comparing texts label by label, so that the two can only agree by being right.
#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]
#![allow(dead_code, reason = "the fuzz target uses the whole, a test its part")]

use axum::http::StatusCode;
use gatehouse_webhook::http::State;
use serde_json::Value;

use crate::support;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody can be answered: no JSON, or no uid.
    Unreadable,
    /// An AdmissionReview that refuses.
    Refused,
    /// An AdmissionReview that admits.
    Admitted,
}

/// Puts bytes to an endpoint and judges the answer.
pub async fn judge(state: &State, path: &str, bytes: &[u8]) -> Ended {
    let (status, body) = support::post(state, path, bytes.to_vec()).await;
    if status != StatusCode::OK {
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body.ends_with('\n') && body.len() < 500, "{path}: {body}");
        return Ended::Unreadable;
    }
    let asked: Value = serde_json::from_slice(bytes).expect("what is no JSON is not answered");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let response = &answer["response"];
    assert_eq!(answer["kind"], "AdmissionReview", "{body}");
    assert_eq!(response["uid"], asked["request"]["uid"], "{body}");
    let allowed = response["allowed"].as_bool().expect("a verdict");
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert_eq!(allowed, message.is_empty(), "a refusal has its reason: {body}");
    let warnings = response["warnings"].as_array().into_iter().flatten().map(|w| w.as_str().unwrap());
    for text in warnings.chain([message]) {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    if path != "/mutate" {
        assert!(response["patch"].is_null(), "{body}");
    }
    if path == "/validate" && allowed {
        assert!(!must_be_refused(&asked["request"]), "admitted: {asked}");
    }
    if allowed { Ended::Admitted } else { Ended::Refused }
}

/// Whether no reading of the request lets it in: an app of team-a or anybody that is created or changed.
pub fn must_be_refused(request: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = &request["kind"];
    if !matches!(text(&request["operation"]).as_str(), "CREATE" | "UPDATE") || !text(&request["subResource"]).is_empty()
    {
        return false;
    }
    if (text(&kind["group"]), text(&kind["kind"])) != ("gatehouse.dev".into(), "ExposedApp".into()) {
        return false;
    }
    let object = &request["object"];
    let old = &request["oldObject"];
    let unchanged = text(&request["operation"]) == "UPDATE"
        && old["spec"].is_object()
        && old["spec"] == object["spec"]
        && labels(old) == labels(object);
    !unchanged && !right(object, &text(&request["namespace"]))
}

fn labels(object: &Value) -> Vec<(String, String)> {
    let all = object["metadata"]["labels"].as_object().into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What `support::state` grants and asks of an app.
fn right(object: &Value, namespace: &str) -> bool {
    let (hosts, domains): (&[&str], &[&str]) = match namespace {
        "team-a" => (&["shop.example.com"], &["a.example.com", "shared.example.com"]),
        "team-b" => (&["blog.example.com"], &["b.example.com", "shared.example.com"]),
        _ => (&[], &[]),
    };
    let spec = &object["spec"];
    let Some(asked) = spec["hosts"].as_array().filter(|all| !all.is_empty()) else { return false };
    let granted = |host: &Value| {
        let Some(host) = host.as_str() else { return false };
        let name = host.strip_prefix("*.").unwrap_or(host);
        let label = |l: &str| {
            let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            (1..=63).contains(&l.len()) && l.chars().all(inner) && end(l.chars().next()) && end(l.chars().last())
        };
        let below = |domain: &&str| {
            let (labels, of): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), domain.split('.').collect());
            labels.len() > of.len() && labels.ends_with(&of)
        };
        host.len() <= 128 && name.split('.').all(label) && (hosts.contains(&host) || domains.iter().any(below))
    };
    if !asked.iter().all(granted) {
        return false;
    }
    if spec["routes"].as_array().is_none_or(Vec::is_empty) {
        return false;
    }
    let balancers = spec["loadBalancers"].as_array().into_iter().flatten();
    if balancers.map(|name| name.as_str()).any(|name| name != Some("public")) {
        return false;
    }
    if namespace != "team-a" {
        return true;
    }
    // Team a must say whose an app is, and asks for no certificate.
    let labels = &object["metadata"]["labels"];
    let number = |text: &str| text.len() == 4 && text.chars().all(|c| c.is_ascii_digit());
    let mode = spec["tls"]["mode"].as_str().unwrap_or("Discover");
    labels["team"].as_str().is_some_and(|team| !team.is_empty())
        && labels["cost-center"].as_str().is_some_and(number)
        && mode == "Discover"
}

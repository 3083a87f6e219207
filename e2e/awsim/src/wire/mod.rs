//! AWS's wires: from an HTTP request to the model's, from the model's answer to an HTTP response.

mod query;
mod rest;
mod tree;
mod xml;

use awsim_model::api::acm::ImportedFacts;
use awsim_model::{Answer, AwsError, Millis, Request, Service};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

const ELBV2: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const ROUTE53: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
const ACM_TARGET: &str = "CertificateManager.";
const TAGGING_TARGET: &str = "ResourceGroupsTaggingAPI_20170126.";

/// What came over the wire.
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// A request that could be told apart from others, whether or not it could be read.
pub(crate) struct Decoded {
    pub(crate) service: Service,
    pub(crate) action: String,
    /// Access key id of the signature; `anonymous` without one. The signature itself is not verified.
    pub(crate) caller: String,
    pub(crate) request: Result<Request, AwsError>,
}

/// Finds service and action, and reads the members.
///
/// # Errors
/// A text when not even the service can be told.
pub(crate) fn decode(incoming: &Incoming<'_>) -> Result<Decoded, String> {
    let (caller, scope) = credential(incoming.headers);
    let body = String::from_utf8_lossy(incoming.body);
    let target = incoming.headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let form = || {
        let mut fields = query::fields(incoming.query);
        fields.extend(query::fields(&body));
        fields
    };
    let service = match scope.as_deref() {
        Some("elasticloadbalancing") => Service::Elbv2,
        Some("route53") => Service::Route53,
        Some("acm") => Service::Acm,
        Some("sts") => Service::Sts,
        Some("tagging") => Service::Tagging,
        _ if target.starts_with(ACM_TARGET) => Service::Acm,
        _ if target.starts_with(TAGGING_TARGET) => Service::Tagging,
        _ if incoming.path.starts_with("/2013-04-01/") => Service::Route53,
        other => {
            let fields = form();
            let action = fields.iter().find(|(key, _)| key == "Action").map(|(_, action)| action.as_str());
            let known = Request::ACTIONS.iter().find(|(_, known)| Some(*known) == action);
            known.map(|(service, _)| *service).ok_or_else(|| {
                format!(
                    "{} {} names no service that awsim models (credential scope: {})",
                    incoming.method,
                    incoming.path,
                    other.unwrap_or("none")
                )
            })?
        }
    };
    let (action, request) = match service {
        Service::Elbv2 | Service::Sts => {
            let fields = form();
            let action =
                fields.iter().find(|(key, _)| key == "Action").map(|(_, action)| action.clone()).unwrap_or_default();
            let request = read(service, &action, tree::reader(&query::tree(&fields)));
            (action, request)
        }
        Service::Route53 => match rest::decode(incoming.method, incoming.path, incoming.query, &body) {
            Ok((action, members)) => (action.to_owned(), read(service, action, tree::reader(&members))),
            Err(why) if why.starts_with("XML") => (incoming.path.to_owned(), Err(AwsError::new("InvalidInput", why))),
            Err(why) => (incoming.path.to_owned(), Err(AwsError::status(404, "InvalidAction", why))),
        },
        Service::Acm | Service::Tagging => {
            let action = target.rsplit('.').next().unwrap_or_default().to_owned();
            let request = serde_json::from_str::<Value>(if body.is_empty() { "{}" } else { &body })
                .map_err(|e| AwsError::new("SerializationException", format!("The body is not JSON: {e}")))
                .and_then(|members| read_json(service, &action, members));
            (action, request)
        }
    };
    Ok(Decoded { service, action, caller, request })
}

/// `AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-central-1/route53/aws4_request, ...`: access key id and service.
fn credential(headers: &HeaderMap) -> (String, Option<String>) {
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scope = header.split_once("Credential=").map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default());
    let mut parts = scope.unwrap_or_default().split('/');
    let caller = parts.next().filter(|id| !id.is_empty()).unwrap_or("anonymous").to_owned();
    (caller, parts.nth(2).map(str::to_owned))
}

fn read<'de, D>(service: Service, action: &str, members: D) -> Result<Request, AwsError>
where
    D: serde::Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    let code = match service {
        Service::Route53 => "InvalidInput",
        Service::Acm | Service::Tagging => "ValidationException",
        Service::Elbv2 | Service::Sts => "ValidationError",
    };
    match Request::decode(service, action, members) {
        None => Err(AwsError::new(
            "InvalidAction",
            format!("The action '{action}' of {} is not modelled by awsim", service.iam_prefix()),
        )),
        Some(Err(why)) => {
            Err(AwsError::new(code, format!("{action}: {why} (awsim reads only members that it models)")))
        }
        Some(Ok(request)) => Ok(request),
    }
}

/// JSON carries PEM as base64; what the certificate says is read here, because the model cannot.
fn read_json(service: Service, action: &str, mut members: Value) -> Result<Request, AwsError> {
    if action == "ImportCertificate" {
        for key in ["Certificate", "PrivateKey", "CertificateChain"] {
            if let Some(text) = members.get(key).and_then(Value::as_str) {
                let decoded = base64::engine::general_purpose::STANDARD.decode(text);
                let pem =
                    decoded.map_err(|e| AwsError::new("ValidationException", format!("{key} is not base64: {e}")))?;
                members[key] = Value::String(String::from_utf8_lossy(&pem).into_owned());
            }
        }
    }
    let mut request = read(service, action, members)?;
    if let Request::ImportCertificate(call) = &mut request {
        call.parsed = Some(facts_of(&call.certificate)?);
    }
    Ok(request)
}

fn facts_of(pem: &str) -> Result<ImportedFacts, AwsError> {
    use x509_parser::prelude::{GeneralName, parse_x509_pem};
    let unreadable =
        |why: String| AwsError::new("ValidationException", format!("The certificate cannot be read: {why}"));
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
    let certificate = block.parse_x509().map_err(|e| unreadable(e.to_string()))?;
    let mut names: Vec<String> =
        certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name
                && !names.iter().any(|known| known == name)
            {
                names.push((*name).to_owned());
            }
        }
    }
    let key = certificate.public_key().parsed().map_err(|e| unreadable(e.to_string()))?;
    let key_algorithm = match key {
        x509_parser::public_key::PublicKey::EC(point) if point.key_size() > 256 => "EC_secp384r1".into(),
        x509_parser::public_key::PublicKey::EC(_) => "EC_prime256v1".into(),
        other => format!("RSA_{}", other.key_size()),
    };
    let millis = |seconds: i64| Millis::secs(u64::try_from(seconds).unwrap_or(0));
    Ok(ImportedFacts {
        names,
        key_algorithm,
        not_before: millis(certificate.validity().not_before.timestamp()),
        not_after: millis(certificate.validity().not_after.timestamp()),
    })
}

/// The response for an outcome.
pub(crate) fn encode(
    service: Service,
    action: &str,
    outcome: &Result<Answer, AwsError>,
    request_id: &str,
) -> Response<Full<Bytes>> {
    match outcome {
        Ok(answer) => success(service, action, answer, request_id),
        Err(error) => failure(service, error, request_id),
    }
}

fn success(service: Service, action: &str, answer: &Answer, request_id: &str) -> Response<Full<Bytes>> {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    match service {
        Service::Elbv2 => respond(200, "text/xml", request_id, query::answer(ELBV2, action, &value, request_id)),
        Service::Sts => respond(200, "text/xml", request_id, query::answer(STS, action, &value, request_id)),
        Service::Route53 => {
            let location = value.as_object_mut().and_then(|members| members.remove("Location"));
            let mut body = format!("<?xml version=\"1.0\"?>\n<{action}Response xmlns=\"{ROUTE53}\">");
            xml::write(&mut body, &value, xml::Names::Route53);
            body.push_str(&format!("</{action}Response>"));
            let status = if action == "CreateHostedZone" { 201 } else { 200 };
            let mut response = respond(status, "text/xml", request_id, body);
            if let Some(location) = location.as_ref().and_then(Value::as_str).and_then(|l| l.parse().ok()) {
                response.headers_mut().insert(http::header::LOCATION, location);
            }
            response
        }
        Service::Acm | Service::Tagging => {
            respond(200, "application/x-amz-json-1.1", request_id, json_members(value).to_string())
        }
    }
}

/// JSON 1.1: absent members are left out, moments are seconds.
fn json_members(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let moment = key.ends_with("At") || key == "NotBefore" || key == "NotAfter";
                match value.as_u64().filter(|_| moment) {
                    Some(millis) => (key, json!(millis / 1000)),
                    None => (key, json_members(value)),
                }
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(json_members).collect(),
        other => other,
    }
}

fn failure(service: Service, error: &AwsError, request_id: &str) -> Response<Full<Bytes>> {
    let side = if error.http_status < 500 { "Sender" } else { "Receiver" };
    let wrapped = |namespace: &str| {
        let mut inner = json!({ "Type": side, "Code": error.code, "Message": error.message });
        if !error.messages.is_empty() {
            inner["Messages"] = json!(error.messages);
        }
        let mut body = format!("<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{namespace}\"><Error>");
        xml::write(&mut body, &inner, xml::Names::Route53);
        body.push_str(&format!("</Error><RequestId>{request_id}</RequestId></ErrorResponse>"));
        body
    };
    match service {
        Service::Elbv2 => respond(error.http_status, "text/xml", request_id, wrapped(ELBV2)),
        Service::Sts => respond(error.http_status, "text/xml", request_id, wrapped(STS)),
        Service::Route53 => respond(error.http_status, "text/xml", request_id, wrapped(ROUTE53)),
        Service::Acm | Service::Tagging => {
            // The JSON wire has 400 for everything that is the caller's.
            let status = if error.http_status < 500 { 400 } else { error.http_status };
            let body = json!({ "__type": error.code, "message": error.message, "Message": error.message });
            let mut response = respond(status, "application/x-amz-json-1.1", request_id, body.to_string());
            if let Ok(code) = error.code.parse() {
                response.headers_mut().insert("x-amzn-errortype", code);
            }
            response
        }
    }
}

fn respond(status: u16, content_type: &'static str, request_id: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Ok(id) = request_id.parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// `2026-11-21T11:39:00.000Z` of milliseconds since the epoch.
pub(crate) fn timestamp(millis: u64) -> String {
    let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", in_day % 1000)
}

/// Year, month, day of a day number; walks years, which is quick enough and plain to see.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(timestamp(4_102_444_800_000), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_scope_names_caller_and_service() {
        let mut headers = HeaderMap::new();
        let value =
            "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-central-1/acm/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(credential(&headers), ("AKID".into(), Some("acm".into())));
        assert_eq!(credential(&HeaderMap::new()), ("anonymous".into(), None));
    }
}

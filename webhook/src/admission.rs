//! AdmissionReview on the wire. Read leniently: whatever has a readable uid gets an answer that the API server can
//! pass on to the person; an HTTP error would only say that the webhook failed.

use std::collections::BTreeMap;

use base64::Engine as _;
use gatehouse_crds::ExposedAppSpec;
use serde_json::{Value, json};

/// A request, as far as it can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// To be given back.
    pub uid: String,
    /// The version of AdmissionReview to answer in.
    pub api_version: String,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: String,
    /// Group and kind of the object, such as `gatehouse.dev` and `ExposedApp`.
    pub kind: (String, String),
    /// `status` and the like; empty for the object itself.
    pub subresource: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name; empty while it is to be generated.
    pub name: String,
    /// The object as it would be stored.
    pub object: Value,
    /// The object as it is stored.
    pub old: Value,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is not JSON or has no uid: only then nobody can be answered.
    pub fn read(body: &[u8]) -> Result<Request, String> {
        let mut review: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api_version = text(&review["apiVersion"]);
        // Not by index: writing into what is no object would panic.
        let mut request = review.get_mut("request").map(Value::take).unwrap_or_default();
        let uid = text(&request["uid"]);
        if uid.is_empty() {
            return Err("the body is no AdmissionReview: request.uid is missing".into());
        }
        let (object, old) = (request["object"].take(), request["oldObject"].take());
        let name = match text(&request["name"]) {
            name if name.is_empty() => text(&object["metadata"]["name"]),
            name => name,
        };
        Ok(Request {
            uid,
            operation: text(&request["operation"]),
            kind: (text(&request["kind"]["group"]), text(&request["kind"]["kind"])),
            subresource: text(&request["subResource"]),
            namespace: text(&request["namespace"]),
            name,
            api_version: if api_version.is_empty() { "admission.k8s.io/v1".into() } else { api_version },
            object,
            old,
        })
    }

    /// Labels of the object. What is no text is left out; the API server has refused it already.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        texts(&self.object["metadata"]["labels"])
    }

    /// Annotations of the object.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        texts(&self.object["metadata"]["annotations"])
    }

    /// Reads the object's spec.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn spec(&self) -> Result<ExposedAppSpec, (String, String)> {
        let spec = &self.object["spec"];
        if spec.is_null() {
            return Err(("spec".into(), "is missing".into()));
        }
        serde_path_to_error::deserialize(spec).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
            (field, format!("cannot be read: {}", error.inner()))
        })
    }

    /// Whether an update leaves everything that a review looks at as it was. An unreadable old object counts as
    /// different: it must not keep its own repair from being judged.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.operation == "UPDATE"
            && self.old["spec"].is_object()
            && self.old["spec"] == self.object["spec"]
            && texts(&self.old["metadata"]["labels"]) == self.labels()
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// An answer before it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Why it is refused, and with which HTTP code; `None` admits it.
    pub refusal: Option<(u16, String)>,
    /// Told to the person in any case.
    pub warnings: Vec<String>,
    /// JSON patch operations.
    pub patch: Vec<Value>,
}

impl Answer {
    /// Refuses with a code.
    #[must_use]
    pub fn refuse(code: u16, message: String) -> Answer {
        Answer { refusal: Some((code, message)), ..Answer::default() }
    }

    /// The AdmissionReview that carries it.
    #[must_use]
    pub fn write(&self, request: &Request) -> Value {
        let mut response = json!({ "uid": request.uid, "allowed": self.refusal.is_none() });
        if let Some((code, message)) = &self.refusal {
            let reason = match code {
                403 => "Forbidden",
                422 => "Invalid",
                _ => "BadRequest",
            };
            response["status"] =
                json!({ "status": "Failure", "code": code, "reason": reason, "message": single_line(message) });
        }
        if !self.warnings.is_empty() {
            response["warnings"] = self.warnings.iter().map(|text| single_line(text)).collect();
        }
        if !self.patch.is_empty() {
            let patch = Value::Array(self.patch.clone()).to_string();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(base64::engine::general_purpose::STANDARD.encode(patch));
        }
        json!({ "apiVersion": request.api_version, "kind": "AdmissionReview", "response": response })
    }
}

/// Clients cut at line ends, and a control character in a message is never meant well.
fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A key as it stands in a JSON pointer (RFC 6901).
#[must_use]
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_body_without_uid_is_beyond_an_answer() {
        for bad in ["", "nonsense", "[]", "{}", "null", r#"{"request":7}"#, r#"{"request":{"uid":7}}"#] {
            assert!(Request::read(bad.as_bytes()).is_err(), "{bad}");
        }
        let request = Request::read(br#"{"request":{"uid":"u","kind":7,"object":[],"oldObject":"?"}}"#).unwrap();
        assert_eq!((request.uid.as_str(), request.api_version.as_str()), ("u", "admission.k8s.io/v1"));
        assert_eq!(request.spec(), Err(("spec".into(), "is missing".into())));
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named() {
        let body = json!({"request": {"uid": "u", "object": {"spec": {
            "hosts": ["a.example.com"], "routes": [{"backends": [{"service": "web", "port": "http"}]}],
        }}}});
        let request = Request::read(body.to_string().as_bytes()).unwrap();
        let (field, why) = request.spec().unwrap_err();
        assert_eq!(field, "spec.routes[0].backends[0].port");
        assert_eq!(why, "cannot be read: invalid type: string \"http\", expected i32");
    }

    #[test]
    fn pointer_tokens_and_lines() {
        assert_eq!(pointer_token("a.example.com/b~c"), "a.example.com~1b~0c");
        assert_eq!(single_line("a\nb\u{1b}[31m"), "a b [31m");
    }
}

//! IAM policy documents: parsed once, evaluated per resource of a call.
//!
//! Modelled: `Allow` and `Deny`, `Action`/`NotAction`, `Resource`/`NotResource` with `*` and `?`, and the condition
//! operators that policies for load balancers and DNS use, with `ForAllValues:`, `ForAnyValue:` and `...IfExists`.
//! Not modelled: principals, session policies, boundaries, policy variables, dates and IP addresses.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A parsed policy document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Statement {
    /// `Sid`, or its place in the document.
    sid: String,
    allow: bool,
    actions: Matching,
    resources: Matching,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction` (or the same of resources) with its patterns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Matching {
    negated: bool,
    patterns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Condition {
    set: Set,
    if_exists: bool,
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Set {
    Single,
    ForAll,
    ForAny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    StringEquals { ignore_case: bool, negated: bool },
    StringLike { negated: bool },
    Bool,
    Null,
}

/// A part of a policy: one action pattern of a statement that allows, on one of its resource patterns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Grant {
    /// The statement's `Sid`, or its place in the document.
    pub sid: String,
    /// As written; `NotAction` in front of the patterns of one.
    pub action: String,
    /// As written, likewise.
    pub resource: String,
}

/// One thing that a call does: an action on one resource, with what conditions may ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `elasticloadbalancing:CreateRule`.
    pub action: String,
    /// The ARN, or `*` for calls without a resource.
    pub resource: String,
    /// Condition keys, `aws:ResourceTag/team` and the like; an absent key is absent here.
    pub context: BTreeMap<String, Vec<String>>,
}

impl Policy {
    /// Reads a policy document (`{"Statement": [...]}`).
    ///
    /// # Errors
    /// A text that names the statement and the member that does not fit or is not modelled.
    pub fn parse(document: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(document).map_err(|e| format!("policy is not JSON: {e}"))?;
        let statements = match value.get("Statement") {
            Some(Value::Array(list)) => list.clone(),
            Some(one @ Value::Object(_)) => vec![one.clone()],
            _ => return Err("policy has no Statement".into()),
        };
        let statements = statements
            .iter()
            .enumerate()
            .map(|(index, statement)| {
                Statement::parse(index, statement).map_err(|e| format!("policy Statement[{index}]: {e}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// Whether some statement allows `access` and none denies it.
    pub fn allows(&self, access: &Access) -> bool {
        let mut allowed = false;
        for statement in self.statements.iter().filter(|s| s.applies(access)) {
            if !statement.allow {
                return false;
            }
            allowed = true;
        }
        allowed
    }

    /// Everything that the document allows, part by part.
    pub fn grants(&self) -> Vec<Grant> {
        self.statements.iter().filter(|s| s.allow).flat_map(|s| s.grants(|_| true, |_| true)).collect()
    }

    /// The parts without which `access` would be refused: none if two statements, or two patterns of one, allow it.
    pub fn needed(&self, access: &Access) -> Option<Grant> {
        let allowing = self.statements.iter().filter(|s| s.allow && s.applies(access));
        let action = |pattern: &str| glob(&pattern.to_ascii_lowercase(), &access.action.to_ascii_lowercase());
        let mut grants = allowing.flat_map(|s| s.grants(action, |pattern| glob(pattern, &access.resource)));
        grants.next().filter(|_| grants.next().is_none())
    }
}

impl Statement {
    fn grants(&self, action: impl Fn(&str) -> bool, resource: impl Fn(&str) -> bool) -> Vec<Grant> {
        let actions = self.actions.parts("NotAction", action);
        let resources = self.resources.parts("NotResource", resource);
        let grant = |action: &String, resource: &String| Grant {
            sid: self.sid.clone(),
            action: action.clone(),
            resource: resource.clone(),
        };
        actions.iter().flat_map(|a| resources.iter().map(|r| grant(a, r)).collect::<Vec<_>>()).collect()
    }

    fn parse(index: usize, value: &Value) -> Result<Self, String> {
        let allow = match value.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            other => return Err(format!("Effect is {other:?}, not Allow or Deny")),
        };
        let mut conditions = Vec::new();
        if let Some(operators) = value.get("Condition").and_then(Value::as_object) {
            for (operator, keys) in operators {
                let keys = keys.as_object().ok_or_else(|| format!("Condition.{operator} is not an object"))?;
                for (key, values) in keys {
                    conditions.push(Condition::parse(operator, key, values)?);
                }
            }
        }
        let sid = value.get("Sid").and_then(Value::as_str).map_or_else(|| format!("Statement[{index}]"), str::to_owned);
        Ok(Self {
            sid,
            allow,
            actions: Matching::parse(value, "Action", "NotAction")?,
            resources: Matching::parse(value, "Resource", "NotResource")?,
            conditions,
        })
    }

    fn applies(&self, access: &Access) -> bool {
        self.actions.covers(&access.action, true)
            && self.resources.covers(&access.resource, false)
            && self.conditions.iter().all(|c| c.holds(&access.context))
    }
}

impl Matching {
    fn parse(statement: &Value, plain: &str, negated: &str) -> Result<Self, String> {
        match (statement.get(plain), statement.get(negated)) {
            (Some(list), None) => Ok(Self { negated: false, patterns: texts(list) }),
            (None, Some(list)) => Ok(Self { negated: true, patterns: texts(list) }),
            _ => Err(format!("needs exactly one of {plain} and {negated}")),
        }
    }

    /// The patterns that fit, each a part of its own; what is negated is one part as a whole.
    fn parts(&self, negated: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
        if self.negated {
            return vec![format!("{negated} {}", self.patterns.join(" "))];
        }
        self.patterns.iter().filter(|pattern| fits(pattern)).cloned().collect()
    }

    fn covers(&self, text: &str, ignore_case: bool) -> bool {
        let hit = self.patterns.iter().any(|pattern| {
            if ignore_case {
                glob(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
            } else {
                glob(pattern, text)
            }
        });
        hit != self.negated
    }
}

impl Condition {
    fn parse(operator: &str, key: &str, values: &Value) -> Result<Self, String> {
        let (set, name) = if let Some(rest) = operator.strip_prefix("ForAllValues:") {
            (Set::ForAll, rest)
        } else if let Some(rest) = operator.strip_prefix("ForAnyValue:") {
            (Set::ForAny, rest)
        } else {
            (Set::Single, operator)
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |n| (n, true));
        let operator = match name {
            "StringEquals" => Operator::StringEquals { ignore_case: false, negated: false },
            "StringNotEquals" => Operator::StringEquals { ignore_case: false, negated: true },
            "StringEqualsIgnoreCase" => Operator::StringEquals { ignore_case: true, negated: false },
            "StringNotEqualsIgnoreCase" => Operator::StringEquals { ignore_case: true, negated: true },
            "StringLike" | "ArnLike" | "ArnEquals" => Operator::StringLike { negated: false },
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => Operator::StringLike { negated: true },
            "Bool" => Operator::Bool,
            "Null" => Operator::Null,
            _ => return Err(format!("condition operator {operator} is not modelled")),
        };
        Ok(Self { set, if_exists, operator, key: key.to_ascii_lowercase(), values: texts(values) })
    }

    fn holds(&self, context: &BTreeMap<String, Vec<String>>) -> bool {
        let found = context.iter().find(|(key, _)| key.eq_ignore_ascii_case(&self.key)).map(|(_, values)| values);
        if self.operator == Operator::Null {
            let wants_absent = self.values.iter().any(|v| v.eq_ignore_ascii_case("true"));
            return found.is_none() == wants_absent;
        }
        let negated = matches!(
            self.operator,
            Operator::StringEquals { negated: true, .. } | Operator::StringLike { negated: true }
        );
        let Some(found) = found.filter(|values| !values.is_empty()) else {
            // An absent key satisfies ForAllValues, IfExists and the negated operators, as it does at AWS.
            return self.if_exists || negated || self.set == Set::ForAll;
        };
        match self.set {
            Set::ForAll => found.iter().all(|value| self.matches(value)),
            Set::Single | Set::ForAny => found.iter().any(|value| self.matches(value)),
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self.operator {
            Operator::StringEquals { ignore_case, negated } => {
                let hit = self.values.iter().any(|v| v == value || (ignore_case && v.eq_ignore_ascii_case(value)));
                hit != negated
            }
            Operator::StringLike { negated } => self.values.iter().any(|v| glob(v, value)) != negated,
            Operator::Bool => self.values.iter().any(|v| v.eq_ignore_ascii_case(value)),
            Operator::Null => false,
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// `*` is any run of characters, `?` any one; everything else is itself.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(action: &str, resource: &str, context: &[(&str, &[&str])]) -> Access {
        Access {
            action: action.into(),
            resource: resource.into(),
            context: context
                .iter()
                .map(|(key, values)| ((*key).into(), values.iter().map(|v| (*v).into()).collect()))
                .collect(),
        }
    }

    #[test]
    fn deny_wins_over_allow() {
        let policy = Policy::parse(
            r#"{"Statement":[{"Effect":"Allow","Action":"acm:*","Resource":"*"},
                {"Effect":"Deny","Action":["acm:delete*"],"Resource":"*"}]}"#,
        )
        .unwrap();
        assert!(policy.allows(&access("acm:ListCertificates", "*", &[])));
        assert!(!policy.allows(&access("acm:DeleteCertificate", "arn:x", &[])));
        assert!(!policy.allows(&access("route53:ListHostedZones", "*", &[])));
    }

    #[test]
    fn only_what_nothing_else_allows_is_needed() {
        let policy = Policy::parse(
            r#"{"Statement":[{"Sid":"Read","Effect":"Allow","Action":["acm:List*","acm:Get*"],"Resource":["arn:a","arn:b"]},
                {"Effect":"Allow","Action":"acm:ListTags","Resource":"*"}]}"#,
        )
        .unwrap();
        let needed = |action: &str, resource: &str| policy.needed(&access(action, resource, &[]));
        let part = |sid: &str, action: &str, resource: &str| {
            Some(Grant { sid: sid.into(), action: action.into(), resource: resource.into() })
        };
        assert_eq!(needed("acm:GetX", "arn:b"), part("Read", "acm:Get*", "arn:b"));
        assert_eq!(needed("acm:ListTags", "arn:c"), part("Statement[1]", "acm:ListTags", "*"));
        assert_eq!(needed("acm:ListTags", "arn:a"), None, "either would do");
        assert_eq!(needed("acm:Delete", "arn:a"), None);
        assert_eq!(policy.grants().len(), 5);
    }

    /// Condition, context, whether it holds.
    type Case = (&'static str, &'static [(&'static str, &'static [&'static str])], bool);

    #[test]
    fn conditions_table() {
        let cases: &[Case] = &[
            (r#"{"StringEquals":{"aws:ResourceTag/c":"x"}}"#, &[("aws:ResourceTag/c", &["x"])], true),
            (r#"{"StringEquals":{"aws:ResourceTag/c":"x"}}"#, &[("aws:ResourceTag/c", &["y"])], false),
            (r#"{"StringEquals":{"aws:ResourceTag/c":"x"}}"#, &[], false),
            (r#"{"StringEqualsIfExists":{"aws:ResourceTag/c":"x"}}"#, &[], true),
            (r#"{"Null":{"aws:RequestTag/c":"false"}}"#, &[("aws:RequestTag/c", &["x"])], true),
            (r#"{"Null":{"aws:RequestTag/c":"false"}}"#, &[], false),
            (r#"{"Null":{"aws:RequestTag/c":"true"}}"#, &[], true),
            (r#"{"ForAllValues:StringLike":{"k":["*.a.com"]}}"#, &[("k", &["x.a.com", "y.a.com"])], true),
            (r#"{"ForAllValues:StringLike":{"k":["*.a.com"]}}"#, &[("k", &["x.a.com", "y.b.com"])], false),
            (r#"{"ForAllValues:StringLike":{"k":["*.a.com"]}}"#, &[], true),
            (r#"{"ForAnyValue:StringEquals":{"k":["a"]}}"#, &[("k", &["b", "a"])], true),
            (r#"{"StringNotEquals":{"k":"a"}}"#, &[], true),
        ];
        for (condition, context, expected) in cases {
            let policy = Policy::parse(&format!(
                r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}}}"#
            ))
            .unwrap();
            assert_eq!(policy.allows(&access("x:Y", "r", context)), *expected, "{condition} with {context:?}");
        }
    }

    #[test]
    fn faults_are_named() {
        let text = Policy::parse(
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*",
            "Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}"#,
        )
        .unwrap_err();
        assert!(text.contains("Statement[0]") && text.contains("IpAddress"), "{text}");
    }

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*", "", true),
            ("?", "", false),
            ("**/x", "a/b/x", true),
            ("a?c", "abc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }
}

//! Findings with the place of the object they are about.

use gatehouse_core::review::{Class, Finding};
use gatehouse_crds::Enforcement;
use serde::{Deserialize, Serialize};

use crate::input::{Source, Text};

/// What a finding means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Refused, or would not work.
    #[default]
    Fault,
    /// Told, admitted.
    Warning,
    /// Admitted by an exception, or by enforcement Audit.
    Audit,
}

impl Severity {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Fault => "fault",
            Severity::Warning => "warning",
            Severity::Audit => "audit",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Told {
    /// What it means.
    pub severity: Severity,
    /// Rule id.
    pub rule: String,
    /// Path of the field.
    pub field: String,
    /// Value and cure, to be read after the field.
    pub message: String,
    /// What only these files can tell, such as who has the host.
    pub hint: Option<String>,
    /// Line of the field, or of the nearest one above it that is there.
    pub line: Option<usize>,
}

impl Told {
    /// A fault.
    pub fn fault(rule: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Told {
            severity: Severity::Fault,
            rule: rule.into(),
            field: field.into(),
            message: message.into(),
            hint: None,
            line: None,
        }
    }

    /// A warning.
    pub fn warning(rule: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Told { severity: Severity::Warning, ..Told::fault(rule, field, message) }
    }

    /// A finding of the review.
    pub fn reviewed(finding: &Finding) -> Self {
        let severity = if finding.refuses() {
            Severity::Fault
        } else if finding.rule.class() == Class::Governance && finding.enforcement == Enforcement::Audit {
            Severity::Audit
        } else {
            Severity::Warning
        };
        Told { severity, ..Told::fault(finding.rule.id(), finding.field.clone(), finding.message.clone()) }
    }
}

/// What is said about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Kind.
    pub kind: String,
    /// Namespace, empty for cluster-wide kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub source: Source,
    /// Findings.
    pub findings: Vec<Told>,
    /// Its text, where lines are found.
    #[serde(skip)]
    pub text: Text,
}

impl Subject {
    /// Puts the lines of their fields to the findings.
    pub fn locate(&mut self) {
        if !self.findings.is_empty() {
            self.text.locate(&mut self.findings);
        }
    }

    /// Name as people say it.
    pub fn title(&self) -> String {
        if self.namespace.is_empty() {
            format!("{} {}", self.kind, self.name)
        } else {
            format!("{} {}/{}", self.kind, self.namespace, self.name)
        }
    }

    /// Whether it would be refused.
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Fault)
    }
}

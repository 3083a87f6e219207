//! Faults that a test places on calls.

use awsim_model::{AwsError, Service};
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// HTTP 503, nothing done.
    Before,
    /// Done, then HTTP 503.
    After,
    /// HTTP 503 at once, done `delay_ms` later.
    Late,
    /// No answer, nothing done; the connection closes after a minute.
    Timeout,
    /// The service's throttling error.
    Throttle,
    /// Access denied.
    Deny,
}

/// A fault as it is placed: on the `nth` call of `action` from now, and on `count - 1` after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) action: String,
    #[serde(default = "one")]
    pub(crate) nth: u32,
    pub(crate) kind: Kind,
    #[serde(default = "one")]
    pub(crate) count: u32,
    /// Of `late`, in milliseconds of the simulator's clock.
    #[serde(default = "three_seconds")]
    pub(crate) delay_ms: u64,
}

const fn one() -> u32 {
    1
}

const fn three_seconds() -> u64 {
    3000
}

/// All faults that have not happened yet.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn place(&mut self, fault: Fault) -> Result<(), String> {
        if fault.nth == 0 || fault.count == 0 {
            return Err(format!("nth {} and count {} must be at least 1", fault.nth, fault.count));
        }
        if fault.action != "*" && !awsim_model::Request::ACTIONS.iter().any(|(_, action)| *action == fault.action) {
            return Err(format!("action '{}' is not modelled (use '*' for all)", fault.action));
        }
        self.0.push(fault);
        Ok(())
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts a call, and says what goes wrong with it.
    pub(crate) fn strike(&mut self, action: &str) -> Option<(Kind, u64)> {
        let mut struck = None;
        for fault in self.0.iter_mut().filter(|fault| fault.action == "*" || fault.action == action) {
            if fault.nth > 1 {
                fault.nth -= 1;
            } else if struck.is_none() {
                fault.count -= 1;
                struck = Some((fault.kind, fault.delay_ms));
            }
        }
        self.0.retain(|fault| fault.count > 0);
        struck
    }
}

pub(crate) fn unavailable() -> AwsError {
    AwsError::status(503, "ServiceUnavailable", "The service is unavailable; a fault placed on awsim says so")
}

pub(crate) fn throttled(service: Service) -> AwsError {
    let code = match service {
        Service::Acm | Service::Tagging => "ThrottlingException",
        _ => "Throttling",
    };
    AwsError::new(code, "Rate exceeded")
}

pub(crate) fn denied(service: Service, action: &str, caller: &str) -> AwsError {
    let code = match service {
        Service::Acm | Service::Tagging => "AccessDeniedException",
        _ => "AccessDenied",
    };
    let action = format!("{}:{action}", service.iam_prefix());
    AwsError::status(
        403,
        code,
        format!("User: {caller} is not authorized to perform: {action} because a fault placed on awsim says so"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nth_and_count() {
        let mut faults = Faults::default();
        let fault =
            |action: &str, nth, count| Fault { action: action.into(), nth, kind: Kind::Deny, count, delay_ms: 0 };
        faults.place(fault("CreateRule", 2, 2)).unwrap();
        assert!(faults.place(fault("Nonsense", 1, 1)).is_err());
        let struck: Vec<bool> = (0..4).map(|_| faults.strike("CreateRule").is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert!(faults.strike("DeleteRule").is_none());
    }
}

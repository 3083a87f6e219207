//! What the parts of the simulator share: the model, the clock, faults, the call log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awsim_model::{Answer, Aws, AwsError, Caller, Millis, Policy, Request, Service};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::fault::Faults;

/// Shared by every connection and task.
pub(crate) struct World {
    aws: Mutex<Aws>,
    pub(crate) clock: Clock,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    /// Limits every caller whose access key id does not start with `admin`.
    policy: Option<Arc<Policy>>,
    /// Until then AWS calls meet 503.
    down_until: Mutex<Millis>,
    /// Rings when the model or the clock changed.
    pub(crate) changed: Notify,
}

/// Calls in the order in which they were answered.
#[derive(Default)]
struct Log {
    next: u64,
    entries: Vec<Entry>,
}

/// One line of the call log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// Milliseconds since the epoch on the simulator's clock.
    pub(crate) time: Millis,
    pub(crate) service: Service,
    pub(crate) action: String,
    pub(crate) caller: String,
    /// Members of the request, without absent ones and without keys.
    pub(crate) params: Value,
    /// `ok`, an error code, or what a fault did.
    pub(crate) outcome: String,
    /// From the request's arrival to its outcome.
    pub(crate) latency_ms: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding a lock is a bug that a test should see, not hang on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(aws: Aws, policy: Option<Policy>) -> Self {
        Self {
            aws: Mutex::new(aws),
            clock: Clock::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            policy: policy.map(Arc::new),
            down_until: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// The model, for as long as the guard lives; never across an await.
    pub(crate) fn aws(&self) -> MutexGuard<'_, Aws> {
        lock(&self.aws)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn advance(&self, span: Millis) {
        self.clock.advance(span);
        self.changed.notify_waiters();
    }

    pub(crate) fn go_down(&self, span: Millis) {
        *lock(&self.down_until) = self.now() + span;
    }

    pub(crate) fn is_down(&self) -> bool {
        self.now() < *lock(&self.down_until)
    }

    /// The policy that limits callers, if any does.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.policy.as_deref()
    }

    /// Performs a call on the model.
    pub(crate) fn perform(&self, caller: &str, request: &Request) -> Result<Answer, AwsError> {
        let policy = self.policy.clone().filter(|_| !caller.starts_with("admin"));
        let caller = Caller { id: caller.to_owned(), policy };
        let mut aws = self.aws();
        // Under the lock, so that calls reach the model in the order of its clock.
        let outcome = aws.call(self.now(), &caller, request);
        drop(aws);
        self.changed.notify_waiters();
        outcome
    }

    pub(crate) fn record(&self, mut entry: Entry) -> u64 {
        let mut log = lock(&self.log);
        log.next += 1;
        entry.seq = log.next;
        tracing::debug!(action = entry.action, caller = entry.caller, outcome = entry.outcome, "call");
        log.entries.push(entry);
        log.next
    }

    pub(crate) fn calls_since(&self, seq: u64) -> Vec<Entry> {
        lock(&self.log).entries.iter().filter(|entry| entry.seq > seq).cloned().collect()
    }

    pub(crate) fn clear_calls(&self) {
        lock(&self.log).entries.clear();
    }
}

/// Members of a request for the log: only what was said, and no private keys.
pub(crate) fn params(request: &Request) -> Value {
    fn lean(value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| {
                    let secret = ["PrivateKey", "WebIdentityToken"].contains(&key.as_str());
                    let value = if secret { json!("(hidden)") } else { lean(value) };
                    (key, value)
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(lean).collect(),
            other => other,
        }
    }
    lean(serde_json::to_value(request).unwrap_or_default())
}

//! The simulator's time: the machine's clock plus what the control API added.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use awsim_model::Millis;

/// A clock that only goes forward, and can be pushed.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset: AtomicU64,
    /// The model must not see time go back, which the machine's clock may do.
    latest: AtomicU64,
}

impl Clock {
    pub(crate) fn now(&self) -> Millis {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(machine).unwrap_or(u64::MAX).saturating_add(self.offset.load(Ordering::SeqCst));
        Millis(self.latest.fetch_max(now, Ordering::SeqCst).max(now))
    }

    pub(crate) fn advance(&self, span: Millis) {
        self.offset.fetch_add(span.0, Ordering::SeqCst);
    }
}

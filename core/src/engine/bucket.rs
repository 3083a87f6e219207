use std::collections::BTreeMap;

use crate::aws::Family;
use crate::time::Mono;

/// Token buckets per call family. The account shares AWS's buckets with every other caller, so ours are smaller
/// and start low: a new leader must not greet the account with a burst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Buckets {
    buckets: BTreeMap<Family, Bucket>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    /// Milli-tokens.
    tokens: u64,
    burst: u64,
    /// Milli-tokens per millisecond, that is tokens per second.
    per_second: u64,
    at: Mono,
}

impl Buckets {
    /// Shares of AWS's documented buckets: Describe* 200 burst / 50 per s, Register 20 / 4, Modify 20 / 3, others
    /// 20 / 3 assumed, Route 53 50 / 10.
    #[must_use]
    pub fn aws() -> Self {
        let mut out = Buckets::default();
        for (family, burst, per_second) in [
            (Family::ElbDescribe, 100, 25),
            (Family::ElbRegister, 16, 4),
            (Family::ElbModify, 16, 3),
            (Family::ElbWrite, 16, 3),
            (Family::Route53, 30, 6),
            (Family::Acm, 10, 5),
        ] {
            out.set(family, burst, per_second);
        }
        out
    }

    /// Sets one bucket, half full. Families without a bucket are not limited.
    pub fn set(&mut self, family: Family, burst: u64, per_second: u64) {
        self.buckets.insert(family, Bucket { tokens: burst * 500, burst: burst * 1000, per_second, at: Mono(0) });
    }

    pub(super) fn has(&self, family: Family, now: Mono) -> bool {
        self.buckets.get(&family).is_none_or(|b| b.level(now) >= 1000)
    }

    pub(super) fn take(&mut self, family: Family, now: Mono) {
        if let Some(b) = self.buckets.get_mut(&family) {
            b.tokens = b.level(now).saturating_sub(1000);
            b.at = now;
        }
    }

    /// AWS says we are too fast: somebody else uses the account too.
    pub(super) fn drain(&mut self, family: Family, now: Mono) {
        if let Some(b) = self.buckets.get_mut(&family) {
            b.tokens = 0;
            b.at = now;
        }
    }

    pub(super) fn next(&self, family: Family, now: Mono) -> Option<Mono> {
        let b = self.buckets.get(&family)?;
        let missing = 1000_u64.saturating_sub(b.level(now));
        Some(now.plus(missing.div_ceil(b.per_second.max(1))))
    }
}

impl Bucket {
    fn level(&self, now: Mono) -> u64 {
        // The first use sets the clock: time before we existed refills nothing.
        let passed = if self.at == Mono(0) { 0 } else { now.since(self.at) };
        (self.tokens + passed * self.per_second).min(self.burst)
    }
}

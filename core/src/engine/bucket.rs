use std::collections::BTreeMap;

use super::report::Level;
use crate::aws::Family;
use crate::time::Mono;

/// Parts of one token: fine enough for a bucket that fills by some tokens an hour.
const TOKEN: u64 = 1_000_000_000;

/// Token buckets per call family. The account shares AWS's buckets with every other caller, so ours are smaller
/// and start low: a new leader must not greet the account with a burst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Buckets {
    buckets: BTreeMap<Family, Bucket>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    /// Parts of [`TOKEN`], as everything here.
    tokens: u64,
    burst: u64,
    per_ms: u64,
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
        // An account may ask for 5,000 certificates a year: no more than some 18 in an hour and 180 in a day.
        out.set_per_hour(Family::AcmRequest, 10, 7);
        out
    }

    /// Sets one bucket, half full. Families without a bucket are not limited.
    pub fn set(&mut self, family: Family, burst: u64, per_second: u64) {
        self.insert(family, burst, per_second * TOKEN / 1_000);
    }

    /// Sets one bucket that fills slowly, half full.
    pub fn set_per_hour(&mut self, family: Family, burst: u64, per_hour: u64) {
        self.insert(family, burst, per_hour * TOKEN / 3_600_000);
    }

    fn insert(&mut self, family: Family, burst: u64, per_ms: u64) {
        self.buckets.insert(family, Bucket { tokens: burst * TOKEN / 2, burst: burst * TOKEN, per_ms, at: Mono(0) });
    }

    pub(super) fn has(&self, family: Family, now: Mono) -> bool {
        self.buckets.get(&family).is_none_or(|b| b.level(now) >= TOKEN)
    }

    pub(super) fn take(&mut self, family: Family, now: Mono) {
        if let Some(b) = self.buckets.get_mut(&family) {
            b.tokens = b.level(now).saturating_sub(TOKEN);
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

    /// What is in each bucket, for people.
    pub(super) fn levels(&self, now: Mono) -> Vec<Level> {
        let level = |(family, b): (&Family, &Bucket)| Level {
            family: format!("{family:?}"),
            tokens: b.level(now) / TOKEN,
            burst: b.burst / TOKEN,
        };
        self.buckets.iter().map(level).collect()
    }

    pub(super) fn next(&self, family: Family, now: Mono) -> Option<Mono> {
        let b = self.buckets.get(&family)?;
        let missing = TOKEN.saturating_sub(b.level(now));
        Some(now.plus(missing.div_ceil(b.per_ms.max(1))))
    }
}

impl Bucket {
    fn level(&self, now: Mono) -> u64 {
        // The first use sets the clock: time before we existed refills nothing.
        let passed = if self.at == Mono(0) { 0 } else { now.since(self.at) };
        self.tokens.saturating_add(passed.saturating_mul(self.per_ms)).min(self.burst)
    }
}

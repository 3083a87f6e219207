use std::collections::BTreeMap;

use super::report::Level;
use crate::aws::Family;
use crate::time::Mono;

/// Parts of one token: fine enough for a bucket that fills by some tokens an hour.
const TOKEN: i64 = 1_000_000_000;

/// Token buckets per call family. The account shares AWS's buckets with every other caller, so ours are smaller
/// and start low: a new leader must not greet the account with a burst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Buckets {
    buckets: BTreeMap<Family, Bucket>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    /// Parts of [`TOKEN`], as everything here; less than none after a call that took several.
    tokens: i64,
    burst: i64,
    per_ms: i64,
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
    pub fn set(&mut self, family: Family, burst: u32, per_second: u32) {
        self.insert(family, burst, i64::from(per_second) * TOKEN / 1_000);
    }

    /// Sets one bucket that fills slowly, half full.
    pub fn set_per_hour(&mut self, family: Family, burst: u32, per_hour: u32) {
        self.insert(family, burst, i64::from(per_hour) * TOKEN / 3_600_000);
    }

    fn insert(&mut self, family: Family, burst: u32, per_ms: i64) {
        let burst = i64::from(burst) * TOKEN;
        self.buckets.insert(family, Bucket { tokens: burst / 2, burst, per_ms, at: Mono(0) });
    }

    pub(super) fn has(&self, family: Family, now: Mono) -> bool {
        self.buckets.get(&family).is_none_or(|b| b.level(now) >= TOKEN)
    }

    /// Whether there are tokens for what nobody waits for.
    pub(super) fn plenty(&self, family: Family, now: Mono) -> bool {
        self.buckets.get(&family).is_none_or(|b| b.level(now) >= b.plenty())
    }

    /// One of our calls may be several of AWS's: what it takes beyond the level is paid back before the next.
    pub(super) fn take(&mut self, family: Family, calls: u32, now: Mono) {
        if let Some(b) = self.buckets.get_mut(&family) {
            b.tokens = b.level(now).saturating_sub(i64::from(calls) * TOKEN);
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
            tokens: u64::try_from(b.level(now) / TOKEN).unwrap_or(0),
            burst: u64::try_from(b.burst / TOKEN).unwrap_or(0),
        };
        self.buckets.iter().map(level).collect()
    }

    /// When there is a token, and when there are plenty, as far as that is to come.
    pub(super) fn next(&self, family: Family, now: Mono) -> Option<Mono> {
        let b = self.buckets.get(&family)?;
        let missing = [TOKEN, b.plenty()].into_iter().map(|level| level - b.level(now)).find(|missing| *missing > 0)?;
        let per_ms = b.per_ms.max(1);
        Some(now.plus(u64::try_from((missing + per_ms - 1) / per_ms).unwrap_or(u64::MAX)))
    }
}

impl Bucket {
    fn level(&self, now: Mono) -> i64 {
        // The first use sets the clock: time before we existed refills nothing.
        let passed = if self.at == Mono(0) { 0 } else { now.since(self.at) };
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        self.tokens.saturating_add(passed.saturating_mul(self.per_ms)).min(self.burst)
    }

    /// A quarter: the rest stays for what somebody waits for.
    fn plenty(&self) -> i64 {
        (self.burst / 4).max(TOKEN)
    }
}

//! Makes a failing history small: leaves out acts, faults and waits as long as it still fails.

use crate::history::History;

/// The smallest failing history that leaving out finds; `fails` is asked at most `budget` times.
pub fn shrink(history: &History, mut budget: u32, fails: &dyn Fn(&History) -> bool) -> History {
    let mut best = history.clone();
    let mut try_it = |candidate: History, best: &mut History| {
        if budget == 0 || candidate == *best {
            return false;
        }
        budget -= 1;
        let smaller = fails(&candidate);
        if smaller {
            *best = candidate;
        }
        smaller
    };
    loop {
        let mut progress = false;
        // Large pieces first, then single ones.
        for size in [8, 4, 2, 1] {
            let mut at = 0;
            while at < best.faults.len() {
                let mut candidate = best.clone();
                candidate.faults.drain(at..(at + size).min(best.faults.len()));
                if try_it(candidate, &mut best) { progress = true } else { at += size }
            }
            let mut at = 0;
            while at < best.acts.len() {
                let mut candidate = best.clone();
                candidate.acts.drain(at..(at + size).min(best.acts.len()));
                if try_it(candidate, &mut best) { progress = true } else { at += size }
            }
        }
        for at in 0..best.acts.len() {
            if best.acts[at].0 > 0 {
                let mut candidate = best.clone();
                candidate.acts[at].0 = 0;
                progress |= try_it(candidate, &mut best);
            }
        }
        let mut plain = best.clone();
        (plain.account.slow, plain.account.throttled, plain.account.two) = (false, false, false);
        progress |= try_it(plain, &mut best);
        if !progress {
            return best;
        }
    }
}

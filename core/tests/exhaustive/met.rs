//! Which states were met, and with how much of the bounds left.
//!
//! Whatever can happen with fewer faults or leader changes left can happen with more: a path may leave them unused. And
//! a state that a former leader or a stale read has touched is judged by fewer rules than one that none has, and goes
//! on alike. So a state need not be searched once it was searched with at least as much left, and as strictly: when
//! what a fault has broken is mended, the path has come back to states that are known. What stale reads would show
//! belongs to a state for as long as a fault is left for one, and to no other state.

use std::collections::HashMap;

use crate::state::State;

#[derive(Default)]
pub struct Met {
    /// By essence: what was left when it was searched.
    states: HashMap<u128, Left>,
    /// The same by essence and what stale reads would show.
    with_past: HashMap<u128, Left>,
    /// Searches: a state may be searched several times, each with more left of one bound and less of another.
    pub searched: usize,
}

/// A bit for each combination of faults left (0 to 3), leader changes left (0 or 1) and strictness.
#[derive(Clone, Copy, Default)]
struct Left(u16);

impl Left {
    fn bit(faults: u8, leaders: u8, strict: bool) -> u16 {
        assert!(faults < 4 && leaders < 2, "more than there are bits for");
        1 << (faults * 4 + leaders * 2 + u8::from(strict))
    }

    fn covers(self, faults: u8, leaders: u8, strict: bool) -> bool {
        let mut all = (faults..4).flat_map(|f| (leaders..2).map(move |l| (f, l)));
        all.any(|(f, l)| self.0 & Left::bit(f, l, true) != 0 || !strict && self.0 & Left::bit(f, l, false) != 0)
    }
}

impl Met {
    /// Whether the state has to be searched; it counts as met from now on.
    pub fn insert(&mut self, state: &mut State) -> bool {
        let essence = state.essence();
        let left = (state.faults, state.leaders, !state.haunted);
        let here = self.states.entry(essence).or_default();
        if left.0 == 0 && here.covers(left.0, left.1, left.2) {
            return false;
        }
        here.0 |= Left::bit(left.0, left.1, left.2);
        if left.0 > 0 {
            let here = self.with_past.entry(essence ^ state.past()).or_default();
            if here.covers(left.0, left.1, left.2) {
                return false;
            }
            here.0 |= Left::bit(left.0, left.1, left.2);
        }
        self.searched += 1;
        true
    }

    pub fn states(&self) -> usize {
        self.states.len()
    }
}

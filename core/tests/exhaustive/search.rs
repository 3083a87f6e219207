//! Depth first over all choices, with the hashes of states that were met.
//!
//! What uses up a bound (a fault, a leader change) is tried after everything else: then most states that it comes back
//! to are known already, with more left ([`Met`]).

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::choice::Choice;
use crate::met::Met;
use crate::scene::{SCRIPT, Scene, start};
use crate::state::{Family, IN_FLIGHT, Lie, State};

/// What may go wrong on one path.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub faults: u8,
    pub leaders: u8,
    /// Whether time may pass while calls are in flight; otherwise only when none is.
    pub slow: bool,
    /// Of which calls the order, the answers and the faults are explored.
    pub families: &'static [Family],
}

pub struct Report {
    scene: Scene,
    bounds: Bounds,
    pub states: usize,
    searched: usize,
    transitions: usize,
    depth: usize,
    ends: usize,
    took: Duration,
    pub broken: Option<String>,
}

/// The most memory this process has had, for people; other searches may run in it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(str::trim);
    most.unwrap_or("an unknown amount").to_owned()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: 2 namespaces, 3 hosts, 2 rules an ALB and 2 shards, {IN_FLIGHT} calls in flight of {:?}, {} faults, \
             {} leader changes, time passes {}: {} states, {} searched, {} transitions, depth {}, {} at rest; {:.1?}, {} at most",
            self.scene,
            self.bounds.families,
            self.bounds.faults,
            self.bounds.leaders,
            if self.bounds.slow { "at any moment" } else { "when no call is in flight" },
            self.states,
            self.searched,
            self.transitions,
            self.depth,
            self.ends,
            self.took,
            peak()
        )
    }
}

struct Frame {
    /// Gone when its last choice is under way.
    state: Option<State>,
    choices: Vec<Choice>,
    /// What led here; none for the first.
    how: Option<Choice>,
}

/// Searches everything within the bounds; stops at the first state that breaks an invariant, with the way there.
pub fn search(scene: Scene, bounds: Bounds, lie: Lie) -> Report {
    let mut report = Report {
        scene,
        bounds,
        states: 0,
        searched: 0,
        transitions: 0,
        depth: 0,
        ends: 0,
        took: Duration::ZERO,
        broken: None,
    };
    let began = Instant::now();
    let mut met = Met::default();
    // The invariants of every state look at AWS and the cluster only, which many states share.
    let mut judged = HashSet::new();
    let mut stack: Vec<Frame> = Vec::new();
    let mut first = start(scene, bounds, lie);
    met.insert(&mut first);
    let choices = first.choices(SCRIPT.len());
    stack.push(Frame { state: Some(first), choices, how: None });
    while let Some(frame) = stack.last_mut() {
        let (Some(choice), Some(held)) = (frame.choices.pop(), &frame.state) else {
            stack.pop();
            continue;
        };
        if matches!(choice, Choice::Pass) && !bounds.slow && !held.flights.is_empty() {
            continue;
        }
        report.transitions += 1;
        // The last choice takes the state itself; with a fault left, stale reads may follow.
        let last = frame.choices.is_empty() && held.faults == 0;
        let mut state = if last { frame.state.take().unwrap() } else { held.clone() };
        state.take(&choice, &SCRIPT);
        if state.faults > 0 && !matches!(choice, Choice::Stale(..)) {
            let stale = (0..state.reads).map(|which| Choice::Stale(Box::new(choice.clone()), which));
            frame.choices.splice(0..0, stale);
        }
        state.forget_ghosts();
        let mut broken = state.broken.clone();
        let mut new = false;
        if std::mem::take(&mut state.rested) {
            if state.flights.is_empty() && state.ghosts.is_empty() && state.script == SCRIPT.len() {
                report.ends += 1;
                broken = broken.or_else(|| state.check_rest());
            }
        } else {
            new = met.insert(&mut state);
        }
        if new && judged.insert((state.outside(), state.haunted)) {
            broken = broken.or_else(|| state.check());
        }
        if let Some(broken) = broken {
            let way = stack.iter().filter_map(|frame| frame.how.as_ref()).chain([&choice]);
            report.broken = Some(format!("{broken}\nthe way there:\n{}", retell(start(scene, bounds, lie), way)));
            break;
        }
        if new {
            let choices = state.choices(SCRIPT.len());
            stack.push(Frame { state: Some(state), choices, how: Some(choice) });
            report.depth = report.depth.max(stack.len());
            if met.searched.is_multiple_of(100_000) {
                println!("{scene:?}: {} searched, {} open, {:.0?}", met.searched, stack.len(), began.elapsed());
            }
        }
    }
    (report.states, report.searched, report.took) = (met.states(), met.searched, began.elapsed());
    report
}

/// Goes the way once more and says what happened.
fn retell<'a>(mut state: State, way: impl Iterator<Item = &'a Choice>) -> String {
    let mut lines = Vec::new();
    for choice in way {
        lines.push(state.describe(choice));
        state.take(choice, &SCRIPT);
        state.forget_ghosts();
    }
    lines.join("\n")
}

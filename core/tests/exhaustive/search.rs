//! Depth first over all choices, with the hashes of states that were met.
//!
//! What uses up a bound (a fault, a leader change) is tried after everything else: then most states that it comes back
//! to are known already, with more left ([`Met`]).

use std::fmt;
use std::time::{Duration, Instant};

use crate::choice::Choice;
use crate::met::Met;
use crate::scene::{SCRIPT, Scene, start};
use crate::state::{IN_FLIGHT, Lie, State};

/// What may go wrong on one path.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub faults: u8,
    pub leaders: u8,
    /// Whether time may pass while calls are in flight; otherwise only when none is.
    pub slow: bool,
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
            "{:?}: 2 namespaces, 3 hosts, 2 rules an ALB and 2 shards, {IN_FLIGHT} calls in flight, {} faults, {} leader changes, \
             time passes {}: {} states, {} searched, {} transitions, depth {}, {} at rest; {:.0?}, {} at most",
            self.scene,
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
    how: String,
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
    let mut stack: Vec<Frame> = Vec::new();
    let mut first = start(scene, bounds, lie);
    met.insert(&mut first);
    let choices = first.choices(SCRIPT.len());
    stack.push(Frame { state: Some(first), choices, how: "start".into() });
    while let Some(frame) = stack.last_mut() {
        let (Some(choice), Some(held)) = (frame.choices.pop(), &frame.state) else {
            stack.pop();
            continue;
        };
        if matches!(choice, Choice::Pass) && !bounds.slow && !held.flights.is_empty() {
            continue;
        }
        report.transitions += 1;
        let how = held.describe(&choice);
        // The last choice takes the state itself; with a fault left, stale reads may follow.
        let last = frame.choices.is_empty() && held.faults == 0;
        let mut state = if last { frame.state.take().unwrap() } else { held.clone() };
        state.take(&choice, &SCRIPT);
        if state.faults > 0 && !matches!(choice, Choice::Stale(..)) {
            let stale = (0..state.reads).map(|which| Choice::Stale(Box::new(choice.clone()), which));
            frame.choices.splice(0..0, stale);
        }
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
        if new {
            broken = broken.or_else(|| state.check());
        }
        if let Some(broken) = broken {
            let way: Vec<&str> = stack.iter().map(|f| f.how.as_str()).chain([how.as_str()]).collect();
            report.broken = Some(format!("{broken}\nthe way there:\n{}", way.join("\n")));
            break;
        }
        if new {
            let choices = state.choices(SCRIPT.len());
            stack.push(Frame { state: Some(state), choices, how });
            report.depth = report.depth.max(stack.len());
            if met.searched.is_multiple_of(50_000) {
                println!("{scene:?}: {} searched, {} open, {:.0?}", met.searched, stack.len(), began.elapsed());
            }
        }
    }
    (report.states, report.searched, report.took) = (met.states(), met.searched, began.elapsed());
    report
}

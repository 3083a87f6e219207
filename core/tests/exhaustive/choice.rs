//! What may happen to a state.

use gatehouse_core::aws::{Refusal, RefusalClass};
use gatehouse_core::{Event, Outcome};
use gatehouse_virtual::{Cluster, short};

use crate::state::{Flight, Ghost, IN_FLIGHT, State};

/// What may happen next. A call acts when it is answered: between the two nobody can tell the difference, except a
/// leader that comes in between, and for that one it is the same as an answer that the old leader still heard. A call
/// that acts and is not answered, or acts when nobody waits any more, is a choice of its own.
#[derive(Clone, Debug)]
pub enum Choice {
    /// It acts and is answered.
    Answer(usize),
    /// Fault: refused, without effect.
    Refuse(usize),
    /// Fault: never acts, and nobody can tell.
    Lose(usize),
    /// Fault: given up now, acts later.
    Late(usize),
    /// Fault: acts, the answer is lost.
    Forget(usize),
    /// Fault: a choice upon which some read shows its object before the last write to it; which one.
    Stale(Box<Choice>, u32),
    /// An effect that nobody waits for comes.
    Strike(usize),
    /// The leader ends. Of each call in flight (a bit) the effect is still to come, or never comes.
    Depose(u8),
    /// The next leader begins.
    Lead,
    /// The next event of the script.
    Script,
    /// Time, until something changes.
    Pass,
}

impl State {
    /// What may happen now: the last first, and what uses up a bound last.
    pub fn choices(&self, script: usize) -> Vec<Choice> {
        if !self.led {
            return vec![Choice::Lead];
        }
        let mut out = Vec::new();
        if self.faults > 0 {
            for i in 0..self.flights.len().min(IN_FLIGHT) {
                out.extend([Choice::Refuse(i), Choice::Lose(i), Choice::Late(i), Choice::Forget(i)]);
            }
        }
        if self.leaders > 0 {
            out.extend((0..1 << self.flights.len().min(IN_FLIGHT)).map(Choice::Depose));
        }
        out.push(Choice::Pass);
        if self.script < script {
            out.push(Choice::Script);
        }
        out.extend((0..self.ghosts.len()).map(Choice::Strike));
        out.extend((0..self.flights.len().min(IN_FLIGHT)).map(Choice::Answer));
        out
    }

    fn answer(&mut self, index: usize, outcome: Outcome) {
        let flight = self.flights.remove(index);
        if let Some(next) = self.flights.get_mut(IN_FLIGHT - 1) {
            next.sent = self.now;
        }
        self.handle(Event::Outcome { id: flight.id, outcome });
    }

    /// Makes a choice come true, without passing of time.
    pub fn take(&mut self, choice: &Choice, script: &[fn(&mut Cluster)]) {
        self.reads = 0;
        match choice {
            Choice::Answer(i) => {
                let order = self.flights[*i].order.clone();
                let outcome = self.perform(&order);
                self.answer(*i, outcome);
            }
            Choice::Refuse(i) => {
                self.faults -= 1;
                let refusal = Refusal { class: RefusalClass::Transient, message: "ServiceUnavailable".into() };
                self.answer(*i, Outcome::Refused(refusal));
            }
            Choice::Lose(i) => {
                self.faults -= 1;
                self.answer(*i, Outcome::Unknown);
            }
            Choice::Forget(i) => {
                self.faults -= 1;
                let order = self.flights[*i].order.clone();
                let _ = self.perform(&order);
                self.answer(*i, Outcome::Unknown);
            }
            Choice::Late(i) => {
                self.faults -= 1;
                let Flight { order, sent, print, .. } = self.flights[*i].clone();
                self.ghosts.push(Ghost { order, until: sent + self.settings.call_deadline, print, former: false });
                self.answer(*i, Outcome::Unknown);
            }
            Choice::Stale(choice, which) => {
                self.faults -= 1;
                self.stale = Some(*which);
                self.take(choice, script);
                self.stale = None;
                return;
            }
            Choice::Strike(i) => {
                let ghost = self.ghosts.remove(*i);
                self.haunted |= ghost.former;
                let _ = self.perform(&ghost.order);
                if self.cluster.changes.is_empty() {
                    // The leader sees nothing of it.
                    return;
                }
            }
            Choice::Depose(coming) => {
                self.leaders -= 1;
                self.haunted = true;
                return self.depose(*coming);
            }
            Choice::Lead => self.lead(),
            Choice::Script => {
                script[self.script](self.cluster());
                self.script += 1;
            }
            Choice::Pass => return self.pass(),
        }
        self.settle();
    }

    pub fn describe(&self, choice: &Choice) -> String {
        let of = |i: &usize| self.flights.get(*i).map_or_else(String::new, |f| short(&f.order));
        let text = match choice {
            Choice::Answer(i) | Choice::Refuse(i) | Choice::Lose(i) | Choice::Late(i) | Choice::Forget(i) => of(i),
            Choice::Strike(i) => self.ghosts.get(*i).map_or_else(String::new, |g| short(&g.order)),
            Choice::Stale(choice, which) => return format!("{} and read {which} is stale", self.describe(choice)),
            _ => String::new(),
        };
        format!("{:>9} {choice:?} {text}", self.now)
    }
}

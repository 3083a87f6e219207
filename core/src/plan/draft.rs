//! A part of the plan under construction.

use super::{KubeWrite, Lane, Order, Part, PartKey, Step, StepKey, Urgency, View};
use crate::aws::AwsCall;
use crate::observed::Scope;
use crate::time::Mono;

/// A part under construction.
pub(crate) struct Draft<'a> {
    pub(crate) view: View<'a>,
    key: PartKey,
    pub(crate) part: Part,
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: View<'a>, key: PartKey) -> Draft<'a> {
        Draft { view, key, part: Part::default() }
    }

    pub(crate) fn now(&self) -> Mono {
        self.view.now.mono
    }

    /// Adds a step.
    pub(crate) fn step(
        &mut self,
        what: impl Into<String>,
        lane: Lane,
        scopes: Vec<Scope>,
        order: Order,
        urgency: Urgency,
    ) {
        let key = StepKey { part: self.key.clone(), what: what.into() };
        self.part.steps.push(Step { key, lane, scopes, order, urgency });
    }

    /// Adds a look at what is known already. Under a load that never ends tokens are never plenty: from `late` on it
    /// goes out like any other step.
    pub(crate) fn audit(&mut self, what: impl Into<String>, region: &str, scope: Scope, call: AwsCall, late: Mono) {
        let urgency = if self.now() < late {
            self.wake(late);
            Urgency::Audit
        } else {
            Urgency::Awaited
        };
        self.look(what.into(), region, scope, call, urgency);
    }

    fn look(&mut self, what: String, region: &str, scope: Scope, call: AwsCall, urgency: Urgency) {
        let order = Order::Aws { region: region.to_owned(), call };
        self.step(what, lane(&scope), vec![scope], order, urgency);
    }

    /// Adds a call on one scope.
    pub(crate) fn call(&mut self, what: impl Into<String>, region: &str, scope: Scope, call: AwsCall) {
        if call.is_destructive() {
            // Calls of a former leader may still take effect; what they touch must not be judged before.
            let from = self.view.memory.started.plus(self.view.settings.call_deadline);
            if self.now() < from {
                self.wake(from);
                self.wait("a former leader's calls to end");
                return;
            }
        }
        let order = Order::Aws { region: region.to_owned(), call };
        self.step(what, Lane::Scope(scope.clone()), vec![scope], order, Urgency::Awaited);
    }

    /// Adds a write to Kubernetes.
    pub(crate) fn kube(&mut self, object: impl Into<String>, write: KubeWrite) {
        let object = object.into();
        self.step(object.clone(), Lane::Object(object), Vec::new(), Order::Kube(write), Urgency::Awaited);
    }

    /// Looks again at this time.
    pub(crate) fn wake(&mut self, at: Mono) {
        self.part.wake = Some(self.part.wake.map_or(at, |w| w.min(at)));
    }

    /// Says what is waited for.
    pub(crate) fn wait(&mut self, what: impl Into<String>) {
        self.part.waiting.push(what.into());
    }

    /// Says what is held back, and why.
    pub(crate) fn hold(&mut self, what: impl Into<String>) {
        self.part.held.push(what.into());
    }

    /// Makes sure that a scope is known; reads it when it is not, or when it is older than `max_age`.
    /// True if decisions may be made on it now.
    pub(crate) fn need(&mut self, scope: Scope, region: &str, call: AwsCall, max_age: u64) -> bool {
        let unknown = self.view.observed.unknown(&scope);
        let read = self.view.observed.read_at(&scope);
        // A former leader's last call may take effect after our first read: that read is made once more.
        let former = self.view.memory.started.plus(self.view.settings.call_deadline);
        let again = matches!(scope, Scope::Rules(_) | Scope::Zone(_) | Scope::Targets(_) | Scope::LoadBalancers(_))
            && read < former;
        let due = read.plus(max_age).min(if again { former } else { Mono(u64::MAX) });
        if !unknown && self.now() < due {
            self.wake(due);
            return true;
        }
        match self.view.observed.readable_from(&scope) {
            None => {}
            Some(from) if from > self.now() => self.wake(from),
            Some(_) => {
                let what = format!("read {scope}");
                if !unknown && max_age >= self.view.settings.audit_often {
                    self.audit(what, region, scope.clone(), call, due.plus(max_age));
                } else {
                    self.look(what, region, scope.clone(), call, Urgency::Awaited);
                }
            }
        }
        if unknown {
            self.wait(format!("{scope} to be read"));
        }
        !unknown
    }
}

/// The lane of a read.
fn lane(scope: &Scope) -> Lane {
    match scope {
        Scope::Records(zone, _) | Scope::Validation(zone, _) | Scope::Zone(zone) => Lane::Zone(zone.clone()),
        other => Lane::Scope(other.clone()),
    }
}

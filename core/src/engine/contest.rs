//! Overlapping claims are decided one after the other.
//!
//! Whether a host is free is judged by the claims that are known. One whose creation is under way is not known yet, and one
//! that is being set Held still reads as Pending; answers come in any order. So while a write about an overlapping claim
//! of another namespace is under way, or nobody can tell how it ended, no claim becomes Held. Then both are known, and
//! the older one wins, for this leader as for the next.

use gatehouse_crds::ClaimState;
use gatehouse_route::Host;

use super::{Engine, InFlight};
use crate::plan::{KubeWrite, Order, Step};
use crate::time::Mono;

impl Engine {
    /// Whether a step has to wait for what is under way about an overlapping claim.
    pub(super) fn contested(&self, step: &Step, now: Mono) -> bool {
        let Some((host, namespace)) = self.decides(&step.order) else { return false };
        if matches!(step.order, Order::Kube(KubeWrite::CreateClaim { .. })) {
            return false;
        }
        let overlaps = |(other, of): &(Host, String)| *of != namespace && (other.covers(&host) || host.covers(other));
        self.in_flight.values().filter_map(|flight| self.decides(&flight.order)).any(|other| overlaps(&other))
            || self.doubts.iter().any(|(other, until)| *until > now && overlaps(other))
    }

    /// Keeps in mind that the end of a write is not known. It may act until its deadline, and the watch shows it a while
    /// later.
    pub(super) fn doubt_claim(&mut self, now: Mono, flight: &InFlight) {
        self.doubts.retain(|_, until| *until > now);
        let Some(claim) = self.decides(&flight.order) else { return };
        let until = flight.sent.plus(self.settings.call_deadline).max(now).plus(self.settings.consistency_window);
        self.doubts.insert(claim, until);
        for step in &flight.steps {
            self.timers.insert((until, step.key.part.clone()));
        }
    }

    /// Host and namespace of the claim that an order makes, or sets Held.
    fn decides(&self, order: &Order) -> Option<(Host, String)> {
        let (host, namespace) = match order {
            Order::Kube(KubeWrite::CreateClaim { spec, .. }) => (&spec.host, &spec.namespace),
            Order::Kube(KubeWrite::ClaimStatus { name, .. }) => {
                let claim = self.world.claims.get(name).filter(|claim| claim.status.state != ClaimState::Held)?;
                (&claim.spec.host, &claim.spec.namespace)
            }
            _ => return None,
        };
        Some((Host::parse(host).ok()?, namespace.clone()))
    }
}

//! Records that go to another owner: `gatehouse release`. Taking over is part of publishing (`record.rs`).

use gatehouse_crds::RequestState;
use gatehouse_route::Host;

use crate::aws::{ChangeAction, Record, RecordChange, RecordData};
use crate::identity::claim_name;
use crate::marker;

use super::{Draft, owner, record, zones_for};

/// Gives the records of a host to another owner: our marker is replaced by theirs, in one batch per zone. What the
/// names lead to stays; the host is served on until its app goes.
pub(super) fn release(draft: &mut Draft<'_>, name: &str, host: &Host, to: &str) -> (RequestState, String) {
    let view = draft.view;
    let Some(lb) = view.world.load_balancers.get(name) else { return (RequestState::Refused, String::new()) };
    if to == view.settings.cluster_id.0 {
        return (RequestState::Refused, format!("owner: {to} is this installation; name the one that takes over"));
    }
    let claim = view.world.claims.get(&claim_name(host)).filter(|c| c.status.placement.contains_key(name));
    let Some(claim) = claim else {
        return (RequestState::Refused, format!("{host} is not published through {name}"));
    };
    let Some(zones) = zones_for(&view, host, name) else {
        return (RequestState::Working, "hosted zones are being listed".to_owned());
    };
    let mut left = 0;
    let mut given = 0;
    for zone in zones {
        let Some(records) = record::known(draft, &zone, host) else {
            left += 1;
            continue;
        };
        if !owner::is_ours(&view, &records) {
            given += usize::from(!records.at_host.is_empty());
            continue;
        }
        // Only what is known to be published here can be told from a stranger's record afterwards.
        if !claim.status.dns_changes.contains_key(&zone) {
            left += 1;
            continue;
        }
        left += 1;
        let ours = owner::ours(&view, &records);
        let form = owner::form(lb, to);
        let markers = marker::hand_over(host, &claim.spec.namespace, &form, &owner::families(&ours), record::TXT_TTL);
        let old = ours.into_iter().filter(|r| matches!(r.data, RecordData::Txt { .. }));
        let change = |action: ChangeAction, record: Record| RecordChange { action, record };
        let changes = old.map(|r| change(ChangeAction::Delete, r.clone()));
        let changes = changes.chain(markers.into_iter().map(|r| change(ChangeAction::Create, r)));
        record::change(draft, &zone, host, changes.collect());
    }
    match (left, given) {
        (0, 0) => (RequestState::Refused, format!("{host} has no records of ours")),
        (0, _) => (RequestState::Done, format!("the records of {host} are {to}'s; it is served until its app goes")),
        _ => (RequestState::Working, format!("the markers of {host} are being exchanged")),
    }
}

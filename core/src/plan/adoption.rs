//! Records that come from another owner, and go back to one.

use gatehouse_crds::RequestState;
use gatehouse_route::Host;

use super::Draft;

pub(super) fn release(_draft: &mut Draft<'_>, _name: &str, _host: &Host, _owner: &str) -> (RequestState, String) {
    (RequestState::Refused, String::new())
}

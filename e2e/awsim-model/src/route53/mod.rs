//! Route 53: zones, record sets, atomic batches, and the names they answer for.

mod batch;
pub(crate) mod name;
mod record;
mod zone;

pub(crate) use zone::{RecordKey, Records, Zone};

use crate::api::Millis;
use crate::table::Table;

/// Zones and changes by id, without `/hostedzone/` and `/change/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Route53 {
    pub(crate) zones: Table<Zone>,
    pub(crate) changes: Table<Change>,
}

/// A change that GetChange can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) submitted: Millis,
    pub(crate) in_sync: Millis,
    pub(crate) comment: Option<String>,
    /// The role of another account that asked for it.
    pub(crate) role: Option<String>,
}

//! A map from key to shared value that clones in constant time and copies only what changes afterwards.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

/// Copy-on-write `BTreeMap<String, Arc<T>>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Table<T>(Arc<BTreeMap<String, Arc<T>>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Table<T> {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        if !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).get_mut(key).map(Arc::make_mut)
    }

    pub(crate) fn insert(&mut self, key: String, value: T) {
        Arc::make_mut(&mut self.0).insert(key, Arc::new(value));
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        if !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).remove(key)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> btree_map::Iter<'_, String, Arc<T>> {
        self.0.iter()
    }

    pub(crate) fn values(&self) -> btree_map::Values<'_, String, Arc<T>> {
        self.0.values()
    }
}

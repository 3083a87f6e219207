//! The gatehouse.dev API types, and every key Gatehouse writes.

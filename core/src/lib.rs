//! Decides: review, claims, desired, observed, plan, engine. No I/O.

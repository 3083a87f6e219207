//! Field grammars, the route table, and nginx.conf as a function of it.

//! NetworkPolicy.

/// Runs the enforcer.
pub fn enforce() -> anyhow::Result<()> {
    loop {
        std::thread::park();
    }
}

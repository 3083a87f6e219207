//! Ten thousand apps below domains that are kept ready: the cluster's side alone.

use std::time::Duration;

use anyhow::Result;

use crate::apps::progress;
use crate::calls;
use crate::figure::Figure;
use crate::inside::now;
use crate::stand::{Stand, app, team};
use crate::thousand::memory;

const APPS: usize = 10_000;
const NAMESPACES: usize = 50;

/// How long the apps may take to be ready; what is not by then is told.
const PATIENCE: f64 = 600_000.0;

/// The part.
pub fn ten_thousand() -> Result<Vec<Figure>> {
    let mut stand = Stand::up("bench-ten-thousand")?;
    stand.load_balancer(4)?;
    stand.teams(0..NAMESPACES, true)?;
    let operator = stand.operator()?;
    let first: Vec<_> = (0..NAMESPACES).map(|n| (team(n), "first".to_owned())).collect();
    stand.apps_ready(&first, Duration::from_secs(240))?;
    stand.quiet(Duration::from_secs(6))?;
    let before = stand.last_call()?;
    let began = now();
    for batch in 0..10 {
        progress("ten-thousand", "apps are applied, batches", batch, 10);
        let of = batch * APPS / 10..(batch + 1) * APPS / 10;
        stand.inside.create(of.map(|n| app(&team(n % NAMESPACES), &format!("app-{n}"))).collect())?;
    }
    let written = (now() - began) / 1000.0;
    let mut told = now();
    let (ready, last) = loop {
        let (ready, last) = stand.inside.ready("app-");
        if ready >= APPS || now() - began > PATIENCE {
            break (ready, last);
        }
        if now() - told > 20_000.0 {
            told = now();
            eprintln!("  ten-thousand: {ready} of {APPS} ready after {:.0} s", (now() - began) / 1000.0);
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    let calls = stand.calls(before)?;
    // Rules and hosts of AWS stay those of the domains: the apps add none.
    let (mut scene, _) = stand.scene()?;
    scene.hosts += ready + NAMESPACES;
    let mut out = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let (done, made) = (ready as f64, calls.len() as f64);
    let took = if ready == APPS { (last - began) / 1000.0 } else { f64::NAN };
    out.push(Figure::one(
        format!("apps of {APPS} that are ready within {:.0} s", PATIENCE / 1000.0),
        "apps",
        scene,
        done,
    ));
    out.push(
        Figure::one("all applied -> the last of them Ready", "s", scene, took)
            .note(format!("all were written to the API server after {written:.1} s")),
    );
    out.push(Figure::one("AWS calls meanwhile", "calls", scene, made).floor(0.0).note(calls::by_action(&calls)));
    std::thread::sleep(Duration::from_secs(5));
    memory(&operator, &format!("{APPS} apps under prewired domains"), 120.0, scene, &mut out)?;
    operator.terminate();
    stand.down()?;
    Ok(out)
}

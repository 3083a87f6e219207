//! A thousand apps at once; and with a thousand present what one more costs, who takes over, and how much memory the
//! leader has.

use std::time::Duration;

use anyhow::{Context as _, Result};
use scenarios::bench::Operator;
use serde_json::json;

use crate::apps::{FEW, figures, one_more, progress};
use crate::calls::{self, Call};
use crate::figure::{Figure, Scene};
use crate::inside::now;
use crate::stand::{PATIENCE, Stand, app, host, team};

const APPS: usize = 1_000;
const NAMESPACES: usize = 100;
const SHARDS: usize = 11;

/// How long they may take: a quarter more than the floor, and so more than the target. What is not ready then is told.
const AT_ONCE: f64 = 450_000.0;

/// Leaders that are ended in each way.
const LEADERS: usize = 3;

const RULES: &str = "rules-per-application-load-balancer";

/// A thousand apps at once with AWS's default quotas, on eleven empty shards.
pub fn thousand() -> Result<Vec<Figure>> {
    let mut stand = Stand::up("bench-thousand")?;
    let mut out = Vec::new();
    let operator = shards_standing(&mut stand)?;
    at_once(&stand, &format!("{SHARDS} shards standing, 12 allowed, default quotas"), &mut out)?;
    operator.terminate();
    stand.down()?;
    Ok(out)
}

/// With a thousand apps present; the account's quotas are raised so that one load balancer holds them.
pub fn present() -> Result<Vec<Figure>> {
    let mut stand = Stand::up("bench-present")?;
    stand.quotas(&json!({ RULES: 1_200, "target-groups-per-application-load-balancer": 200 }))?;
    stand.load_balancer(1)?;
    stand.teams(0..NAMESPACES, false)?;
    let operator = stand.operator()?;
    stand.apps_ready(&[(team(0), "first".to_owned())], PATIENCE)?;
    stand.quiet(Duration::from_secs(8))?;
    let mut out = Vec::new();
    let scene = at_once(&stand, "one shard, quota of 1,200 rules", &mut out)?;
    stand.quiet(Duration::from_secs(8))?;
    memory(&operator, &format!("{APPS} apps"), 40.0, scene, &mut out)?;
    let mut samples = Vec::new();
    for n in 0..FEW {
        progress("present", "one more", n, FEW);
        samples.push(one_more(&stand, &team(5 * n), &format!("more-{n}"))?);
    }
    out.extend(figures(APPS, scene, &samples));
    let (killed, operator) = leaders(&mut stand, operator, "killed", Operator::kill)?;
    let (stopped, operator) = leaders(&mut stand, operator, "stopped", Operator::terminate)?;
    out.push(
        Figure::of("leader killed: first AWS write for a new app", "s", scene, &killed)
            .target(15.0)
            .floor(10.0)
            .note("from kill -9 and applying the app to its CreateRule; floor: the default lease of 10 s"),
    );
    out.push(
        Figure::of("leader stopped by SIGTERM: first AWS write for a new app", "s", scene, &stopped)
            .target(2.0)
            .floor(0.0),
    );
    operator.terminate();
    stand.down()?;
    Ok(out)
}

/// Opens eleven shards by a small quota, empties them, and leaves them to a new leader with the default quota: an empty
/// shard stands for an hour.
fn shards_standing(stand: &mut Stand) -> Result<Operator> {
    // Of three rules one is kept spare.
    stand.quotas(&json!({ RULES: 3 }))?;
    stand.load_balancer(SHARDS + 1)?;
    stand.teams(0..NAMESPACES, false)?;
    let operator = stand.operator()?;
    let seeds: Vec<_> = (0..2 * SHARDS).map(|n| (team(n), "seed".to_owned())).collect();
    eprintln!("  thousand: {SHARDS} shards are opened");
    // One by one: several at the same moment may be placed on a shard that has room for one, and then wait there.
    for seed in &seeds {
        stand.apps_ready(std::slice::from_ref(seed), PATIENCE)?;
    }
    stand.apps_gone(&seeds, Duration::from_secs(240))?;
    stand.quiet(Duration::from_secs(8))?;
    operator.terminate();
    stand.quotas(&json!({ RULES: 100 }))?;
    let operator = stand.operator()?;
    // It leads when it has read; then every bucket fills.
    let before = stand.last_call()?;
    stand.lab.wait("the operator to read AWS", PATIENCE, || Ok(stand.last_call()? > before))?;
    stand.quiet(Duration::from_secs(10))?;
    let (scene, _) = stand.scene()?;
    anyhow::ensure!(scene.shards == SHARDS && scene.hosts == 0, "{scene:?} instead of {SHARDS} empty shards");
    Ok(operator)
}

/// Applies all apps at once and waits for them; the scene is what stands then.
fn at_once(stand: &Stand, place: &str, out: &mut Vec<Figure>) -> Result<Scene> {
    let before = stand.last_call()?;
    let apps = (0..APPS).map(|n| app(&team(n % NAMESPACES), &format!("app-{n}")));
    let applied = stand.inside.create(apps.collect())?;
    let written = now() - applied;
    let mut told = now();
    let (ready, last) = loop {
        let (ready, last) = stand.inside.ready("app-");
        if ready >= APPS || now() - applied > AT_ONCE {
            break (ready, last);
        }
        if now() - told > 20_000.0 {
            told = now();
            eprintln!("  {place}: {ready} of {APPS} ready after {:.0} s", (now() - applied) / 1000.0);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let mut calls = stand.calls(before)?;
    calls.retain(|c| c.arrived() >= applied && c.time <= last);
    let refused: Vec<&Call> = calls.iter().filter(|c| c.refused()).collect();
    let (scene, rules) = stand.scene()?;
    let least = least();
    let made = calls::floors(&calls);
    let slowest = made.first().context("no call was made")?;
    let by_bucket: Vec<String> =
        made.iter().map(|f| format!("{} {:.0} tokens {:.0} s", f.family, f.tokens, f.seconds)).collect();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let done = ready as f64;
    let took = if ready == APPS { (last - applied) / 1000.0 } else { f64::NAN };
    out.push(
        Figure::one(
            format!("apps of {APPS} that are ready within {:.0} s: {place}", AT_ONCE / 1000.0),
            "apps",
            scene,
            done,
        )
        .note(format!("{rules} rules and {} target groups at the end", scene.namespaces)),
    );
    out.push(Figure::one(format!("{APPS} apps at once: {place}"), "s", scene, took).floor(least).note(format!(
        "floor: a rule per app and a target group per namespace out of a full bucket. The calls made: {}; what the \
             buckets, full at first, need for them: {}. All apps were written to the API server after {:.1} s",
        calls::by_action(&calls),
        by_bucket.join(", "),
        written / 1000.0
    )));
    out.push(
        Figure::one(format!("the same over what the buckets alone allow: {place}"), "x", scene, took / least)
            .target(1.2)
            .floor(1.0),
    );
    out.push(
        Figure::one(
            format!("time over what the buckets allow for the calls made: {place}"),
            "x",
            scene,
            (last - applied) / 1000.0 / slowest.seconds,
        )
        .floor(1.0),
    );
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let count = refused.len() as f64;
    let note = if refused.is_empty() { String::new() } else { calls::by_action(refused.iter().copied()) };
    out.push(Figure::one(format!("calls that AWS refused: {place}"), "calls", scene, count).floor(0.0).note(note));
    Ok(scene)
}

/// Seconds that the bucket of rules and target groups needs for what cannot be done without.
fn least() -> f64 {
    let bucket = calls::BUCKETS.iter().find(|(family, ..)| *family == "elbv2Create");
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let needed = (APPS + NAMESPACES) as f64;
    bucket.map_or(f64::NAN, |(_, burst, rate)| (needed - f64::from(*burst)) / f64::from(*rate))
}

/// Ends leaders, each with a stand-by beside it, and waits for the first write for an app that is applied at that
/// moment; gives the times in seconds, and who leads now.
fn leaders(stand: &mut Stand, first: Operator, how: &str, end: fn(Operator)) -> Result<(Vec<f64>, Operator)> {
    let mut leader = first;
    let mut times = Vec::new();
    for n in 0..LEADERS {
        eprintln!("  present: leader {how}, {n} of {LEADERS}");
        let next = stand.operator()?;
        // Long enough for the stand-by to have seen the lease.
        std::thread::sleep(Duration::from_secs(5));
        stand.quiet(Duration::from_secs(6))?;
        let (ns, name) = (team(7 + n), format!("{how}-{n}"));
        let before = stand.last_call()?;
        let began = now();
        std::thread::scope(|scope| -> Result<()> {
            // SIGTERM is answered when the last call has ended: the app comes meanwhile.
            let ended = scope.spawn(|| end(leader));
            stand.inside.create(vec![app(&ns, &name)])?;
            stand.inside.when(&ns, &name, "Ready", PATIENCE)?;
            ended.join().map_err(|_| anyhow::anyhow!("the leader's end"))
        })?;
        let host = host(&ns, &name);
        let calls = stand.calls(before)?;
        let rule = calls.iter().find(|c| c.action == "CreateRule" && c.names(&host)).context("no rule")?;
        times.push((rule.arrived() - began) / 1000.0);
        leader = next;
    }
    Ok((times, leader))
}

/// The leader's memory now, and the most it ever had.
pub fn memory(operator: &Operator, at: &str, target: f64, scene: Scene, out: &mut Vec<Figure>) -> Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid()))?;
    let of = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|l| l.strip_prefix(key)).with_context(|| format!("no {key}"))?;
        let kib: f64 = line.trim_start_matches(':').trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    };
    let name = status.lines().next().unwrap_or_default();
    anyhow::ensure!(name.contains("gatehouse-opera"), "the process is not the operator: {name}");
    out.push(Figure::one(format!("memory of the leader (RSS), {at}"), "MB", scene, of("VmRSS")?).target(target));
    out.push(Figure::one(format!("the most it ever had, {at}"), "MB", scene, of("VmHWM")?));
    Ok(())
}

//! One app more: how soon, with which calls, whoever else is there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::calls::{self, Call};
use crate::figure::{Figure, Scene};
use crate::inside::now;
use crate::stand::{LATENCY, PATIENCE, RULE_BATCH, Stand, app, app_with, host, team};

/// Repetitions where each costs a write or two: of twenty, the worst is told as p99.
pub const FEW: usize = 20;

/// Repetitions where they cost no token.
const MANY: usize = 100;

/// The account gives three tokens a second for rules: an app and its deletion take two. Faster, a bench would measure
/// its own queue.
const PACE: Duration = Duration::from_millis(900);

/// What one more app took, in milliseconds from applying it.
#[derive(Clone, Debug)]
pub struct Sample {
    first_call: f64,
    rule: f64,
    record_after_rule: f64,
    programmed: f64,
    answered: f64,
    ready: f64,
    writes: f64,
    reads_before: f64,
    polls: f64,
    deleted: f64,
    delete_calls: f64,
    delete_polls: f64,
    calls: Vec<Call>,
    delete: Vec<Call>,
}

/// Applies an app in a namespace that has an edge, waits for it, deletes it, and looks at the calls of both.
pub fn one_more(stand: &Stand, namespace: &str, name: &str) -> Result<Sample> {
    let began = now();
    let host = host(namespace, name);
    let before = stand.last_call()?;
    let applied = stand.inside.create(vec![app(namespace, name)])?;
    let answered = stand.inside.first_answer(&host, stand.lab.folder.join("ca.pem"), PATIENCE)?;
    let programmed = stand.inside.when(namespace, name, "Programmed", PATIENCE)?;
    let ready = stand.inside.when(namespace, name, "Ready", PATIENCE)?;
    std::thread::sleep(Duration::from_millis(150));
    let calls = stand.calls(before)?;
    let at = |action: &str| {
        let mut found = calls.iter().filter(|c| c.action == action && c.outcome == "ok");
        found.find(|c| c.names(&host)).map(|c| c.time).with_context(|| format!("{host} got no {action}"))
    };
    let (rule, record) = (at("CreateRule")?, at("ChangeResourceRecordSets")?);
    // The data plane takes a rule with the next batch.
    let live = (rule / RULE_BATCH).ceil() * RULE_BATCH;
    let since = calls.last().map_or(before, |c| c.seq);
    let asked = stand.inside.delete(namespace, name)?;
    stand.inside.gone(namespace, name, PATIENCE)?;
    std::thread::sleep(Duration::from_millis(150));
    let delete = stand.calls(since)?;
    let last = delete.iter().filter(|c| !c.reads()).map(|c| c.time).fold(f64::NAN, f64::max);
    let pace = PACE.as_secs_f64() * 1000.0 - (now() - began);
    std::thread::sleep(Duration::from_secs_f64(pace.max(0.0) / 1000.0));
    Ok(Sample {
        first_call: calls.iter().map(Call::arrived).fold(f64::NAN, f64::min) - applied,
        rule: rule - applied,
        record_after_rule: record - live,
        programmed: programmed - applied,
        answered: answered - applied,
        ready: ready - applied,
        writes: count(calls.iter().filter(|c| !c.reads() && c.time <= record)),
        reads_before: count(calls.iter().filter(|c| c.reads() && !c.polls() && c.time <= record)),
        polls: count(calls.iter().filter(|c| c.polls())),
        deleted: last - asked,
        delete_calls: count(delete.iter().filter(|c| !c.polls())),
        delete_polls: count(delete.iter().filter(|c| c.polls())),
        calls,
        delete,
    })
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn count<'a>(calls: impl Iterator<Item = &'a Call>) -> f64 {
    calls.count() as f64
}

/// The figures of such samples, at so many apps present.
pub fn figures(present: usize, scene: Scene, samples: &[Sample]) -> Vec<Figure> {
    let of = |what: &str, unit: &str, value: fn(&Sample) -> f64| {
        let values: Vec<f64> = samples.iter().map(value).collect();
        Figure::of(format!("{what}, {present} apps present"), unit, scene, &values)
    };
    #[expect(clippy::cast_precision_loss, reason = "30")]
    let call = LATENCY as f64;
    let made = |calls: fn(&Sample) -> &Vec<Call>| {
        let mut all: Vec<&Vec<Call>> = samples.iter().map(calls).collect();
        all.sort_by_key(|calls| calls.len());
        let of = |calls: Option<&&Vec<Call>>| calls.map(|calls| calls::by_action(calls.iter())).unwrap_or_default();
        format!("the median one: {}; the one with most: {}", of(all.get(all.len() / 2)), of(all.last()))
    };
    vec![
        of("apply -> first AWS call", "ms", |s| s.first_call).target(100.0).floor(0.0),
        of("apply -> rule exists", "ms", |s| s.rule).target(200.0).floor(call).note("floor: the latency of CreateRule"),
        of("rule live -> record written", "ms", |s| s.record_after_rule).target(200.0).floor(call).note(
            "a rule is live at the simulator's batch after CreateRule; floor: the latency of ChangeResourceRecordSets",
        ),
        of("apply -> Programmed", "ms", |s| s.programmed),
        of("apply -> first 200 by its name", "ms", |s| s.answered)
            .floor(190.0)
            .note("floor: rule 30 and its batch up to 50, record 30 and INSYNC 50, TLS and the edge about 30"),
        of("apply -> Ready", "ms", |s| s.ready).note("Ready is told after INSYNC, which is asked for after a second"),
        of("AWS writes", "calls", |s| s.writes).target(2.0).floor(2.0).note(made(|s| &s.calls)),
        of("AWS reads before publishing", "calls", |s| s.reads_before).target(3.0).floor(0.0),
        of("INSYNC polls", "calls", |s| s.polls),
        of("delete -> last call accepted", "ms", |s| s.deleted)
            .target(500.0)
            .floor(2.0 * call)
            .note("floor: the record goes before the rule, two calls one after the other"),
        of("AWS calls of a delete", "calls", |s| s.delete_calls).target(4.0).floor(2.0).note(made(|s| &s.delete)),
        of("INSYNC polls of a delete", "calls", |s| s.delete_polls),
    ]
}

/// One more app at 1, 90 and 100 apps; at 1,000 it is part of `present`. Ninety leave room on their load balancer, a
/// hundred have all its rules.
pub fn one_more_app() -> Result<Vec<Figure>> {
    let mut stand = Stand::up("bench-one-more")?;
    stand.load_balancer(4)?;
    stand.teams(0..10, false)?;
    let operator = stand.operator()?;
    let mut figures = Vec::new();
    let mut there = 0;
    for present in [1, 90, 100] {
        let apps: Vec<_> = (there..present).map(|n| (team(n % 10), format!("app-{n}"))).collect();
        there = present;
        stand.apps_ready(&apps, Duration::from_secs(240))?;
        // A new leader reads again after its first ten seconds; that is no call of the app measured.
        stand.quiet(Duration::from_secs(11))?;
        let namespaces = present.min(10);
        let (scene, _) = stand.scene()?;
        let mut samples = Vec::new();
        for n in 0..FEW {
            progress("one-more-app", &format!("{present} present"), n, FEW);
            samples.push(one_more(&stand, &team(n % namespaces), &format!("more-{present}-{n}"))?);
        }
        figures.extend(self::figures(present, scene, &samples));
    }
    operator.terminate();
    stand.down()?;
    Ok(figures)
}

/// From applying an app until a client gets 200 by its name; then it goes.
fn first_answer(stand: &Stand, namespace: &str, name: &str) -> Result<f64> {
    let applied = stand.inside.create(vec![app(namespace, name)])?;
    let ca = stand.lab.folder.join("ca.pem");
    let answered = stand.inside.first_answer(&host(namespace, name), ca, PATIENCE)?;
    stand.inside.when(namespace, name, "Ready", PATIENCE)?;
    stand.apps_gone(&[(namespace.to_owned(), name.to_owned())], PATIENCE)?;
    Ok(answered - applied)
}

/// New names below a domain that is kept ready.
pub fn prewired() -> Result<Vec<Figure>> {
    let mut stand = Stand::up("bench-prewired")?;
    stand.load_balancer(4)?;
    stand.teams(0..10, true)?;
    let operator = stand.operator()?;
    // A domain is ready when a first name below it is.
    let first: Vec<_> = (0..10).map(|n| (team(n), "first".to_owned())).collect();
    stand.apps_ready(&first, Duration::from_secs(120))?;
    stand.quiet(Duration::from_secs(6))?;
    let (scene, _) = stand.scene()?;
    let (mut programmed, mut ready, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    let before = stand.last_call()?;
    for n in 0..MANY {
        progress("prewired", "apps", n, MANY);
        let (ns, name) = (team(n % 10), format!("app-{n}"));
        let applied = stand.inside.create(vec![app(&ns, &name)])?;
        programmed.push(stand.inside.when(&ns, &name, "Programmed", PATIENCE)? - applied);
        ready.push(stand.inside.when(&ns, &name, "Ready", PATIENCE)? - applied);
    }
    for n in 0..MANY / 2 {
        progress("prewired", "requests", n, MANY / 2);
        answered.push(first_answer(&stand, &team(n % 10), &format!("asked-{n}"))?);
    }
    let calls = stand.calls(before)?;
    operator.terminate();
    stand.down()?;
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let per_app = calls.len() as f64 / (MANY + MANY / 2) as f64;
    let made =
        format!("{MANY} apps, and {} that were deleted again; all calls: {}", MANY / 2, calls::by_action(&calls));
    Ok(vec![
        Figure::one("AWS calls per app below a prewired domain", "calls", scene, per_app)
            .target(0.0)
            .floor(0.0)
            .note(made),
        Figure::of("apply -> Programmed, prewired", "ms", scene, &programmed),
        Figure::of("apply -> Ready, prewired", "ms", scene, &ready),
        Figure::of("apply -> first 200, prewired: median", "ms", scene, &answered).median().target(1000.0).floor(0.0),
        Figure::of("apply -> first 200, prewired: 99th percentile", "ms", scene, &answered)
            .target(2000.0)
            .floor(0.0)
            .note("no AWS call is on the way; with a kubelet and nginx add what `make demo` shows"),
    ])
}

/// The others' times with and without apps that cannot be published.
pub fn neighbour() -> Result<Vec<Figure>> {
    const BAD: usize = 10;
    let mut stand = Stand::up("bench-neighbour")?;
    stand.load_balancer(4)?;
    stand.teams(0..5, false)?;
    let operator = stand.operator()?;
    let apps: Vec<_> = (0..20).map(|n| (team(n % 5), format!("app-{n}"))).collect();
    stand.apps_ready(&apps, Duration::from_secs(120))?;
    stand.quiet(Duration::from_secs(6))?;
    let (scene, _) = stand.scene()?;
    let (mut calm, mut beside) = (Vec::new(), Vec::new());
    // By turns, so that what else the machine does falls on both.
    for round in 0..4 {
        let bad: Vec<_> = (0..BAD).map(|n| (team(n % 5), format!("bad-{round}-{n}"))).collect();
        let times = if round % 2 == 1 {
            let object = |(n, (ns, name)): (usize, &(String, String))| match n % 2 {
                0 => app_with(ns, name, &host(ns, name), "nobody"),
                _ => app_with(ns, name, &format!("{name}.x.{ns}.example.com"), "web"),
            };
            stand.inside.create(bad.iter().enumerate().map(object).collect())?;
            std::thread::sleep(Duration::from_secs(5));
            &mut beside
        } else {
            &mut calm
        };
        for n in 0..FEW {
            progress("neighbour", &format!("round {round}"), n, FEW);
            times.push(one_more(&stand, &team(n % 5), &format!("more-{round}-{n}"))?.programmed);
        }
        if round % 2 == 1 {
            stand.apps_gone(&bad, PATIENCE)?;
            stand.quiet(Duration::from_secs(6))?;
        }
    }
    operator.terminate();
    stand.down()?;
    let calm = Figure::of("apply -> Programmed, without", "ms", scene, &calm);
    let beside = Figure::of("apply -> Programmed, beside bad neighbours", "ms", scene, &beside)
        .note(format!("{BAD} bad apps in the same namespaces: half without Service, half without certificate"));
    let difference = beside.p99 - calm.p99;
    Ok(vec![
        calm,
        beside,
        Figure::one("difference of the 99th percentiles", "ms", scene, difference).target(50.0).floor(0.0),
    ])
}

/// Apps beyond what the quota of rules allows.
pub fn quota() -> Result<Vec<Figure>> {
    /// Rules of the account per load balancer; one is kept spare.
    const RULES: usize = 6;
    let mut stand = Stand::up("bench-quota")?;
    stand.quotas(&json!({ "rules-per-application-load-balancer": RULES }))?;
    stand.load_balancer(2)?;
    stand.teams(0..2 * RULES, false)?;
    let operator = stand.operator()?;
    let full: Vec<_> = (0..RULES - 1).map(|n| (team(n), "app".to_owned())).collect();
    stand.apps_ready(&full, Duration::from_secs(120))?;
    stand.quiet(Duration::from_secs(6))?;
    let before = stand.last_call()?;
    let (ns, name) = (team(RULES - 1), "app");
    let applied = stand.inside.create(vec![app(&ns, name)])?;
    let ready = stand.inside.when(&ns, name, "Ready", PATIENCE)? - applied;
    stand.quiet(Duration::from_secs(6))?;
    let next = stand.calls(before)?;
    let (scene, _) = stand.scene()?;
    // And beyond both shards: nothing can be done, so nothing is called.
    let rest: Vec<_> = (RULES..2 * (RULES - 1)).map(|n| (team(n), "app".to_owned())).collect();
    stand.apps_ready(&rest, Duration::from_secs(120))?;
    stand.quiet(Duration::from_secs(6))?;
    let before = stand.last_call()?;
    stand.inside.create(vec![app(&team(2 * RULES - 1), "app")])?;
    std::thread::sleep(Duration::from_secs(60));
    let beyond = stand.calls(before)?;
    let all = stand.calls(0)?;
    operator.terminate();
    let (last, _) = stand.scene()?;
    stand.down()?;
    anyhow::ensure!(scene.shards == 2 && last.shards == 2, "{} and {} shards instead of 2", scene.shards, last.shards);
    let refused: Vec<&Call> = all.iter().filter(|c| c.refused()).collect();
    Ok(vec![
        Figure::one("app beyond the rules of a shard: apply -> Ready on the next", "ms", scene, ready)
            .note(format!("a quota of {RULES} rules; the shard is opened for it: {}", calls::by_action(&next))),
        Figure::one("calls that AWS refused, in the whole part", "calls", last, count(refused.iter().copied()))
            .target(0.0)
            .floor(0.0)
            .note(if refused.is_empty() { String::new() } else { calls::by_action(refused.iter().copied()) }),
        Figure::one("app beyond all shards: AWS calls in the next minute", "calls", last, count(beyond.iter()))
            .target(0.0)
            .floor(0.0)
            .note(calls::by_action(&beyond)),
    ])
}

/// Where a part stands, for who waits.
pub fn progress(part: &str, what: &str, n: usize, of: usize) {
    if n.is_multiple_of(10) {
        eprintln!("  {part}: {what}, {n} of {of}");
    }
}

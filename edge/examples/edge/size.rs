//! Memory and reloads by number of hosts.

use std::time::Instant;

use gatehouse_route::render;
use serde_json::Value;

use crate::nginx::{Nginx, memory, served, until, workers};
use crate::{figure, tables};

const SIZES: [usize; 4] = [1, 50, 500, 5_000];
const RELOADS: usize = 5;

#[expect(clippy::cast_precision_loss, reason = "far below")]
pub fn measure() -> Vec<Value> {
    let mut out = Vec::new();
    for hosts in SIZES {
        let table = tables::table(hosts, 0);
        let began = Instant::now();
        let conf = render(&table);
        let rendered = began.elapsed().as_secs_f64() * 1000.0;
        let nginx = Nginx::start(&format!("size-{hosts}"), &conf);
        until("the first table", || served().is_some_and(|hash| hash == table.hash()));
        let fresh = memory(nginx.pid()) as f64 / 1e6;
        let (mut tests, mut reloads) = (Vec::new(), Vec::new());
        for version in 1..=RELOADS {
            let table = tables::table(hosts, version);
            tests.push(nginx.test(&render(&table)) * 1000.0);
            let hash = table.hash();
            let old = workers(nginx.pid());
            let began = Instant::now();
            nginx.reload();
            until("the new table, and no old worker", || {
                served().is_some_and(|served| served == hash)
                    && workers(nginx.pid()).iter().all(|pid| !old.contains(pid))
            });
            reloads.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let after = memory(nginx.pid()) as f64 / 1e6;
        let json = table.to_json().len() as f64 / 1e6;
        let note = |mut figure: Value, note: String| {
            figure["note"] = note.into();
            figure
        };
        out.push(note(
            figure(format!("nginx's memory (PSS of master and worker), {hosts} hosts"), "MB", hosts, fresh),
            format!(
                "after {RELOADS} reloads {after:.1} MB; nginx.conf {:.3} MB, the table's JSON {json:.3} MB",
                conf.len() as f64 / 1e6
            ),
        ));
        out.push(figure(format!("render, {hosts} hosts"), "ms", hosts, rendered));
        out.push(figure(format!("nginx -t (median of {RELOADS}), {hosts} hosts"), "ms", hosts, median(&mut tests)));
        out.push(note(
            figure(
                format!("HUP -> new worker answers and the old one is gone (median), {hosts} hosts"),
                "ms",
                hosts,
                median(&mut reloads),
            ),
            "without connections that the old worker would have to keep".to_owned(),
        ));
    }
    out
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

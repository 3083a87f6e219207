//! Flags, seed files, and the greeting.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use awsim_model::{Aws, HealthSource, Policy, Settings};
use clap::{Parser, ValueEnum};
use serde_json::Value;

use crate::Options;

/// AWS as far as shared load balancers need it: ELBv2, Route 53, ACM, STS and tags, on one port.
///
/// Every AWS SDK works with `endpoint_url` (or AWS_ENDPOINT_URL) set to the address of `--listen`. The access key id
/// of a request is its caller; signatures are NOT verified, any secret will do. State is kept in memory.
///
/// Without `--seed` there is a VPC with two subnets in eu-central-1, a public zone example.com and an issued
/// certificate for example.com and *.example.com; what there is, is printed at start.
///
/// A control API for tests stands under /_awsim/: health, calls, faults, clock, state, quotas, availability,
/// permissions.
#[derive(Debug, Parser)]
#[command(name = "awsim", version, max_term_width = 110)]
pub struct Args {
    /// Address of the AWS endpoint and the control API; port 0 takes a free one
    #[arg(long, env = "AWSIM_LISTEN", default_value = "127.0.0.1:4566", value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// How slow AWS is: `fast` has every wait but none longer than a moment, `real` has AWS's own waits and throttling
    #[arg(long, env = "AWSIM_PROFILE", value_enum, default_value_t = Profile::Fast)]
    profile: Profile,

    /// YAML that replaces parts of the settings: account, region, network, zones, certificates, quotas, delays, buckets
    /// (GET /_awsim/state shows all of them under `settings`)
    #[arg(long, env = "AWSIM_SEED", value_name = "FILE")]
    seed: Option<PathBuf>,

    /// Answer DNS for the hosted zones and for load balancers' own names here, over UDP and TCP
    #[arg(long, env = "AWSIM_DNS", value_name = "ADDR:PORT")]
    dns: Option<SocketAddr>,

    /// DNS answers from private zones too, as inside the VPC
    #[arg(long, env = "AWSIM_PRIVATE_ZONES")]
    private_zones: bool,

    /// `on` makes load balancers listen on addresses of their subnets and check their targets; the addresses must be
    /// local to the machine or network namespace. `off` turns targets healthy by themselves
    #[arg(long, env = "AWSIM_DATA_PLANE", value_enum, default_value_t = Switch::Off)]
    data_plane: Switch,

    /// Time that every AWS call takes at least: 30ms, 2s
    #[arg(long, env = "AWSIM_CALL_LATENCY", value_name = "SPAN", default_value = "0ms", value_parser = span)]
    call_latency: Duration,

    /// IAM policy document (JSON) that binds every caller whose access key id does not start with `admin`
    #[arg(long, env = "AWSIM_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Write the certificate (PEM) of the authority behind load balancers' certificates here
    #[arg(long, env = "AWSIM_CA_OUT", value_name = "FILE")]
    ca_out: Option<PathBuf>,

    /// Keep the authority's key here, so that the next run has the same one
    #[arg(long, env = "AWSIM_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    Fast,
    Real,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    Off,
    On,
}

impl Args {
    /// Reads the files that the flags name.
    ///
    /// # Errors
    /// Names the file, the member and the value that do not fit.
    pub fn options(&self) -> anyhow::Result<Options> {
        let mut settings = match self.profile {
            Profile::Fast => Settings::fast(),
            Profile::Real => Settings::real(),
        };
        if let Some(path) = &self.seed {
            let text = std::fs::read_to_string(path).with_context(|| format!("seed {}", path.display()))?;
            settings = seeded(&settings, &text).with_context(|| format!("seed {}", path.display()))?;
        }
        if self.data_plane == Switch::On {
            settings.health = HealthSource::Observed;
        }
        Ok(Options {
            settings,
            listen: self.listen,
            dns: self.dns,
            private_zones: self.private_zones,
            data_plane: self.data_plane == Switch::On,
            check_interval: (self.profile == Profile::Fast).then_some(Duration::from_millis(200)),
            latency: self.call_latency,
            policy: self.policy.as_deref().map(policy).transpose()?,
            ca_out: self.ca_out.clone(),
            state_dir: self.state_dir.clone(),
        })
    }
}

fn policy(path: &Path) -> anyhow::Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("policy {}", path.display()))?;
    Policy::parse(&text).map_err(anyhow::Error::msg).with_context(|| format!("policy {}", path.display()))
}

/// Lays a seed over settings: members of objects one by one, lists as a whole.
///
/// # Errors
/// What is not YAML, and members that settings do not have.
pub fn seeded(settings: &Settings, yaml: &str) -> anyhow::Result<Settings> {
    fn lay(below: &mut Value, above: Value) {
        match (below, above) {
            (Value::Object(below), Value::Object(above)) => {
                for (key, value) in above {
                    lay(below.entry(key).or_insert(Value::Null), value);
                }
            }
            (below, above) => *below = above,
        }
    }
    let above: Value = serde_saphyr::from_str(yaml)?;
    if !above.is_object() {
        bail!(
            "a mapping is expected, with members of: account, region, network, zones, certificates, quotas, delays, buckets"
        );
    }
    let mut all = serde_json::to_value(settings)?;
    lay(&mut all, above);
    Ok(serde_json::from_value(all)?)
}

/// `30ms`, `2s`, `1m`.
fn span(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is not a span such as 30ms or 2s"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("'{text}' is not a span such as 30ms or 2s")),
    }
}

/// What there is, as an aligned table.
pub fn greeting(aws: &Aws) -> String {
    let settings = aws.settings();
    let mut rows: Vec<[String; 3]> = vec![
        ["account".into(), settings.account.clone(), settings.region.clone()],
        [
            "vpc".into(),
            settings.network.vpc_id.clone(),
            settings.network.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ],
    ];
    for subnet in &settings.network.subnets {
        rows.push(["subnet".into(), subnet.id.clone(), format!("{} {}", subnet.zone, subnet.cidr)]);
    }
    for group in &settings.network.security_groups {
        rows.push(["security group".into(), group.clone(), String::new()]);
    }
    for zone in &settings.zones {
        let kind = if zone.private { "private" } else { "public" };
        rows.push(["zone".into(), zone.id.clone(), format!("{} ({kind})", zone.name)]);
    }
    for (arn, names) in aws.certificates() {
        rows.push(["certificate".into(), arn, names.join(" ")]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut table = String::new();
    for [kind, id, rest] in &rows {
        let _ = writeln!(table, "{}", format!("{kind:first$}  {id:second$}  {rest}").trim_end());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_replace_parts() {
        let yaml = "region: eu-west-1\nquotas: {rules-per-application-load-balancer: 7}\ndelays: {ruleBatch: 1}\n\
            zones: [{id: Z9, name: team.test}]\n";
        let settings = seeded(&Settings::real(), yaml).unwrap();
        assert_eq!(settings.region, "eu-west-1");
        assert_eq!(settings.quotas.get("rules-per-application-load-balancer"), 7);
        assert_eq!(settings.quotas.get("target-groups"), 3000);
        assert_eq!((settings.delays.rule_batch.0, settings.zones.len()), (1, 1));
        assert_eq!(settings.delays.route53_insync, Settings::real().delays.route53_insync);
        let error = seeded(&Settings::real(), "colour: red").unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn spans() {
        assert_eq!(span("30ms"), Ok(Duration::from_millis(30)));
        assert_eq!(span("2s"), Ok(Duration::from_secs(2)));
        assert!(span("2").is_err() && span("x").is_err());
    }

    #[test]
    fn flags_are_well_formed() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}

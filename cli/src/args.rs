//! What can be asked, and the help that explains it.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gatehouse_core::{ClusterId, Settings, Wall};
use gatehouse_route::Host;

/// Publishing of apps on a shared ALB: check, plan and render manifests, without a cluster and without AWS.
///
/// The same code judges here, in the admission webhook and in the operator, so what passes here is admitted there.
#[derive(Parser, Debug)]
#[command(version, name = "gatehouse", arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Judge manifests as admission would, and tell every fault with its cure.
    Check(CheckArgs),
    /// Show what would exist in AWS and Kubernetes for these manifests, if nothing existed yet.
    Plan(PlanArgs),
    /// Write the nginx.conf that the edge of each namespace would run.
    Render(RenderArgs),
}

/// Where manifests come from, and what the installation is.
#[derive(clap::Args, Debug)]
pub struct InputArgs {
    /// File or directory of YAML; several are read in this order; `-` is stdin.
    #[arg(short = 'f', long = "file", value_name = "DIR", required = true, env = "GATEHOUSE_FILE")]
    pub files: Vec<PathBuf>,
    /// Descend into subdirectories.
    #[arg(short = 'R', long, env = "GATEHOUSE_RECURSIVE")]
    pub recursive: bool,
    /// Namespace of objects that name none.
    #[arg(short, long, default_value = "default", env = "GATEHOUSE_NAMESPACE")]
    pub namespace: String,
    /// The day (2027-01-31) or moment (RFC 3339) at which exceptions are judged; absent: now.
    #[arg(long, value_name = "DATE", value_parser = moment, env = "GATEHOUSE_NOW")]
    pub now: Option<Wall>,
    /// The operator's --cluster-id: part of every AWS name.
    #[arg(long, default_value = "example", env = "GATEHOUSE_CLUSTER_ID")]
    pub cluster_id: String,
    /// The operator's --cluster-dns.
    #[arg(long, default_value = "172.20.0.10", env = "GATEHOUSE_CLUSTER_DNS")]
    pub cluster_dns: IpAddr,
    /// The operator's --cluster-domain.
    #[arg(long, default_value = "cluster.local", env = "GATEHOUSE_CLUSTER_DOMAIN")]
    pub cluster_domain: Host,
}

impl InputArgs {
    /// The settings an operator with these flags would have.
    pub fn settings(&self) -> Settings {
        Settings {
            cluster_id: ClusterId(self.cluster_id.clone()),
            cluster_dns: self.cluster_dns,
            cluster_domain: self.cluster_domain.clone(),
            ..Settings::default()
        }
    }

    /// The moment of judgement.
    pub fn now(&self) -> Wall {
        self.now.unwrap_or_else(|| Wall(jiff::Timestamp::now().as_second()))
    }
}

/// Form of the output.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; the shape is told below and only grows.
    Json,
}

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// Input.
    #[command(flatten)]
    pub input: InputArgs,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
}

/// Arguments of `plan`.
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// Input.
    #[command(flatten)]
    pub input: InputArgs,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
    /// Exit with 2 when there is something to do.
    #[arg(long, env = "GATEHOUSE_DETAILED_EXITCODE")]
    pub detailed_exitcode: bool,
}

/// Arguments of `render`.
#[derive(clap::Args, Debug)]
pub struct RenderArgs {
    /// Input.
    #[command(flatten)]
    pub input: InputArgs,
    /// Directory for the files; made when it is absent. One `<namespace>.conf` per namespace with published hosts.
    #[arg(short, long = "output", value_name = "OUT", env = "GATEHOUSE_RENDER_OUT")]
    pub out: PathBuf,
}

fn moment(text: &str) -> Result<Wall, String> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Wall::parse(&full).ok_or_else(|| "write a day such as 2027-01-31, or RFC 3339 such as 2027-01-31T12:00:00Z".into())
}

/// How we were called: kubectl runs its plugins by their file name.
pub fn program(argv0: Option<&OsString>) -> String {
    let stem = argv0.map(PathBuf::from).and_then(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()));
    match stem.as_deref() {
        Some("kubectl-gatehouse" | "kubectl_gatehouse") => "kubectl gatehouse".to_owned(),
        _ => "gatehouse".to_owned(),
    }
}

/// Reads the arguments; otherwise what to print, whether on stdout, and the exit code.
pub fn parse(name: &str, words: &mut [OsString]) -> Result<Cli, (String, bool, u8)> {
    // Clap takes the name of usage lines from the first word.
    if let Some(first) = words.first_mut() {
        *first = name.into();
    }
    let planning = words.get(1).is_some_and(|word| word == "plan");
    let mut command = Cli::command().bin_name(name).after_long_help(text(TOP, name)).after_help(text(TOP, name));
    for (sub, help) in [("check", CHECK), ("plan", PLAN), ("render", RENDER)] {
        command = command.mut_subcommand(sub, |c| c.after_help(text(help, name)).after_long_help(text(help, name)));
    }
    let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    command = command.color(if colour { clap::ColorChoice::Auto } else { clap::ColorChoice::Never });
    command.try_get_matches_from(words.iter()).and_then(|m| Cli::from_arg_matches(&m)).map_err(|e| {
        let terminal = if e.use_stderr() { crate::print::colour_stderr() } else { crate::print::colour_stdout() };
        let shown = if terminal { e.render().ansi().to_string() } else { e.render().to_string() };
        // With --detailed-exitcode 2 means changes, so a wrong plan command must not say 2.
        let code = if !e.use_stderr() {
            0
        } else if planning {
            1
        } else {
            2
        };
        (shown, !e.use_stderr(), code)
    })
}

fn text(template: &str, name: &str) -> String {
    template.trim().replace("{name}", name)
}

const TOP: &str = r"
Examples:
  {name} check -f manifests                   every fault, with field, value and cure
  {name} plan -f manifests                    load balancers, rules, records, claims, children
  {name} render -f manifests -o out           out/<namespace>.conf
  kustomize build . | {name} check -f -       what another tool prints

DIR holds YAML of ExposedApp, SharedLoadBalancer, ExposurePolicy, Namespace,
Service and Ingress; other kinds are skipped and counted. Every flag is also an
environment variable, GATEHOUSE_...; colours honour NO_COLOR.
";

const CHECK: &str = r#"
Examples:
  {name} check -f manifests
  {name} check -f platform -f team-a -R -o json
  {name} check -f manifests --now 2027-02-01   will exceptions still hold then?

Exit codes:
  0  nothing that would be refused (warnings do not count)
  1  faults: something would be refused, or would not work
  2  could not run: unreadable input, nothing to judge, wrong arguments

Policies' default labels are added before the review, as admission does. Apps
are taken in the order of their creationTimestamp, those without one after them
in the order of the files: of two namespaces with one host the first holds it.

JSON (fields are only ever added):
  {"version": 1,
   "summary": {"apps": 1, "faults": 1, "warnings": 0, "skipped": 0},
   "objects": [{"kind": "ExposedApp", "namespace": "team-a", "name": "shop",
     "file": "apps.yaml", "document": 1, "line": 3,
     "findings": [{"severity": "fault", "rule": "host", "field": "spec.hosts[0]",
                   "message": "value and cure", "hint": "what other files say"}]}],
   "notes": ["what could not be judged, and why"]}
  severity  fault (refused, or will not work), warning (told, admitted), audit
            (admitted by an exception, or by enforcement Audit)
  hint      null where the other files have nothing to say
  objects   only those with findings
"#;

const PLAN: &str = r#"
Examples:
  {name} plan -f manifests
  {name} plan -f manifests --cluster-id prod-eu-1 -o json
  {name} plan -f manifests --detailed-exitcode

Exit codes:
  0  the plan was made; with --detailed-exitcode: and there is nothing to do
  1  could not run
  2  with --detailed-exitcode only: there is something to do

What is refused is not planned; it is listed with its reasons and changes no
exit code (use check for that). What only AWS can tell (ARNs, DNS names, hosted
zones, which certificate covers a host) is shown as (known after observation).

JSON (fields are only ever added):
  {"version": 1, "clusterId": "example",
   "add": [{"kind": "Rule", "name": "shop.example.com", "scope": "public#0",
            "namespace": "team-a", "values": {"priority": 12345}}],
   "refused": [{"kind": "ExposedApp", "namespace": "team-a", "name": "bad",
                "file": "apps.yaml", "line": 3, "reasons": ["..."]}],
   "faulty": [{"kind": "SharedLoadBalancer", "...": "as in refused"}],
   "notes": ["..."],
   "summary": {"add": 1, "change": 0, "destroy": 0}}
  kind    LoadBalancer, Listener, TargetGroup, Rule, Record, HostClaim, or the
          kind of a Kubernetes child
  scope   a shard (public#0) or a namespace
  faulty  planned as it stands, although it would not work
"#;

const RENDER: &str = r"
Examples:
  {name} render -f manifests -o out
  {name} render -f manifests -o out && nginx -t -c $PWD/out/team-a.conf

Exit codes:
  0  written
  2  could not run, or could not write

Only apps that would be admitted are rendered. Give the Services too: a backend
whose Service is not in the files answers 503, as it would in the cluster.
";

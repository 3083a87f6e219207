//! What can be asked.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gatehouse_core::{ClusterId, Settings, Wall};
use gatehouse_route::Host;

use crate::help;
pub use live::{
    ApproveArgs, ClaimsArgs, ClaimsCommand, ClusterArgs, ExplainArgs, ListArgs, MoveArgs, ReleaseArgs, StatusArgs,
    TraceArgs, TransferArgs, WaitArgs,
};

mod live;

/// Publishing of apps on a shared ALB: check, plan and render manifests; look into a running cluster and command it.
///
/// The same code judges here, in the admission webhook and in the operator, so what passes here is admitted there.
/// check, plan and render need files alone; the others talk to the cluster of your kubeconfig.
#[derive(Parser, Debug)]
#[command(version = gatehouse_about::VERSION, name = "gatehouse", arg_required_else_help = true)]
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
    /// Show what would exist in AWS and Kubernetes for these manifests, or what a running operator is about to do.
    Plan(PlanArgs),
    /// Write the nginx.conf that the edge of each namespace would run.
    Render(RenderArgs),
    /// Print the ExposedApps that Ingresses become, and name all that they cannot say.
    Convert(ConvertArgs),
    /// Run suites of cases: manifests, and the findings that they must have.
    Test(TestArgs),
    /// What apps are judged by, as a file for their repositories.
    Bundle(BundleArgs),
    /// Tell what each rule asks for, why, and what to do about a finding.
    Rules(RulesArgs),
    /// Tell what each reason of a condition or an event means, and what to do about it.
    Reasons(ReasonsArgs),
    /// Walk the way of a request to a host, from DNS to the pods, and name the first thing that is broken.
    Trace(TraceArgs),
    /// Show where each app stands: claim, certificate, rule, record, edge, and what is waited for.
    Status(StatusArgs),
    /// Let held deletions go: hosts that are ours in AWS and have no object in the cluster any more.
    Approve(ApproveArgs),
    /// Move a namespace to another ALB of its load balancer, without a gap.
    Move(MoveArgs),
    /// Give a host's records back to the owner they were taken over from.
    Release(ReleaseArgs),
    /// Who holds which host: list, explain a refusal, transfer.
    Claims(ClaimsArgs),
    /// Print the completion of a shell.
    Completion(CompletionArgs),
    /// Write the man pages, for packages.
    #[command(hide = true)]
    Man(ManArgs),
}

/// Where manifests come from.
#[derive(clap::Args, Debug)]
pub struct FileArgs {
    /// File or directory of YAML; several are read in this order; `-` is stdin.
    #[arg(short = 'f', long = "file", value_name = "DIR", required = true, env = "GATEHOUSE_FILE")]
    pub files: Vec<PathBuf>,
    /// Descend into subdirectories.
    #[arg(short = 'R', long, env = "GATEHOUSE_RECURSIVE")]
    pub recursive: bool,
    /// Namespace of objects that name none.
    #[arg(short, long, default_value = "default", env = "GATEHOUSE_NAMESPACE")]
    pub namespace: String,
}

/// Where manifests come from, and what the installation is.
#[derive(clap::Args, Debug)]
pub struct InputArgs {
    /// Files.
    #[command(flatten)]
    pub from: FileArgs,
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

/// Form of what `check` found.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For programs; the shape is told below and only grows.
    Json,
    /// For code hosts, which show it beside the lines of a change (SARIF 2.1.0).
    Sarif,
    /// For CI systems: a test case for each object (JUnit's XML).
    Junit,
}

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// Input.
    #[command(flatten)]
    pub input: InputArgs,
    /// File or directory with the platform's policies, load balancers and namespaces: the files are judged by them, they
    /// are not judged. `gatehouse bundle export` writes one.
    #[arg(long = "policy", value_name = "DIR", env = "GATEHOUSE_POLICY")]
    pub policy: Vec<PathBuf>,
    /// Judge by what stands in a cluster: policies, load balancers, namespaces, claims, apps.
    #[arg(long, help_heading = "Cluster", env = "GATEHOUSE_AGAINST_CLUSTER")]
    pub against_cluster: bool,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = CheckFormat::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: CheckFormat,
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
    /// Ask the leader of a running cluster instead: what is ready, waits and is held, and why.
    #[arg(long, help_heading = "Running cluster", env = "GATEHOUSE_LIVE")]
    pub live: bool,
    /// Only this namespace, load balancer, shard (public#0), Region or policy.
    #[arg(long, value_name = "NAME", requires = "live", help_heading = "Running cluster")]
    pub part: Option<String>,
    /// Namespace of the operator.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "gatehouse-system",
        help_heading = "Running cluster",
        env = "GATEHOUSE_OPERATOR_NAMESPACE"
    )]
    pub operator_namespace: String,
    /// Port of the operator's --plan-address.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8082,
        help_heading = "Running cluster",
        env = "GATEHOUSE_PLAN_PORT"
    )]
    pub plan_port: u16,
    /// Where the leader's /plan answers already, such as a port-forward made by hand; no cluster is asked.
    #[arg(
        long,
        value_name = "IP:PORT",
        requires = "live",
        help_heading = "Running cluster",
        env = "GATEHOUSE_ADDRESS"
    )]
    pub address: Option<std::net::SocketAddr>,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
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

/// Arguments of `convert`.
#[derive(clap::Args, Debug)]
pub struct ConvertArgs {
    /// Input.
    #[command(flatten)]
    pub from: FileArgs,
}

/// Arguments of `test`.
#[derive(clap::Args, Debug)]
pub struct TestArgs {
    /// Suites (*gatehouse-test.yaml), or directories that hold some at any depth.
    #[arg(value_name = "DIR", default_value = ".")]
    pub suites: Vec<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = TestFormat::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: TestFormat,
}

/// Form of what `test` found.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestFormat {
    /// For people.
    Text,
    /// For programs; the shape is told below and only grows.
    Json,
    /// For CI systems (JUnit's XML).
    Junit,
}

/// Arguments of `bundle`.
#[derive(clap::Args, Debug)]
pub struct BundleArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BundleCommand,
}

/// What to do with a bundle.
#[derive(Subcommand, Debug)]
pub enum BundleCommand {
    /// Print the policies, load balancers and granted labels of namespaces of a cluster, for `check --policy`.
    Export(ClusterArgs),
}

/// Arguments of `rules`.
#[derive(clap::Args, Debug)]
pub struct RulesArgs {
    /// One rule, by the id at the end of a finding; absent: all of them.
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = RulesFormat::Text)]
    pub output: RulesFormat,
}

/// Arguments of `reasons`.
#[derive(clap::Args, Debug)]
pub struct ReasonsArgs {
    /// One reason, such as NoHealthyTarget; absent: all of them.
    #[arg(value_name = "REASON")]
    pub reason: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = RulesFormat::Text)]
    pub output: RulesFormat,
}

/// Arguments of `completion`.
#[derive(clap::Args, Debug)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// Directory for the pages; made when it is absent.
    #[arg(value_name = "DIR")]
    pub out: PathBuf,
}

/// Form of what `rules` and `reasons` tell.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesFormat {
    /// For people.
    Text,
    /// For a documentation page.
    Markdown,
}

/// A day or a moment.
///
/// # Errors
/// What to write instead.
pub fn moment(text: &str) -> Result<Wall, String> {
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

/// Everything that can be asked, with the help that explains it.
pub fn command(name: &str) -> clap::Command {
    // Files are not needed where a cluster is asked.
    help::attach(Cli::command().bin_name(name.to_owned()), name)
        .mut_subcommand("plan", |c| {
            c.mut_arg("files", |a| a.required(false).required_unless_present("live"))
                .override_usage(format!("{name} plan [OPTIONS] --file <DIR>\n       {name} plan [OPTIONS] --live"))
        })
        .mut_subcommand("claims", |c| {
            c.mut_subcommand("explain", |c| {
                c.mut_arg("files", |a| a.required(false).help("Look into these files instead of a cluster."))
            })
        })
}

/// Reads the arguments; otherwise what to print, whether on stdout, and the exit code.
pub fn parse(name: &str, words: &mut [OsString]) -> Result<Cli, (String, bool, u8)> {
    // Clap takes the name of usage lines from the first word.
    if let Some(first) = words.first_mut() {
        *first = name.into();
    }
    let planning = words.get(1).is_some_and(|word| word == "plan");
    let command = command(name);
    let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let command = command.color(if colour { clap::ColorChoice::Auto } else { clap::ColorChoice::Never });
    let read = command.try_get_matches_from(words.iter()).and_then(|m| one_source(&m).and(Cli::from_arg_matches(&m)));
    read.map_err(|e| {
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

/// A cluster or files. Files named by the environment are a habit, not a contradiction.
fn one_source(matches: &clap::ArgMatches) -> Result<(), clap::Error> {
    let typed = |m: &clap::ArgMatches, id: &str| m.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    match matches.subcommand_matches("plan") {
        Some(plan) if typed(plan, "live") && typed(plan, "files") => {
            let text = "--live asks a cluster and -f reads files: give one of them\n";
            Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text))
        }
        _ => Ok(()),
    }
}

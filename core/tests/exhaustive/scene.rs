//! Where the search begins.

use awsim_model::api::{elbv2 as elb, route53 as r53};
use awsim_model::settings::quota;
use awsim_model::{Caller, Millis};
use gatehouse_core::{ClusterId, Settings};
use gatehouse_virtual::Cluster;

use crate::invariants::{FOREIGN, ZONE};
use crate::search::Bounds;
use crate::state::{Lie, State};

/// What the two namespaces want.
#[derive(Clone, Copy, Debug)]
pub enum Scene {
    /// Each has a host of its own, and both want a third.
    SameHost,
    /// Each has a host of its own; one also wants a wildcard above the other's.
    Wildcard,
}

const BALANCER: &str = r#"
default: true
region: eu-central-1
vpcId: vpc-0123456789abcdef0
subnets: [{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}, {id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}]
securityGroups: [sg-0ccc]
scheme: internet-facing
certificates: {default: "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001"}
edge: {port: 8080, replicas: 1}
limits: {shards: 2}
"#;

fn app(cluster: &mut Cluster, namespace: &str, hosts: &str) {
    let spec = format!("hosts: {hosts}\nroutes: [{{path: /, backends: [{{service: web, port: 8080}}]}}]\n");
    cluster.apply_app(namespace, "app", &spec);
}

/// What happens at some moment of every path: the first holder goes, and the other one's turn comes.
pub const SCRIPT: [fn(&mut Cluster); 1] = [|cluster| cluster.delete_app("team-a", "app")];

/// The account and the cluster at the moment at which both apps are applied.
pub fn start(scene: Scene, bounds: Bounds, lie: Lie) -> State {
    let settings = Settings {
        cluster_id: ClusterId("test".into()),
        record_ttl: 5_000,
        release_grace: 1_500,
        revocation_grace: 60,
        ..Settings::default()
    };
    let mut aws = awsim_model::Settings::instant();
    // One is the stranger's, one is kept spare.
    aws.quotas.set(quota::RULES, 4).unwrap();
    let mut state = State::new(settings, aws, bounds, lie);
    let cluster = state.cluster();
    for ns in ["team-a", "team-b"] {
        cluster.namespace(ns);
        cluster.service(ns, "web", 8080);
        let spec =
            format!("namespaces: {{names: [{ns}]}}\ngrants: [{{domains: [example.com]}}]\nloadBalancers: [public]\n");
        cluster.policy(ns, &spec);
    }
    cluster.load_balancer("public", BALANCER);
    state.lead();
    run(&mut state, 30_000);
    foreign(&mut state);
    // The audit sees it, so that it counts.
    run(&mut state, 700_000);
    match scene {
        Scene::SameHost => {
            app(state.cluster(), "team-a", "[a.example.com, both.example.com]");
            app(state.cluster(), "team-b", "[b.example.com, both.example.com]");
        }
        Scene::Wildcard => {
            app(state.cluster(), "team-a", "[a.example.com, both.example.com]");
            app(state.cluster(), "team-b", "['*.example.com']");
        }
    }
    state.settle();
    state
}

/// A record and a rule that are none of ours.
fn foreign(state: &mut State) {
    let caller = Caller::admin("stranger");
    let set = r53::ResourceRecordSet {
        name: "foreign.example.com".into(),
        kind: "CNAME".into(),
        ttl: Some(60),
        resource_records: Some(vec![r53::ResourceRecord { value: FOREIGN.into() }]),
        ..Default::default()
    };
    let changes = vec![r53::Change { action: "CREATE".into(), resource_record_set: set }];
    let change_batch = r53::ChangeBatch { comment: None, changes };
    let call = r53::ChangeResourceRecordSets { hosted_zone_id: ZONE.into(), change_batch };
    state.aws.ask(Millis(state.now), &caller, call).unwrap();
    let listener = state.aws.live_listeners(Millis(state.now)).into_iter().find(|l| l.port == 443).unwrap();
    let condition = elb::RuleCondition {
        field: Some("host-header".into()),
        host_header_config: Some(elb::HostHeaderConfig {
            values: Some(vec!["foreign.example.com".into()]),
            regex_values: None,
        }),
        ..Default::default()
    };
    let action = elb::Action {
        kind: "fixed-response".into(),
        fixed_response_config: Some(elb::FixedResponseConfig { status_code: "404".into(), ..Default::default() }),
        ..Default::default()
    };
    let call = elb::CreateRule {
        listener_arn: listener.listener_arn,
        conditions: vec![condition],
        priority: 1,
        actions: vec![action],
        ..Default::default()
    };
    state.aws.ask(Millis(state.now), &caller, call).unwrap();
}

fn run(state: &mut State, ms: u64) {
    let end = state.now + ms;
    state.settle();
    while let Some(next) = state.next_moment().filter(|next| *next <= end) {
        state.advance(next);
    }
    state.now = end;
}

//! AWS as a pure state machine: `call(now, caller, request) -> answer`.
//!
//! [`Aws`] holds one account in one region: load balancers, hosted zones, certificates. It has no clock, no socket and
//! no randomness; it is cheap to clone, and `Eq` and `Hash`, so that tests can run long and strange histories of it. The
//! `awsim` crate puts it on the wire.
//!
//! What a caller sees: validation and AWS's own error codes, idempotent creation, quotas, token buckets, IAM, paging,
//! and windows in which AWS has not caught up with itself ([`settings::Delays`]). What a client of a load balancer sees:
//! [`Aws::route`], [`Aws::certificate_for`], [`Aws::resolve`], which lag the API as AWS does.
//!
//! Not modelled, and refused with a text that says so: network and gateway load balancers, `lambda` and `alb` targets,
//! authentication actions, mutual TLS and trust stores, e-mail validation, routing policies in DNS answers (weighted and
//! other sets are kept, the first one answers), DNSSEC, traffic policies, health checks of Route 53, certificate export
//! and private CAs. Accepted and without effect on the data plane: stickiness, slow start, load balancing algorithms,
//! access logs, WAF, zonal shift, response header attributes. `instance` targets can be registered but not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub mod api;
pub mod iam;
pub mod settings;

mod account;
mod acm;
mod authorise;
mod data_plane;
mod dns;
mod dump;
mod elbv2;
mod route53;
mod sts;
mod table;
mod throttle;

pub use api::{Answer, AwsError, Call, Caller, Empty, Millis, Request, Service, Tag};
pub use data_plane::{Backend, DataPlaneAction, DataPlaneDecision, Exchange, HealthProbe, LiveListener};
pub use dns::{DnsAnswer, DnsCode, DnsRecord, View};
pub use iam::{Grant, Policy};
pub use settings::{Delays, HealthSource, Settings};
pub use throttle::{Bucket, Family};

use crate::route53::name;

/// One AWS account in one region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aws {
    settings: Arc<Settings>,
    elb: elbv2::Elb,
    route53: route53::Route53,
    acm: acm::Acm,
    levels: throttle::Levels,
    /// How often an id was made from the same words; with the words it makes the next one.
    ids: Arc<BTreeMap<String, u64>>,
    /// Parts of callers' policies that nothing else would have stood in for.
    needed: Arc<BTreeSet<iam::Grant>>,
    /// Roles of other accounts that were assumed, by access key id.
    sessions: Arc<BTreeMap<String, String>>,
}

impl Aws {
    /// An account with nothing but what the settings seed.
    ///
    /// # Errors
    /// A text that names a seeded zone whose name is not one.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let mut aws = Self {
            settings: Arc::new(settings),
            elb: elbv2::Elb::default(),
            route53: route53::Route53::default(),
            acm: acm::Acm::default(),
            levels: throttle::Levels::default(),
            ids: Arc::default(),
            needed: Arc::default(),
            sessions: Arc::default(),
        };
        let settings = Arc::clone(&aws.settings);
        for zone in &settings.zones {
            let stored = name::normalise(&zone.name).map_err(|why| format!("zone '{}': {why}", zone.name))?;
            let reference = format!("seed-{}", zone.id);
            let mut seeded = route53::Zone::new(zone.id.clone(), stored, reference, zone.private);
            if zone.private {
                seeded.vpcs = vec![api::route53::Vpc {
                    vpc_region: Some(settings.region.clone()),
                    vpc_id: Some(settings.network.vpc_id.clone()),
                }];
            }
            seeded.role.clone_from(&zone.role_arn);
            aws.route53.zones.insert(zone.id.clone(), seeded);
        }
        for certificate in &settings.certificates {
            aws.acm.seed(&settings, certificate);
        }
        Ok(aws)
    }

    /// Performs a request at `now`, which must not go back between calls.
    ///
    /// # Errors
    /// AWS's own: throttling first, then denial, then what the action says. A refused request changes nothing but the
    /// token buckets.
    pub fn call(&mut self, now: Millis, caller: &Caller, request: &Request) -> Result<Answer, AwsError> {
        self.advance(now);
        self.levels.take(now, &self.settings.buckets, request)?;
        self.admit(caller, request)?;
        self.dispatch(now, caller, request)
    }

    /// [`Aws::call`] with the answer in its own type.
    ///
    /// # Errors
    /// As `call`.
    pub fn ask<C: Call>(&mut self, now: Millis, caller: &Caller, call: C) -> Result<C::Answer, AwsError> {
        let answer = self.call(now, caller, &call.into())?;
        // The table in `api` and the match in `dispatch` agree; a test asks every action.
        C::Answer::try_from(answer)
            .map_err(|_| AwsError::status(500, "InternalFailure", "the model answered with another action's shape"))
    }

    /// The parts of policies without which calls so far would have been refused.
    pub fn needed(&self) -> &BTreeSet<Grant> {
        &self.needed
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes settings: quotas, delays, buckets. Seeds of zones and certificates have no effect any more.
    pub fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    /// The next moment after `now` at which something changes by itself, for drivers of virtual time.
    pub fn next_event(&self, now: Millis) -> Option<Millis> {
        let mut next: Option<Millis> = None;
        let mut at = |moment: Millis| {
            if moment > now && next.is_none_or(|next| moment < next) {
                next = Some(moment);
            }
        };
        let delays = self.settings.delays;
        for load_balancer in self.elb.load_balancers.values() {
            at(load_balancer.active_at);
            at(load_balancer.created + delays.describe_lag);
        }
        for listener in self.elb.listeners.values() {
            listener.versions.iter().for_each(|(from, _)| at(*from));
            at(listener.created + delays.listener_visible);
        }
        for group in self.elb.groups.values() {
            group.released.into_iter().for_each(|released| at(released + delays.in_use_lag));
            at(group.created + delays.describe_lag);
            for target in group.targets.values() {
                self.healthy_at(group, target).into_iter().for_each(&mut at);
                target.draining_until.into_iter().for_each(&mut at);
            }
        }
        for zone in self.route53.zones.values() {
            zone.versions.iter().for_each(|(from, _)| at(*from));
            at(zone.busy_until);
        }
        self.certificate_events(now).for_each(&mut at);
        next
    }

    fn dispatch(&mut self, now: Millis, caller: &Caller, request: &Request) -> Result<Answer, AwsError> {
        Ok(match request {
            Request::CreateLoadBalancer(call) => self.create_load_balancer(now, call)?.into(),
            Request::DescribeLoadBalancers(call) => self.describe_load_balancers(now, call)?.into(),
            Request::DeleteLoadBalancer(call) => self.delete_load_balancer(now, call)?.into(),
            Request::ModifyLoadBalancerAttributes(call) => self.modify_load_balancer_attributes(call)?.into(),
            Request::DescribeLoadBalancerAttributes(call) => self.describe_load_balancer_attributes(call)?.into(),
            Request::SetSubnets(call) => self.set_subnets(call)?.into(),
            Request::SetSecurityGroups(call) => self.set_security_groups(call)?.into(),
            Request::SetIpAddressType(call) => self.set_ip_address_type(call)?.into(),
            Request::CreateListener(call) => self.create_listener(now, call)?.into(),
            Request::ModifyListener(call) => self.modify_listener(now, call)?.into(),
            Request::DescribeListeners(call) => self.describe_listeners(call)?.into(),
            Request::DeleteListener(call) => self.delete_listener(now, call)?.into(),
            Request::DescribeListenerAttributes(call) => self.describe_listener_attributes(call)?.into(),
            Request::ModifyListenerAttributes(call) => self.modify_listener_attributes(call)?.into(),
            Request::AddListenerCertificates(call) => self.add_listener_certificates(now, call)?.into(),
            Request::RemoveListenerCertificates(call) => self.remove_listener_certificates(now, call)?.into(),
            Request::DescribeListenerCertificates(call) => self.describe_listener_certificates(call)?.into(),
            Request::CreateRule(call) => self.create_rule(now, call)?.into(),
            Request::ModifyRule(call) => self.modify_rule(now, call)?.into(),
            Request::DeleteRule(call) => self.delete_rule(now, call)?.into(),
            Request::DescribeRules(call) => self.describe_rules(call)?.into(),
            Request::SetRulePriorities(call) => self.set_rule_priorities(now, call)?.into(),
            Request::CreateTargetGroup(call) => self.create_target_group(now, call)?.into(),
            Request::ModifyTargetGroup(call) => self.modify_target_group(call)?.into(),
            Request::ModifyTargetGroupAttributes(call) => self.modify_target_group_attributes(call)?.into(),
            Request::DescribeTargetGroupAttributes(call) => self.describe_target_group_attributes(call)?.into(),
            Request::DescribeTargetGroups(call) => self.describe_target_groups(now, call)?.into(),
            Request::DeleteTargetGroup(call) => self.delete_target_group(now, call)?.into(),
            Request::RegisterTargets(call) => self.register_targets(now, call)?.into(),
            Request::DeregisterTargets(call) => self.deregister_targets(now, call)?.into(),
            Request::DescribeTargetHealth(call) => self.describe_target_health(now, call)?.into(),
            Request::AddTags(call) => self.add_tags(call)?.into(),
            Request::RemoveTags(call) => self.remove_tags(call)?.into(),
            Request::DescribeTags(call) => self.describe_tags(call)?.into(),
            Request::DescribeAccountLimits(call) => self.describe_account_limits(call)?.into(),
            Request::DescribeSSLPolicies(call) => self.describe_ssl_policies(call)?.into(),
            Request::ListHostedZones(call) => self.list_hosted_zones(caller, call)?.into(),
            Request::ListHostedZonesByName(call) => self.list_hosted_zones_by_name(caller, call)?.into(),
            Request::GetHostedZone(call) => self.get_hosted_zone(call)?.into(),
            Request::CreateHostedZone(call) => self.create_hosted_zone(now, call)?.into(),
            Request::DeleteHostedZone(call) => self.delete_hosted_zone(now, call)?.into(),
            Request::ListResourceRecordSets(call) => self.list_resource_record_sets(call)?.into(),
            Request::ChangeResourceRecordSets(call) => self.change_resource_record_sets(now, call)?.into(),
            Request::GetChange(call) => self.get_change(now, caller, call)?.into(),
            Request::GetHostedZoneLimit(call) => self.get_hosted_zone_limit(call)?.into(),
            Request::ListTagsForResource(call) => self.list_tags_for_resource(call)?.into(),
            Request::ChangeTagsForResource(call) => self.change_tags_for_resource(call)?.into(),
            Request::RequestCertificate(call) => self.request_certificate(now, call)?.into(),
            Request::ImportCertificate(call) => self.import_certificate(now, call)?.into(),
            Request::DescribeCertificate(call) => self.describe_certificate(now, call)?.into(),
            Request::ListCertificates(call) => self.list_certificates(now, call)?.into(),
            Request::DeleteCertificate(call) => self.delete_certificate(now, call)?.into(),
            Request::AddTagsToCertificate(call) => self.add_tags_to_certificate(call)?.into(),
            Request::RemoveTagsFromCertificate(call) => self.remove_tags_from_certificate(call)?.into(),
            Request::ListTagsForCertificate(call) => self.list_tags_for_certificate(call)?.into(),
            Request::GetCertificate(call) => self.get_certificate(now, call)?.into(),
            Request::GetCallerIdentity(_) => self.caller_identity(caller).into(),
            Request::AssumeRole(call) => self.assume_role(now, call)?.into(),
            Request::AssumeRoleWithWebIdentity(call) => self.assume_role_with_web_identity(now, call)?.into(),
            Request::GetResources(call) => self.get_resources(now, call)?.into(),
        })
    }

    /// A new id of 16 hexadecimal digits. It depends on the words and how often they were used, not on what else was
    /// created in between, so that histories in another order name their resources alike.
    fn fresh_id(&mut self, words: &str) -> String {
        let count = Arc::make_mut(&mut self.ids).entry(words.to_owned()).or_default();
        *count += 1;
        acm::hex(&format!("{words}#{count}"))[..16].to_owned()
    }

    fn elb_arn(&self, resource: &str) -> String {
        format!("arn:aws:elasticloadbalancing:{}:{}:{resource}", self.settings.region, self.settings.account)
    }

    /// Whether `count` is within a quota; the error is the limit, for the caller's text.
    fn quota(&self, name: &str, count: usize) -> Result<(), i64> {
        let limit = self.settings.quotas.get(name);
        if i64::try_from(count).unwrap_or(i64::MAX) > limit { Err(limit) } else { Ok(()) }
    }
}

//! From a request to what IAM is asked about: actions, resources, condition keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Aws;
use crate::api::route53::ChangeResourceRecordSets;
use crate::api::{AwsError, Caller, Request, Service, Tag};
use crate::iam::Access;
use crate::route53::name;

/// The last part of the ARN of something that is about to be created.
const NEW: &str = "0000000000000000";

/// `Access` values of one request.
struct Accesses<'a> {
    aws: &'a Aws,
    action: String,
    tags: &'a [Tag],
    list: Vec<Access>,
}

impl Aws {
    /// Refuses what the caller's policy does not allow, and remembers what of it was needed to allow the rest.
    pub(crate) fn authorise(&mut self, caller: &Caller, request: &Request) -> Result<(), AwsError> {
        let Some(policy) = &caller.policy else { return Ok(()) };
        let accesses = self.accesses(request);
        let denied = accesses.iter().find(|access| !policy.allows(access)).cloned();
        let Some(Access { action, resource, .. }) = denied else {
            let needed = accesses.iter().filter_map(|access| policy.needed(access));
            for grant in needed.filter(|grant| !self.needed.contains(grant)).collect::<Vec<_>>() {
                Arc::make_mut(&mut self.needed).insert(grant);
            }
            return Ok(());
        };
        let code = match request.service() {
            Service::Acm | Service::Tagging => "AccessDeniedException",
            _ => "AccessDenied",
        };
        let who = self.caller_arn(caller);
        Err(AwsError::status(
            403,
            code,
            format!(
                "User: {who} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
            ),
        ))
    }

    fn accesses(&self, request: &Request) -> Vec<Access> {
        let mut all = Accesses {
            aws: self,
            action: format!("{}:{}", request.service().iam_prefix(), request.action()),
            tags: tags_of(request),
            list: Vec::new(),
        };
        match request {
            // Anyone may ask who they are; assuming a role is not signed.
            Request::GetCallerIdentity(_) | Request::AssumeRoleWithWebIdentity(_) => {}
            Request::AssumeRole(call) => all.on(&call.role_arn),
            Request::CreateLoadBalancer(call) => {
                all.create(&self.elb_arn(&format!("loadbalancer/app/{}/{NEW}", call.name)), None);
            }
            Request::CreateTargetGroup(call) => {
                all.create(&self.elb_arn(&format!("targetgroup/{}/{NEW}", call.name)), None);
            }
            Request::CreateListener(call) => {
                let new = call.load_balancer_arn.replace(":loadbalancer/", ":listener/");
                all.create(&format!("{new}/{NEW}"), Some(&call.load_balancer_arn));
            }
            Request::CreateRule(call) => {
                let new = call.listener_arn.replace(":listener/", ":listener-rule/");
                all.create(&format!("{new}/{NEW}"), Some(&call.listener_arn));
            }
            Request::DeleteLoadBalancer(call) => all.on(&call.load_balancer_arn),
            Request::ModifyLoadBalancerAttributes(call) => all.on(&call.load_balancer_arn),
            Request::SetSubnets(call) => all.on(&call.load_balancer_arn),
            Request::SetSecurityGroups(call) => all.on(&call.load_balancer_arn),
            Request::SetIpAddressType(call) => all.on(&call.load_balancer_arn),
            Request::ModifyListener(call) => all.on(&call.listener_arn),
            Request::DeleteListener(call) => all.on(&call.listener_arn),
            Request::ModifyListenerAttributes(call) => all.on(&call.listener_arn),
            Request::AddListenerCertificates(call) => all.on(&call.listener_arn),
            Request::RemoveListenerCertificates(call) => all.on(&call.listener_arn),
            Request::ModifyRule(call) => all.on(&call.rule_arn),
            Request::DeleteRule(call) => all.on(&call.rule_arn),
            Request::SetRulePriorities(call) => {
                for pair in &call.rule_priorities {
                    all.on(&pair.rule_arn);
                }
            }
            Request::ModifyTargetGroup(call) => all.on(&call.target_group_arn),
            Request::ModifyTargetGroupAttributes(call) => all.on(&call.target_group_arn),
            Request::DeleteTargetGroup(call) => all.on(&call.target_group_arn),
            Request::RegisterTargets(call) => all.on(&call.target_group_arn),
            Request::DeregisterTargets(call) => all.on(&call.target_group_arn),
            Request::AddTags(call) => {
                for arn in &call.resource_arns {
                    all.on(arn);
                }
            }
            Request::RemoveTags(call) => {
                for arn in &call.resource_arns {
                    all.on(arn);
                    if let Some(access) = all.list.last_mut() {
                        access.context.insert("aws:TagKeys".into(), call.tag_keys.clone());
                    }
                }
            }
            Request::RequestCertificate(_) | Request::ImportCertificate(_) => {
                let arn = format!("arn:aws:acm:{}:{}:certificate/*", self.settings.region, self.settings.account);
                all.on(&arn);
                if !all.tags.is_empty() {
                    all.action = "acm:AddTagsToCertificate".into();
                    all.on(&arn);
                }
            }
            Request::DescribeCertificate(call) => all.on(&call.certificate_arn),
            Request::GetCertificate(call) => all.on(&call.certificate_arn),
            Request::DeleteCertificate(call) => all.on(&call.certificate_arn),
            Request::AddTagsToCertificate(call) => all.on(&call.certificate_arn),
            Request::RemoveTagsFromCertificate(call) => all.on(&call.certificate_arn),
            Request::ListTagsForCertificate(call) => all.on(&call.certificate_arn),
            Request::GetHostedZone(call) => all.zone(&call.id),
            Request::DeleteHostedZone(call) => all.zone(&call.id),
            Request::ListResourceRecordSets(call) => all.zone(&call.hosted_zone_id),
            Request::GetHostedZoneLimit(call) => all.zone(&call.hosted_zone_id),
            Request::ListTagsForResource(call) => all.zone(&call.resource_id),
            Request::ChangeTagsForResource(call) => all.zone(&call.resource_id),
            Request::ChangeResourceRecordSets(call) => {
                all.zone(&call.hosted_zone_id);
                if let Some(access) = all.list.last_mut() {
                    access.context.extend(record_keys(call));
                }
            }
            Request::GetChange(call) => {
                let id = call.id.rsplit('/').next().unwrap_or_default();
                all.on(&format!("arn:aws:route53:::change/{id}"));
            }
            // Describe* and List* have no resource.
            _ => all.on("*"),
        }
        all.list
    }

    /// The tags of whatever this ARN names.
    fn tags_on(&self, arn: &str) -> BTreeMap<String, String> {
        if let Some(tagged) = self.elb.tags.get(arn) {
            return tagged.tags.clone();
        }
        if let Some(certificate) = self.acm.certificates.get(arn) {
            return certificate.tags.clone();
        }
        let zone = arn.strip_prefix("arn:aws:route53:::hostedzone/").and_then(|id| self.route53.zones.get(id));
        zone.map(|zone| zone.tags.clone()).unwrap_or_default()
    }
}

impl Accesses<'_> {
    fn on(&mut self, resource: &str) {
        let mut context = BTreeMap::new();
        for (key, value) in self.aws.tags_on(resource) {
            context.insert(format!("aws:ResourceTag/{key}"), vec![value.clone()]);
            context.insert(format!("{}:ResourceTag/{key}", self.prefix()), vec![value]);
        }
        for tag in self.tags {
            context.insert(format!("aws:RequestTag/{}", tag.key), vec![tag.value.clone()]);
        }
        if !self.tags.is_empty() {
            context.insert("aws:TagKeys".into(), self.tags.iter().map(|tag| tag.key.clone()).collect());
        }
        self.list.push(Access { action: self.action.clone(), resource: resource.to_owned(), context });
    }

    /// A creation on `parent` (or on the new thing itself), and the tagging that comes with it.
    fn create(&mut self, new: &str, parent: Option<&str>) {
        self.on(parent.unwrap_or(new));
        if self.tags.is_empty() {
            return;
        }
        let created_by = self.action.rsplit(':').next().unwrap_or_default().to_owned();
        self.action = "elasticloadbalancing:AddTags".into();
        self.on(new);
        if let Some(access) = self.list.last_mut() {
            access.context.insert("elasticloadbalancing:CreateAction".into(), vec![created_by]);
        }
    }

    fn zone(&mut self, id: &str) {
        let id = id.rsplit('/').next().unwrap_or_default();
        self.on(&format!("arn:aws:route53:::hostedzone/{id}"));
    }

    fn prefix(&self) -> &str {
        self.action.split(':').next().unwrap_or_default()
    }
}

fn tags_of(request: &Request) -> &[Tag] {
    match request {
        Request::CreateLoadBalancer(call) => call.tags.as_deref(),
        Request::CreateTargetGroup(call) => call.tags.as_deref(),
        Request::CreateListener(call) => call.tags.as_deref(),
        Request::CreateRule(call) => call.tags.as_deref(),
        Request::AddTags(call) => Some(call.tags.as_slice()),
        Request::RequestCertificate(call) => call.tags.as_deref(),
        Request::ImportCertificate(call) => call.tags.as_deref(),
        Request::AddTagsToCertificate(call) => Some(call.tags.as_slice()),
        _ => None,
    }
    .unwrap_or_default()
}

/// Route 53's own condition keys: names in stored form without the dot, types, actions.
fn record_keys(call: &ChangeResourceRecordSets) -> [(String, Vec<String>); 3] {
    let changes = &call.change_batch.changes;
    let key = |name: &str| format!("route53:ChangeResourceRecordSets{name}");
    let normalised = |given: &str| {
        let stored = name::normalise(given).unwrap_or_else(|_| given.to_ascii_lowercase());
        stored.trim_end_matches('.').to_owned()
    };
    [
        (key("NormalizedRecordNames"), changes.iter().map(|c| normalised(&c.resource_record_set.name)).collect()),
        (key("RecordTypes"), changes.iter().map(|c| c.resource_record_set.kind.clone()).collect()),
        (key("Actions"), changes.iter().map(|c| c.action.clone()).collect()),
    ]
}

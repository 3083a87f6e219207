//! Load balancers: creation, network, attributes, deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{Kind, Tagged, attributes, check_name, check_tags, page, tag_map};
use crate::Aws;
use crate::api::elbv2::{
    Attributes, AvailabilityZone, CreateLoadBalancer, DeleteLoadBalancer, DescribeLoadBalancerAttributes,
    DescribeLoadBalancers, IpAddressType, LoadBalancerState, LoadBalancers, ModifyLoadBalancerAttributes,
    SecurityGroups, SetIpAddressType, SetSecurityGroups, SetSubnets, SubnetMapping, Subnets,
};
use crate::api::{AwsError, Empty, Millis, elbv2 as api};
use crate::settings::quota;

/// A load balancer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LoadBalancer {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) dns_name: String,
    pub(crate) scheme: String,
    pub(crate) created: Millis,
    pub(crate) active_at: Millis,
    /// Subnet id to the load balancer's address in it.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    pub(crate) security_groups: BTreeSet<String>,
    pub(crate) ip_address_type: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Port to listener ARN.
    pub(crate) listeners: BTreeMap<i64, String>,
    /// Target groups that some rule or default action of it names.
    pub(crate) groups: BTreeSet<String>,
}

const ADDRESS_TYPES: [&str; 3] = ["ipv4", "dualstack", "dualstack-without-public-ipv4"];

impl Aws {
    pub(crate) fn create_load_balancer(
        &mut self,
        now: Millis,
        call: &CreateLoadBalancer,
    ) -> Result<LoadBalancers, AwsError> {
        check_name("Load balancer", &call.name)?;
        if call.name.starts_with("internal-") {
            return Err(AwsError::validation(format!(
                "Load balancer name '{}' cannot begin with 'internal-'",
                call.name
            )));
        }
        let kind = call.kind.as_deref().unwrap_or("application");
        if kind != "application" {
            return Err(AwsError::validation(format!(
                "Load balancer type '{kind}' is not modelled, only 'application' is"
            )));
        }
        let scheme = call.scheme.clone().unwrap_or_else(|| "internet-facing".into());
        if !["internet-facing", "internal"].contains(&scheme.as_str()) {
            return Err(AwsError::new("InvalidScheme", format!("The scheme '{scheme}' is not valid")));
        }
        let ip_address_type = call.ip_address_type.clone().unwrap_or_else(|| "ipv4".into());
        check_address_type(&ip_address_type, &scheme)?;
        let subnets = self.check_subnets(call.subnets.as_deref(), call.subnet_mappings.as_deref())?;
        let security_groups = match call.security_groups.as_deref() {
            None | Some([]) => self.settings.network.security_groups.iter().take(1).cloned().collect(),
            Some(groups) => self.check_security_groups(groups)?,
        };
        check_tags(&BTreeMap::new(), call.tags.as_deref().unwrap_or_default(), self.settings.quotas.get(quota::TAGS))?;

        if let Some(existing) = self.load_balancer_named(&call.name) {
            let same = existing.scheme == scheme
                && existing.ip_address_type == ip_address_type
                && existing.security_groups == security_groups
                && existing.addresses.keys().eq(subnets.iter());
            if same {
                let answer = self.show_load_balancer(now, existing);
                return Ok(LoadBalancers { load_balancers: vec![answer], next_marker: None });
            }
            return Err(AwsError::new(
                "DuplicateLoadBalancerName",
                format!("A load balancer with the same name '{}' exists, but with different settings", call.name),
            ));
        }
        self.quota(quota::LOAD_BALANCERS, self.elb.load_balancers.len() + 1).map_err(|limit| {
            AwsError::new(
                "TooManyLoadBalancers",
                format!("The maximum number of load balancers has been reached: [{limit}]"),
            )
        })?;

        let id = self.fresh_id(&format!("loadbalancer/{}", call.name));
        let number = u64::from_str_radix(&id[..8], 16).unwrap_or(0);
        let prefix = if scheme == "internal" { "internal-" } else { "" };
        let load_balancer = LoadBalancer {
            arn: self.elb_arn(&format!("loadbalancer/app/{}/{id}", call.name)),
            dns_name: format!("{prefix}{}-{number}.{}", call.name, self.settings.elb_suffix()),
            name: call.name.clone(),
            scheme,
            created: now,
            active_at: now + self.settings.delays.load_balancer_active,
            addresses: self.allot(&subnets, &BTreeMap::new())?,
            security_groups,
            ip_address_type,
            attributes: attributes::defaults(attributes::LOAD_BALANCER),
            listeners: BTreeMap::new(),
            groups: BTreeSet::new(),
        };
        let answer = self.show_load_balancer(now, &load_balancer);
        let tags = Tagged { created: now, tags: tag_map(call.tags.as_deref()) };
        self.elb.tags.insert(load_balancer.arn.clone(), tags);
        self.elb.load_balancers.insert(load_balancer.arn.clone(), load_balancer);
        Ok(LoadBalancers { load_balancers: vec![answer], next_marker: None })
    }

    pub(crate) fn describe_load_balancers(
        &self,
        now: Millis,
        call: &DescribeLoadBalancers,
    ) -> Result<LoadBalancers, AwsError> {
        let arns = call.load_balancer_arns.as_deref().unwrap_or_default();
        let names = call.names.as_deref().unwrap_or_default();
        if !arns.is_empty() && !names.is_empty() {
            return Err(AwsError::validation("Load balancer names and ARNs cannot be specified at the same time"));
        }
        let mut found = Vec::new();
        for arn in arns {
            Kind::LoadBalancer.check(arn)?;
            found.push(self.load_balancer(arn)?);
        }
        for name in names {
            found.push(self.load_balancer_named(name).ok_or_else(|| {
                AwsError::new("LoadBalancerNotFound", format!("Load balancers '[{name}]' not found"))
            })?);
        }
        if arns.is_empty() && names.is_empty() {
            let lag = self.settings.delays.describe_lag;
            found.extend(self.elb.load_balancers.values().map(AsRef::as_ref).filter(|lb| lb.created + lag <= now));
        }
        let all = found.into_iter().map(|lb| self.show_load_balancer(now, lb)).collect();
        let (load_balancers, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(LoadBalancers { load_balancers, next_marker })
    }

    pub(crate) fn delete_load_balancer(&mut self, now: Millis, call: &DeleteLoadBalancer) -> Result<Empty, AwsError> {
        let arn = &call.load_balancer_arn;
        Kind::LoadBalancer.check(arn)?;
        let Some(load_balancer) = self.elb.load_balancers.get(arn).cloned() else {
            return Ok(Empty {});
        };
        if load_balancer.attributes.get("deletion_protection.enabled").is_some_and(|v| v == "true") {
            return Err(AwsError::new(
                "OperationNotPermitted",
                format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
            ));
        }
        for listener in load_balancer.listeners.values() {
            self.drop_listener(now, listener);
        }
        self.elb.load_balancers.remove(arn);
        self.elb.tags.remove(arn);
        Ok(Empty {})
    }

    pub(crate) fn modify_load_balancer_attributes(
        &mut self,
        call: &ModifyLoadBalancerAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::LoadBalancer.check(&call.load_balancer_arn)?;
        let current = &self.load_balancer(&call.load_balancer_arn)?.attributes;
        let next = attributes::modify("Load balancer", attributes::LOAD_BALANCER, current, &call.attributes)?;
        let answer = Attributes { attributes: attributes::list(&next) };
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&call.load_balancer_arn) {
            load_balancer.attributes = next;
        }
        Ok(answer)
    }

    pub(crate) fn describe_load_balancer_attributes(
        &self,
        call: &DescribeLoadBalancerAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::LoadBalancer.check(&call.load_balancer_arn)?;
        Ok(Attributes { attributes: attributes::list(&self.load_balancer(&call.load_balancer_arn)?.attributes) })
    }

    pub(crate) fn set_subnets(&mut self, call: &SetSubnets) -> Result<Subnets, AwsError> {
        Kind::LoadBalancer.check(&call.load_balancer_arn)?;
        let current = self.load_balancer(&call.load_balancer_arn)?.clone();
        if let Some(kind) = &call.ip_address_type {
            check_address_type(kind, &current.scheme)?;
        }
        let subnets = self.check_subnets(call.subnets.as_deref(), call.subnet_mappings.as_deref())?;
        let addresses = self.allot(&subnets, &current.addresses)?;
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&call.load_balancer_arn) {
            load_balancer.addresses = addresses;
            if let Some(kind) = &call.ip_address_type {
                load_balancer.ip_address_type.clone_from(kind);
            }
        }
        let load_balancer = self.load_balancer(&call.load_balancer_arn)?;
        Ok(Subnets {
            availability_zones: self.show_zones(load_balancer),
            ip_address_type: Some(load_balancer.ip_address_type.clone()),
        })
    }

    pub(crate) fn set_security_groups(&mut self, call: &SetSecurityGroups) -> Result<SecurityGroups, AwsError> {
        Kind::LoadBalancer.check(&call.load_balancer_arn)?;
        self.load_balancer(&call.load_balancer_arn)?;
        if call.security_groups.is_empty() {
            return Err(AwsError::validation("At least one security group must be specified"));
        }
        let groups = self.check_security_groups(&call.security_groups)?;
        let security_group_ids = groups.iter().cloned().collect();
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&call.load_balancer_arn) {
            load_balancer.security_groups = groups;
        }
        Ok(SecurityGroups { security_group_ids })
    }

    pub(crate) fn set_ip_address_type(&mut self, call: &SetIpAddressType) -> Result<IpAddressType, AwsError> {
        Kind::LoadBalancer.check(&call.load_balancer_arn)?;
        let scheme = self.load_balancer(&call.load_balancer_arn)?.scheme.clone();
        check_address_type(&call.ip_address_type, &scheme)?;
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&call.load_balancer_arn) {
            load_balancer.ip_address_type.clone_from(&call.ip_address_type);
        }
        Ok(IpAddressType { ip_address_type: call.ip_address_type.clone() })
    }

    /// The load balancer of this ARN, or `LoadBalancerNotFound`.
    pub(crate) fn load_balancer(&self, arn: &str) -> Result<&LoadBalancer, AwsError> {
        self.elb.load_balancers.get(arn).map(AsRef::as_ref).ok_or_else(|| Kind::LoadBalancer.not_found())
    }

    fn load_balancer_named(&self, name: &str) -> Option<&LoadBalancer> {
        self.elb.load_balancers.values().map(AsRef::as_ref).find(|lb| lb.name == name)
    }

    fn check_subnets(
        &self,
        subnets: Option<&[String]>,
        mappings: Option<&[SubnetMapping]>,
    ) -> Result<BTreeSet<String>, AwsError> {
        let ids: Vec<&str> = match (subnets, mappings) {
            (Some(_), Some(_)) => {
                return Err(AwsError::validation("You cannot specify both subnets and subnet mappings"));
            }
            (Some(ids), None) => ids.iter().map(String::as_str).collect(),
            (None, Some(mappings)) => mappings.iter().map(|m| m.subnet_id.as_str()).collect(),
            (None, None) => Vec::new(),
        };
        let mut zones = BTreeSet::new();
        for id in &ids {
            let subnet = self
                .settings
                .network
                .subnet(id)
                .ok_or_else(|| AwsError::new("SubnetNotFound", format!("The subnet ID '{id}' does not exist")))?;
            if !zones.insert(&subnet.zone) {
                return Err(AwsError::new(
                    "InvalidConfigurationRequest",
                    format!(
                        "A load balancer cannot be attached to multiple subnets in the same Availability Zone '{}'",
                        subnet.zone
                    ),
                ));
            }
        }
        if zones.len() < 2 {
            return Err(AwsError::validation(
                "At least two subnets in two different Availability Zones must be specified",
            ));
        }
        Ok(ids.into_iter().map(str::to_owned).collect())
    }

    fn check_security_groups(&self, groups: &[String]) -> Result<BTreeSet<String>, AwsError> {
        if groups.len() > 5 {
            return Err(AwsError::new(
                "InvalidConfigurationRequest",
                format!("A load balancer can have at most 5 security groups, not {}", groups.len()),
            ));
        }
        for group in groups {
            if !self.settings.network.security_groups.contains(group) {
                return Err(AwsError::new(
                    "InvalidSecurityGroup",
                    format!("The security group '{group}' does not exist"),
                ));
            }
        }
        Ok(groups.iter().cloned().collect())
    }

    /// One free address per subnet, from the tenth upwards; subnets that stay keep theirs.
    fn allot(
        &self,
        subnets: &BTreeSet<String>,
        current: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<BTreeMap<String, Ipv4Addr>, AwsError> {
        let taken: BTreeSet<Ipv4Addr> =
            self.elb.load_balancers.values().flat_map(|lb| lb.addresses.values().copied()).collect();
        let mut addresses = BTreeMap::new();
        for id in subnets {
            let subnet = self.settings.network.subnet(id);
            let address =
                current.get(id).copied().or_else(|| subnet?.cidr.hosts().skip(9).find(|a| !taken.contains(a)));
            let address = address
                .ok_or_else(|| AwsError::new("InvalidSubnet", format!("The subnet '{id}' has no free address")))?;
            addresses.insert(id.clone(), address);
        }
        Ok(addresses)
    }

    fn show_zones(&self, load_balancer: &LoadBalancer) -> Vec<AvailabilityZone> {
        let mut zones: Vec<_> = load_balancer
            .addresses
            .keys()
            .map(|id| AvailabilityZone {
                zone_name: self.settings.network.subnet(id).map(|s| s.zone.clone()).unwrap_or_default(),
                subnet_id: id.clone(),
                load_balancer_addresses: Vec::new(),
            })
            .collect();
        zones.sort_by(|a, b| a.zone_name.cmp(&b.zone_name));
        zones
    }

    fn show_load_balancer(&self, now: Millis, load_balancer: &LoadBalancer) -> api::LoadBalancer {
        let active = now >= load_balancer.active_at;
        api::LoadBalancer {
            load_balancer_arn: load_balancer.arn.clone(),
            dns_name: load_balancer.dns_name.clone(),
            canonical_hosted_zone_id: self.settings.elb_zone_id().into(),
            created_time: load_balancer.created,
            load_balancer_name: load_balancer.name.clone(),
            scheme: load_balancer.scheme.clone(),
            vpc_id: self.settings.network.vpc_id.clone(),
            state: LoadBalancerState { code: if active { "active" } else { "provisioning" }.into(), reason: None },
            kind: "application".into(),
            availability_zones: self.show_zones(load_balancer),
            security_groups: load_balancer.security_groups.iter().cloned().collect(),
            ip_address_type: load_balancer.ip_address_type.clone(),
        }
    }
}

fn check_address_type(kind: &str, scheme: &str) -> Result<(), AwsError> {
    if !ADDRESS_TYPES.contains(&kind) {
        return Err(AwsError::validation(format!(
            "The IP address type '{kind}' is not one of {}",
            ADDRESS_TYPES.join(", ")
        )));
    }
    if kind == "dualstack-without-public-ipv4" && scheme != "internet-facing" {
        return Err(AwsError::new(
            "InvalidConfigurationRequest",
            format!("The IP address type '{kind}' needs the scheme 'internet-facing', not '{scheme}'"),
        ));
    }
    Ok(())
}

//! Elastic Load Balancing v2, API version 2015-12-01: the shapes of requests and answers.
//!
//! Names are AWS's own, so AWS's API reference documents them. A required member is a plain type (absent reads as
//! empty, which the model refuses), an optional one an `Option`. `None` and an empty list differ on `Modify*` calls.

use super::{Tag, Timestamp};

shapes! {
    LoadBalancer {
        load_balancer_arn: String,
        #[serde(rename = "DNSName")]
        dns_name: String,
        canonical_hosted_zone_id: String,
        created_time: Timestamp,
        load_balancer_name: String,
        scheme: String,
        vpc_id: String,
        state: LoadBalancerState,
        #[serde(rename = "Type")]
        kind: String,
        availability_zones: Vec<AvailabilityZone>,
        security_groups: Vec<String>,
        ip_address_type: String,
    }
    LoadBalancerState { code: String, reason: Option<String> }
    AvailabilityZone { zone_name: String, subnet_id: String, load_balancer_addresses: Vec<LoadBalancerAddress> }
    LoadBalancerAddress { ip_address: Option<String>, allocation_id: Option<String>, #[serde(rename = "PrivateIPv4Address")] private_ipv4_address: Option<String> }
    SubnetMapping { subnet_id: String, allocation_id: Option<String> }
    Listener {
        listener_arn: String,
        load_balancer_arn: String,
        port: i64,
        protocol: String,
        certificates: Option<Vec<Certificate>>,
        ssl_policy: Option<String>,
        default_actions: Vec<Action>,
    }
    Certificate { certificate_arn: String, is_default: Option<bool> }
    Action {
        #[serde(rename = "Type")]
        kind: String,
        target_group_arn: Option<String>,
        order: Option<i64>,
        redirect_config: Option<RedirectConfig>,
        fixed_response_config: Option<FixedResponseConfig>,
        forward_config: Option<ForwardConfig>,
    }
    ForwardConfig {
        target_groups: Vec<TargetGroupTuple>,
        target_group_stickiness_config: Option<TargetGroupStickinessConfig>,
    }
    TargetGroupTuple { target_group_arn: String, weight: Option<i64> }
    TargetGroupStickinessConfig { enabled: Option<bool>, duration_seconds: Option<i64> }
    RedirectConfig {
        protocol: Option<String>,
        port: Option<String>,
        host: Option<String>,
        path: Option<String>,
        query: Option<String>,
        status_code: String,
    }
    FixedResponseConfig { message_body: Option<String>, status_code: String, content_type: Option<String> }
    RuleCondition {
        field: Option<String>,
        values: Option<Vec<String>>,
        host_header_config: Option<HostHeaderConfig>,
        path_pattern_config: Option<PathPatternConfig>,
        http_header_config: Option<HttpHeaderConfig>,
        query_string_config: Option<QueryStringConfig>,
        http_request_method_config: Option<HttpRequestMethodConfig>,
        source_ip_config: Option<SourceIpConfig>,
        regex_values: Option<Vec<String>>,
    }
    HostHeaderConfig { values: Option<Vec<String>>, regex_values: Option<Vec<String>> }
    PathPatternConfig { values: Option<Vec<String>>, regex_values: Option<Vec<String>> }
    HttpHeaderConfig {
        http_header_name: Option<String>,
        values: Option<Vec<String>>,
        regex_values: Option<Vec<String>>,
    }
    QueryStringConfig { values: Option<Vec<QueryStringKeyValuePair>> }
    QueryStringKeyValuePair { key: Option<String>, value: Option<String> }
    HttpRequestMethodConfig { values: Option<Vec<String>> }
    SourceIpConfig { values: Option<Vec<String>> }
    RuleTransform {
        #[serde(rename = "Type")]
        kind: String,
        host_header_rewrite_config: Option<RewriteConfigs>,
        url_rewrite_config: Option<RewriteConfigs>,
    }
    RewriteConfigs { rewrites: Vec<RewriteConfig> }
    RewriteConfig { regex: String, replace: String }
    Rule {
        rule_arn: String,
        priority: String,
        conditions: Vec<RuleCondition>,
        actions: Vec<Action>,
        is_default: bool,
        transforms: Option<Vec<RuleTransform>>,
    }
    RulePriorityPair { rule_arn: String, priority: i64 }
    Matcher { http_code: Option<String>, grpc_code: Option<String> }
    TargetGroup {
        target_group_arn: String,
        target_group_name: String,
        protocol: String,
        port: i64,
        vpc_id: String,
        health_check_protocol: String,
        health_check_port: String,
        health_check_enabled: bool,
        health_check_interval_seconds: i64,
        health_check_timeout_seconds: i64,
        healthy_threshold_count: i64,
        unhealthy_threshold_count: i64,
        health_check_path: Option<String>,
        matcher: Option<Matcher>,
        load_balancer_arns: Vec<String>,
        target_type: String,
        protocol_version: Option<String>,
        ip_address_type: String,
    }
    TargetDescription { id: String, port: Option<i64>, availability_zone: Option<String> }
    TargetHealth { state: String, reason: Option<String>, description: Option<String> }
    TargetHealthDescription { target: TargetDescription, health_check_port: String, target_health: TargetHealth }
    Attribute { key: String, value: String }
    TagDescription { resource_arn: String, tags: Vec<Tag> }
    Limit { name: String, max: String }
    Cipher { name: String, priority: i64 }
    SslPolicy {
        name: String,
        ssl_protocols: Vec<String>,
        ciphers: Vec<Cipher>,
        supported_load_balancer_types: Vec<String>,
    }

    CreateLoadBalancer {
        name: String,
        subnets: Option<Vec<String>>,
        subnet_mappings: Option<Vec<SubnetMapping>>,
        security_groups: Option<Vec<String>>,
        scheme: Option<String>,
        tags: Option<Vec<Tag>>,
        #[serde(rename = "Type")]
        kind: Option<String>,
        ip_address_type: Option<String>,
    }
    DescribeLoadBalancers {
        load_balancer_arns: Option<Vec<String>>,
        names: Option<Vec<String>>,
        marker: Option<String>,
        page_size: Option<i64>,
    }
    DeleteLoadBalancer { load_balancer_arn: String }
    ModifyLoadBalancerAttributes { load_balancer_arn: String, attributes: Vec<Attribute> }
    DescribeLoadBalancerAttributes { load_balancer_arn: String }
    SetSubnets {
        load_balancer_arn: String,
        subnets: Option<Vec<String>>,
        subnet_mappings: Option<Vec<SubnetMapping>>,
        ip_address_type: Option<String>,
    }
    SetSecurityGroups { load_balancer_arn: String, security_groups: Vec<String> }
    SetIpAddressType { load_balancer_arn: String, ip_address_type: String }

    CreateListener {
        load_balancer_arn: String,
        protocol: Option<String>,
        port: Option<i64>,
        ssl_policy: Option<String>,
        certificates: Option<Vec<Certificate>>,
        default_actions: Vec<Action>,
        tags: Option<Vec<Tag>>,
    }
    ModifyListener {
        listener_arn: String,
        port: Option<i64>,
        protocol: Option<String>,
        ssl_policy: Option<String>,
        certificates: Option<Vec<Certificate>>,
        default_actions: Option<Vec<Action>>,
    }
    DescribeListeners {
        load_balancer_arn: Option<String>,
        listener_arns: Option<Vec<String>>,
        marker: Option<String>,
        page_size: Option<i64>,
    }
    DeleteListener { listener_arn: String }
    DescribeListenerAttributes { listener_arn: String }
    ModifyListenerAttributes { listener_arn: String, attributes: Vec<Attribute> }
    AddListenerCertificates { listener_arn: String, certificates: Vec<Certificate> }
    RemoveListenerCertificates { listener_arn: String, certificates: Vec<Certificate> }
    DescribeListenerCertificates { listener_arn: String, marker: Option<String>, page_size: Option<i64> }

    CreateRule {
        listener_arn: String,
        conditions: Vec<RuleCondition>,
        priority: i64,
        actions: Vec<Action>,
        tags: Option<Vec<Tag>>,
        transforms: Option<Vec<RuleTransform>>,
    }
    ModifyRule {
        rule_arn: String,
        conditions: Option<Vec<RuleCondition>>,
        actions: Option<Vec<Action>>,
        transforms: Option<Vec<RuleTransform>>,
        reset_transforms: Option<bool>,
    }
    DeleteRule { rule_arn: String }
    DescribeRules {
        listener_arn: Option<String>,
        rule_arns: Option<Vec<String>>,
        marker: Option<String>,
        page_size: Option<i64>,
    }
    SetRulePriorities { rule_priorities: Vec<RulePriorityPair> }

    CreateTargetGroup {
        name: String,
        protocol: Option<String>,
        protocol_version: Option<String>,
        port: Option<i64>,
        vpc_id: Option<String>,
        health_check_protocol: Option<String>,
        health_check_port: Option<String>,
        health_check_enabled: Option<bool>,
        health_check_path: Option<String>,
        health_check_interval_seconds: Option<i64>,
        health_check_timeout_seconds: Option<i64>,
        healthy_threshold_count: Option<i64>,
        unhealthy_threshold_count: Option<i64>,
        matcher: Option<Matcher>,
        target_type: Option<String>,
        tags: Option<Vec<Tag>>,
        ip_address_type: Option<String>,
    }
    ModifyTargetGroup {
        target_group_arn: String,
        health_check_protocol: Option<String>,
        health_check_port: Option<String>,
        health_check_path: Option<String>,
        health_check_enabled: Option<bool>,
        health_check_interval_seconds: Option<i64>,
        health_check_timeout_seconds: Option<i64>,
        healthy_threshold_count: Option<i64>,
        unhealthy_threshold_count: Option<i64>,
        matcher: Option<Matcher>,
    }
    ModifyTargetGroupAttributes { target_group_arn: String, attributes: Vec<Attribute> }
    DescribeTargetGroupAttributes { target_group_arn: String }
    DescribeTargetGroups {
        load_balancer_arn: Option<String>,
        target_group_arns: Option<Vec<String>>,
        names: Option<Vec<String>>,
        marker: Option<String>,
        page_size: Option<i64>,
    }
    DeleteTargetGroup { target_group_arn: String }
    RegisterTargets { target_group_arn: String, targets: Vec<TargetDescription> }
    DeregisterTargets { target_group_arn: String, targets: Vec<TargetDescription> }
    DescribeTargetHealth {
        target_group_arn: String,
        targets: Option<Vec<TargetDescription>>,
        include: Option<Vec<String>>,
    }

    AddTags { resource_arns: Vec<String>, tags: Vec<Tag> }
    RemoveTags { resource_arns: Vec<String>, tag_keys: Vec<String> }
    DescribeTags { resource_arns: Vec<String> }
    DescribeAccountLimits { marker: Option<String>, page_size: Option<i64> }
    DescribeSSLPolicies {
        names: Option<Vec<String>>,
        marker: Option<String>,
        page_size: Option<i64>,
        load_balancer_type: Option<String>,
    }

    LoadBalancers { load_balancers: Vec<LoadBalancer>, next_marker: Option<String> }
    Listeners { listeners: Vec<Listener>, next_marker: Option<String> }
    Rules { rules: Vec<Rule>, next_marker: Option<String> }
    TargetGroups { target_groups: Vec<TargetGroup>, next_marker: Option<String> }
    Certificates { certificates: Vec<Certificate>, next_marker: Option<String> }
    Attributes { attributes: Vec<Attribute> }
    Subnets { availability_zones: Vec<AvailabilityZone>, ip_address_type: Option<String> }
    SecurityGroups { security_group_ids: Vec<String> }
    IpAddressType { ip_address_type: String }
    TargetHealths { target_health_descriptions: Vec<TargetHealthDescription> }
    TagDescriptions { tag_descriptions: Vec<TagDescription> }
    Limits { limits: Vec<Limit>, next_marker: Option<String> }
    SslPolicies { ssl_policies: Vec<SslPolicy>, next_marker: Option<String> }
}

//! Every label, annotation, finalizer, condition type and AWS tag that Gatehouse writes or reads.

/// Field manager of every write to Kubernetes.
pub const FIELD_MANAGER: &str = "gatehouse";
/// Finalizer on ExposedApps and SharedLoadBalancers while something of theirs exists outside the cluster.
pub const FINALIZER: &str = "gatehouse.dev/cleanup";

/// Label on every child; its value is [`MANAGED_BY_VALUE`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const MANAGED_BY_VALUE: &str = "gatehouse";
/// Label on children that says what they are: `edge`, `backend` or `ingress`.
pub const COMPONENT: &str = "gatehouse.dev/component";
/// Value of [`COMPONENT`] on the nginx of a namespace.
pub const EDGE: &str = "edge";
/// Value of [`COMPONENT`] on headless twins of the tenants' Services.
pub const BACKEND: &str = "backend";
/// Value of [`COMPONENT`] on ExposedApps that stand for an Ingress.
pub const INGRESS: &str = "ingress";
/// Name of the edge's Deployment, Service, ServiceAccount, ConfigMap and policies in each namespace.
pub const EDGE_NAME: &str = "gatehouse-edge";
/// Annotation on children: hash of the fragment that was applied.
pub const FRAGMENT: &str = "gatehouse.dev/fragment";
/// Annotation on edge pods: hash of the table they should read. Changing it makes the kubelet refresh the volume.
pub const TABLE: &str = "gatehouse.dev/table";
/// Readiness gate and condition of edge pods.
pub const TARGET_HEALTHY: &str = "gatehouse.dev/target-healthy";
/// Key of the table in the edge's ConfigMap.
pub const TABLE_KEY: &str = "table.json";
/// Annotation prefix by which people command (rule 16): `request-approve`, `request-move` ...
pub const REQUEST_PREFIX: &str = "gatehouse.dev/request-";
/// Where a claim remembers a prewired domain among its apps; no app has such a name.
pub const PREWIRED: &str = "~prewired";
/// Prefix of namespace label keys on which a policy may select.
pub const GRANT_PREFIX: &str = "grant.gatehouse.dev/";

/// IngressClass of Ingresses that are Gatehouse's.
pub const INGRESS_CLASS: &str = "gatehouse";

/// AWS tag: which installation owns the resource.
pub const TAG_CLUSTER: &str = "gatehouse.dev/cluster-id";
/// AWS tag: the SharedLoadBalancer.
pub const TAG_LOAD_BALANCER: &str = "gatehouse.dev/load-balancer";
/// AWS tag: the shard's index.
pub const TAG_SHARD: &str = "gatehouse.dev/shard";
/// AWS tag: the namespace a target group, rule or certificate serves.
pub const TAG_NAMESPACE: &str = "gatehouse.dev/namespace";
/// AWS tag on certificates we asked for: how many requests for one of its names had failed before.
pub const TAG_ATTEMPT: &str = "gatehouse.dev/attempt";

/// Port of the edge that answers health and the table hash.
pub const ADMIN_PORT: u16 = 8081;
/// What target groups of protocol version GRPC ask for on [`ADMIN_PORT`]: grpc-status 0 is healthy.
pub use gatehouse_route::GRPC_HEALTH_PATH;
/// Port of the edge that answers metrics.
pub const METRICS_PORT: u16 = 9090;

/// Positive conditions of an ExposedApp, always present.
pub const APP_CONDITIONS: &[&str] =
    &["Accepted", "ResolvedRefs", "CertificateReady", "Programmed", "DNSReady", "NetworkPolicyApplied", "Ready"];
/// Positive conditions of a SharedLoadBalancer.
pub const LOAD_BALANCER_CONDITIONS: &[&str] = &["Accepted", "Programmed", "Ready"];
/// Positive conditions of an ExposurePolicy.
pub const POLICY_CONDITIONS: &[&str] = &["Accepted", "Ready"];
/// The one negative condition, present only while true: a person must act.
pub const STALLED: &str = "Stalled";

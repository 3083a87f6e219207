//! What one namespace should have, as a function of the claims it holds, its Services and the load balancers.
//!
//! It is read from what the claims say was last admitted, never from the app itself: a change that is refused, or an
//! app that is frozen, alters nothing that is served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::{AdmittedApp, ClaimState, ExposedAppSpec, NetworkPolicySettings, Tls, keys};
use gatehouse_route::{
    Backend, BackendPort, BackendProtocol, Cidr, ExternalAuth, Host, HostRoutes, Label, PathType, Port, PortTable,
    Route, RouteTable, Seconds, Size,
};

use crate::aws::ProtocolVersion;
use crate::children::{Common, Fragment};
use crate::identity::{AppKey, ShardKey, twin_name};
use crate::plan;
use crate::review::{Finding, ParsedApp, ParsedRoute, Rule, parse};
use crate::settings::Settings;
use crate::time::Wall;
use crate::world::{ChildKey, ClaimFacts, LoadBalancerFacts, ServiceFacts, TargetPort, World};

/// A host that should be published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HostDesired {
    /// Apps, the oldest first.
    pub apps: Vec<String>,
    /// Shard index by load balancer: where names point, or will.
    pub placement: BTreeMap<String, u32>,
    /// Load balancers that its apps name no more, as long as names may lead there: served on, nothing else.
    pub leaving: BTreeSet<String>,
    /// The prewired wildcard that carries it, by load balancer: it needs no rule, record or certificate of its own.
    pub carriers: BTreeMap<String, Host>,
    /// The certificate source of the oldest app; `None` is what the load balancer gives.
    pub tls: Option<Tls>,
    /// Whether a route of its own, or of a host that it carries, speaks gRPC.
    pub grpc: bool,
}

impl HostDesired {
    /// What its load balancers speak with the edge.
    #[must_use]
    pub fn protocols(&self) -> &'static [ProtocolVersion] {
        if self.grpc { &ProtocolVersion::ALL } else { &[ProtocolVersion::Http1] }
    }
}

/// What one namespace should have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceDesired {
    /// Published hosts.
    pub hosts: BTreeMap<Host, HostDesired>,
    /// The same by shard.
    pub shards: BTreeMap<ShardKey, BTreeSet<Host>>,
    /// What the edge serves; absent without hosts.
    pub table: Option<RouteTable>,
    /// Its hash.
    pub table_hash: Option<String>,
    /// Children.
    pub children: BTreeMap<ChildKey, Fragment>,
    /// Routes that lost against an older app, and settings that differ, by app.
    pub notes: BTreeMap<String, Vec<Finding>>,
}

impl NamespaceDesired {
    /// What load balancers speak with the edge for a host; nothing for one that is not published.
    #[must_use]
    pub fn protocols(&self, host: &Host) -> &'static [ProtocolVersion] {
        self.hosts.get(host).map_or(&[], HostDesired::protocols)
    }
}

/// One app on one host, ready to be merged.
struct Served {
    name: String,
    created: Wall,
    app: ParsedApp,
    load_balancers: Vec<String>,
}

/// The spec an admitted snapshot stands for.
#[must_use]
pub fn admitted_spec(host: &str, admitted: &AdmittedApp) -> ExposedAppSpec {
    ExposedAppSpec {
        load_balancers: admitted.load_balancers.clone(),
        hosts: vec![host.to_owned()],
        routes: admitted.routes.clone(),
        tls: admitted.tls.clone(),
        access: admitted.access.clone(),
        network_policy: admitted.network_policy.clone(),
    }
}

/// Claims of a namespace, by its UID: one re-created under the same name is a stranger.
pub fn claims_of<'a>(world: &'a World, namespace: &str) -> impl Iterator<Item = (Host, &'a Arc<ClaimFacts>)> {
    let uid = world.namespaces.get(namespace).map(|n| n.meta.uid.clone());
    let namespace = namespace.to_owned();
    world
        .claims
        .values()
        .filter(move |c| c.spec.namespace == namespace && Some(&c.spec.namespace_uid) == uid.as_ref())
        .filter_map(|claim| {
            let host = Host::parse(&claim.spec.host).ok()?;
            Some((host, claim))
        })
}

/// What the namespace should have.
///
/// `claims` are the claims the namespace holds, so that callers with an index need not search them; `prewired` are the
/// wildcards that policies keep ready for it.
#[must_use]
pub fn desired(
    world: &World,
    settings: &Settings,
    common: &mut Common<'_>,
    namespace: &str,
    claims: &[(Host, Arc<ClaimFacts>)],
    prewired: &BTreeMap<Host, String>,
) -> NamespaceDesired {
    let mut out = NamespaceDesired::default();
    let Ok(label) = Label::parse(namespace) else { return out };
    let mut served: BTreeMap<Host, Vec<Served>> = BTreeMap::new();
    let standing = standing(claims, prewired);
    for (host, claim) in claims {
        if claim.status.state != ClaimState::Held || claim.meta.deleting {
            continue;
        }
        let mut apps: Vec<Served> = claim
            .status
            .admitted
            .iter()
            .filter_map(|(name, admitted)| {
                // A prewired domain is no app: it answers 404 until one asks for a name below.
                let app = if name == keys::PREWIRED {
                    ParsedApp::default()
                } else {
                    parse(&admitted_spec(&claim.spec.host, admitted)).ok()?
                };
                let created = world.apps.get(&AppKey::new(namespace, name)).map_or(Wall(i64::MAX), |a| a.meta.created);
                Some(Served { name: name.clone(), created, app, load_balancers: admitted.load_balancers.clone() })
            })
            .collect();
        apps.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let Some(first) = apps.first() else { continue };
        let mut placement: BTreeMap<String, u32> = BTreeMap::new();
        let mut leaving = BTreeSet::new();
        let carriers = carriers(host, &standing);
        for (name, p) in &claim.status.placement {
            let stands =
                world.load_balancers.contains_key(name) && apps.iter().any(|a| a.load_balancers.contains(name));
            if !stands {
                leaving.extend(world.load_balancers.contains_key(name).then(|| name.clone()));
                continue;
            }
            // A host that moves is served on both sides; names point to the first.
            for (i, shard) in plan::shards(name, p).enumerate() {
                if i == 0 {
                    placement.insert(name.clone(), shard.index);
                }
                if carriers.contains_key(name) {
                    continue;
                }
                out.shards.entry(shard).or_default().insert(host.clone());
            }
        }
        let apps_of_host = apps.iter().map(|a| a.name.clone()).collect();
        let mut routes = apps.iter().flat_map(|a| &a.app.routes);
        let grpc = routes.any(|r| r.options.backend_protocol == BackendProtocol::Grpc);
        out.hosts.insert(
            host.clone(),
            HostDesired { apps: apps_of_host, placement, leaving, carriers, tls: first.app.tls.clone(), grpc },
        );
        served.insert(host.clone(), apps);
    }
    if out.hosts.is_empty() {
        return out;
    }
    let carrying: BTreeSet<Host> =
        out.hosts.values().filter(|h| h.grpc).flat_map(|h| h.carriers.values()).cloned().collect();
    for carrier in &carrying {
        out.hosts.entry(carrier.clone()).and_modify(|h| h.grpc = true);
    }
    let services: BTreeMap<&str, &Arc<ServiceFacts>> =
        World::within(&world.services, namespace).map(|(key, s)| (key.name.as_str(), s)).collect();
    let table = table(world, settings, label, &served, &services, &mut out);
    let (modes, backends) = network(&served, &services);
    out.children = common.fragments(namespace, &table, modes, &backends);
    // The ConfigMap's fragment has just been made from the table's text; its hash is the table's.
    out.table_hash = out.children.values().find_map(|fragment| fragment.content.clone());
    out.table = Some(table);
    out
}

/// The prewired wildcards that stand and can carry hosts, with the load balancers where they do.
fn standing<'a>(
    claims: &'a [(Host, Arc<ClaimFacts>)],
    prewired: &'a BTreeMap<Host, String>,
) -> BTreeMap<&'a Host, &'a String> {
    let ready = |c: &ClaimFacts, name: &String| {
        c.status.state == ClaimState::Held
            && c.status.admitted.contains_key(keys::PREWIRED)
            && c.status.placement.contains_key(name)
    };
    claims
        .iter()
        .filter(|_| !prewired.is_empty())
        .filter_map(|(host, claim)| prewired.get(host).filter(|name| ready(claim, name)).map(|name| (host, name)))
        .collect()
}

/// Those that carry a host, by load balancer: held by the same namespace, one label above it.
fn carriers(host: &Host, standing: &BTreeMap<&Host, &String>) -> BTreeMap<String, Host> {
    let above = host.parent_wildcard().filter(|_| !host.is_wildcard());
    let carrier = above.and_then(|wildcard| standing.get(&wildcard).map(|name| ((*name).clone(), wildcard)));
    carrier.into_iter().collect()
}

fn table(
    world: &World,
    settings: &Settings,
    namespace: Label,
    served: &BTreeMap<Host, Vec<Served>>,
    services: &BTreeMap<&str, &Arc<ServiceFacts>>,
    out: &mut NamespaceDesired,
) -> RouteTable {
    let mut ports: BTreeMap<Port, PortTable> = BTreeMap::new();
    let mut resolver = settings.cluster_dns;
    for (host, apps) in served {
        let HostDesired { placement, leaving, .. } = out.hosts[host].clone();
        for name in placement.keys().chain(&leaving) {
            let Some(lb) = world.load_balancers.get(name) else { continue };
            let Ok(port) = Port::try_from(i64::from(lb.spec.edge.port)) else { continue };
            let entry = ports.entry(port).or_insert_with(|| port_table(name, lb));
            if entry.load_balancer.as_str() != name {
                // Two load balancers with one port cannot share an edge; the first by name keeps it.
                continue;
            }
            if let Some(address) = lb.spec.edge.resolver.as_ref().and_then(|r| r.parse().ok()) {
                resolver = address;
            }
            let cap = Seconds::parse(&lb.spec.edge.max_timeout).unwrap_or(default_seconds("300s"));
            let here: Vec<&Served> =
                apps.iter().filter(|a| leaving.contains(name) || a.load_balancers.contains(name)).collect();
            let routes = merge(host, &here, (cap, entry.max_body_size), services, &mut out.notes);
            entry.hosts.insert(host.clone(), routes);
        }
    }
    RouteTable {
        version: RouteTable::version_for(&ports),
        namespace,
        cluster_domain: settings.cluster_domain.clone(),
        resolver,
        ports,
    }
}

fn port_table(name: &str, lb: &LoadBalancerFacts) -> PortTable {
    let idle =
        lb.spec.attributes.get("idle_timeout.timeout_seconds").map_or_else(|| "60s".to_owned(), |s| format!("{s}s"));
    PortTable {
        load_balancer: Label::parse(name).unwrap_or_else(|_| Label::parse("unnamed").expect("a constant")),
        trusted: subnet_cidrs(lb),
        max_body_size: Size::parse(&lb.spec.edge.max_body_size)
            .unwrap_or_else(|_| Size::parse("50Mi").expect("a constant")),
        idle_timeout: Seconds::parse(&idle).unwrap_or(default_seconds("60s")),
        hosts: BTreeMap::new(),
    }
}

/// Networks from which a load balancer reaches edges.
#[must_use]
pub fn subnet_cidrs(lb: &LoadBalancerFacts) -> BTreeSet<Cidr> {
    lb.spec.subnets.iter().flat_map(|s| &s.cidrs).filter_map(|c| Cidr::parse(c).ok()).collect()
}

fn default_seconds(text: &str) -> Seconds {
    Seconds::parse(text).expect("a constant")
}

/// Merges the routes of several apps on one host: for an equal path the older app wins, and the younger is told.
fn merge(
    host: &Host,
    apps: &[&Served],
    (cap, body): (Seconds, Size),
    services: &BTreeMap<&str, &Arc<ServiceFacts>>,
    notes: &mut BTreeMap<String, Vec<Finding>>,
) -> HostRoutes {
    let mut owner: BTreeMap<(gatehouse_route::Path, PathType), &str> = BTreeMap::new();
    let mut routes = BTreeMap::new();
    for served in apps {
        for (i, route) in served.app.routes.iter().enumerate() {
            let path =
                if route.path_type == PathType::Prefix { route.path.without_final_slash() } else { route.path.clone() };
            let key = (path, route.path_type);
            if let Some(winner) = owner.get(&key) {
                let finding = Finding::new(
                    Rule::RouteConflict,
                    format!("spec.routes[{i}].path"),
                    format!(
                        "\"{}\" on {host} is served by the older app {winner}; choose another path or remove one",
                        route.path
                    ),
                );
                let list = notes.entry(served.name.clone()).or_default();
                if !list.contains(&finding) {
                    list.push(finding);
                }
                continue;
            }
            owner.insert(key.clone(), &served.name);
            let reach = |name: &Label, port: Port| {
                let service = services.get(name.as_str()).filter(|s| s.may_be_backend())?;
                let port = match service.ports.get(&port.get())? {
                    TargetPort::Number(n) => BackendPort::Number(Port::try_from(i64::from(*n)).ok()?),
                    TargetPort::Named(name) => BackendPort::Named(Label::parse(name).ok()?),
                };
                Some((Label::parse(&twin_name(name.as_str())).ok()?, port))
            };
            // A missing Service or port loses its share; the rest of the route goes on.
            let mut backends: Vec<Backend> = route
                .backends
                .iter()
                .filter_map(|b| {
                    reach(&b.service, b.port).map(|(service, port)| Backend { service, port, weight: b.weight })
                })
                .collect();
            let external_auth = route.auth.as_ref().and_then(|auth| {
                let (service, port) = reach(&auth.service, auth.port)?;
                let (path, response_headers) = (auth.path.clone(), auth.response_headers.clone());
                Some(ExternalAuth { service, port, path, response_headers })
            });
            if external_auth.is_none() && route.auth.is_some() {
                // Nobody can be asked, so nobody may come.
                backends.clear();
            }
            let timeout = route.timeout.unwrap_or(default_seconds("60s")).min(cap);
            let mut options = route.options.clone();
            // As a timeout, a size above the load balancer's is cut to it: the platform may lower it at any time.
            options.max_body_size = match options.backend_protocol {
                // Without a size a stream of gRPC has none, so there the load balancer's must be written.
                BackendProtocol::Grpc => options.max_body_size.map(|size| size.min(body)),
                BackendProtocol::Http | BackendProtocol::H2c => options.max_body_size.filter(|size| *size < body),
            };
            let allow = served.app.allow.clone();
            routes.insert(key, Box::new(Route { backends, timeout, allow, external_auth, options }));
        }
    }
    HostRoutes { routes }
}

/// A backend Service, as children need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendService {
    /// The tenant's Service.
    pub service: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// Pod ports that are used.
    pub ports: BTreeSet<(u16, String)>,
    /// Who else may come; `None` leaves the pods open.
    pub closed_to: Option<Vec<gatehouse_crds::NetworkPolicyPeer>>,
}

/// Whether the edge gets policies, and the backends with theirs.
fn network(
    served: &BTreeMap<Host, Vec<Served>>,
    services: &BTreeMap<&str, &Arc<ServiceFacts>>,
) -> (bool, Vec<BackendService>) {
    use gatehouse_crds::NetworkPolicyMode::{Enforce, Off};
    let mut edge = false;
    let mut out: BTreeMap<String, BackendService> = BTreeMap::new();
    for app in served.values().flatten() {
        let NetworkPolicySettings { mode, additional_from } = &app.app.network_policy;
        edge |= *mode != Off;
        for (name, port) in app.app.routes.iter().flat_map(ParsedRoute::services) {
            let Some(service) = services.get(name.as_str()).filter(|s| s.may_be_backend()) else { continue };
            let Some(target) = service.ports.get(&port.get()) else { continue };
            let entry = out.entry(name.as_text()).or_insert_with(|| BackendService {
                service: name.as_text(),
                selector: service.selector.clone(),
                ports: BTreeSet::new(),
                closed_to: None,
            });
            entry.ports.insert(match target {
                TargetPort::Number(n) => (*n, String::new()),
                TargetPort::Named(name) => (0, name.clone()),
            });
            if *mode == Enforce {
                let peers = entry.closed_to.get_or_insert_with(Vec::new);
                for peer in additional_from {
                    if !peers.contains(peer) {
                        peers.push(peer.clone());
                    }
                }
            }
        }
    }
    (edge, out.into_values().collect())
}

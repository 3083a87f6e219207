//! From the edge pod to the app's pods: what stands in the namespace.

use std::collections::BTreeSet;

use gatehouse_crds::{ConditionStatus, RouteRule, keys};
use gatehouse_route::{HostRoutes, PathType, RouteTable, answering};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Hop, Mark, Read, Way, front, said};

pub(super) fn hops(way: &Way<'_>) -> Vec<Hop> {
    let mut out = vec![edge(way), route(way)];
    let Some((index, rule)) = way.route.and_then(|i| Some((i, way.app.spec.routes.get(i)?))) else { return out };
    for asked in asked(index, rule) {
        let service = service(way, &asked).at(asked.service);
        let stands = service.mark == Mark::Ok;
        out.push(service);
        if stands {
            out.push(pods(way, &asked).at(asked.service));
        }
    }
    out
}

/// Whether a condition of a pod holds.
pub(super) fn is(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == type_ && c.status == "True")
}

fn edge(way: &Way<'_>) -> Hop {
    const HOP: &str = "edge";
    let pods = match &way.facts.pods {
        Read::Seen(pods) => pods,
        Read::Hidden(_) if way.judged("Programmed").0 == ConditionStatus::True => {
            return Hop::ok(HOP, "serves, as the app's status says");
        }
        Read::Hidden(why) => return Hop::hidden(HOP, why),
    };
    let ready = pods.iter().filter(|p| is(p, "ContainersReady")).count();
    if ready > 0 {
        return Hop::ok(HOP, format!("{ready} of {} pods are ready", pods.len()));
    }
    let Some(pod) = pods.first() else {
        if front::places(way).next().is_none() {
            return Hop::waits(HOP, "none: the host has no place yet");
        }
        let object = format!("Deployment {}/{}", way.namespace, keys::EDGE_NAME);
        return Hop::broken(HOP, "the namespace has no edge pod", object, "status.conditions").cure(format!(
            "kubectl -n {} describe replicaset -l {}={}: a quota of the namespace or an admission policy refuses its pods",
            way.namespace,
            keys::COMPONENT,
            keys::EDGE
        ));
    };
    trouble(way, pod)
}

/// Why a pod is not ready, in the order in which a kubelet meets it.
fn trouble(way: &Way<'_>, pod: &Pod) -> Hop {
    const HOP: &str = "edge";
    let name = pod.metadata.name.clone().unwrap_or_default();
    let object = format!("Pod {}/{name}", way.namespace);
    let status = pod.status.clone().unwrap_or_default();
    let scheduled = status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(c) = scheduled {
        let text = format!("{name} finds no node: {}", c.message.clone().unwrap_or_default());
        return Hop::broken(HOP, text, "SharedLoadBalancer", "spec.edge.resources")
            .cure("fewer requests for the edge, or nodes with room for it");
    }
    let state = status.container_statuses.iter().flatten().find_map(|c| c.state.as_ref()?.waiting.clone());
    let why = state.as_ref().and_then(|w| w.reason.clone()).unwrap_or_default();
    let message = state.and_then(|w| w.message).unwrap_or_default();
    match why.as_str() {
        "" | "ContainerCreating" | "PodInitializing" => Hop::waits(HOP, format!("{name} is starting")),
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            Hop::broken(HOP, format!("{name}: {why}: {message}"), "SharedLoadBalancer", "spec.edge.image")
                .cure("an image that the node may pull: spec.edge.image, or the operator's --edge-image")
        }
        _ => {
            let cure = format!("kubectl -n {} logs {name} --previous", way.namespace);
            Hop::broken(HOP, format!("{name}: {why}: {message}"), object, "status.containerStatuses").cure(cure)
        }
    }
}

fn route(way: &Way<'_>) -> Hop {
    const HOP: &str = "route";
    let path = &way.facts.path;
    let Some((index, rule)) = way.route.and_then(|i| Some((i, way.app.spec.routes.get(i)?))) else {
        return Hop::broken(HOP, format!("no route has {path}: the edge answers 404"), way.object(), "spec.routes")
            .cure("a route with this path, or with one above it");
    };
    let field = format!("spec.routes[{index}]");
    if rule.redirect.is_none() && !rule.backends.is_empty() && rule.backends.iter().all(|b| b.weight == Some(0)) {
        return Hop::broken(
            HOP,
            format!("{field}: every weight is 0: the edge answers 503"),
            way.object(),
            format!("{field}.backends[0].weight"),
        )
        .cure("give one backend a weight");
    }
    let shown = format!("{field}, {:?} {}", rule.path_type.unwrap_or_default(), rule.path.as_deref().unwrap_or("/"));
    if let Some(hop) = served(way, rule) {
        return hop;
    }
    if let Some(c) = way.condition("Programmed").filter(|c| ["Frozen", "TablePending"].contains(&&*c.reason)) {
        return way.by_condition(HOP, c, "", "");
    }
    match &rule.redirect {
        Some(_) => Hop::ok(HOP, format!("{shown}: redirects the client, and the way ends here")),
        None => Hop::ok(HOP, shown),
    }
}

/// What is not as it should be in the table that the edge reads.
fn served(way: &Way<'_>, rule: &RouteRule) -> Option<Hop> {
    const HOP: &str = "route";
    let Some(text) = way.facts.table.seen()? else {
        return Some(Hop::waits(HOP, "the namespace has no table yet: the host must be claimed first"));
    };
    // A table of a version that is not ours to read is told by the app's status.
    let table = RouteTable::from_json(text).ok()?;
    let hosts: Vec<&HostRoutes> = table.ports.values().filter_map(|p| p.hosts.get(way.host)).collect();
    if hosts.is_empty() {
        return Some(Hop::waits(HOP, format!("{} is not in the namespace's table yet", way.host)));
    }
    let asked = rule.path.as_deref().unwrap_or("/");
    let same = |routes: &&HostRoutes| {
        answering(&routes.routes, &way.facts.path).is_some_and(|((path, kind), _)| match kind {
            PathType::Exact => path.as_str() == asked,
            PathType::Prefix => path.as_str().trim_end_matches('/') == asked.trim_end_matches('/'),
        })
    };
    if !hosts.iter().all(same) {
        return Some(Hop::waits(
            HOP,
            "the edge's table does not have this route yet: it serves what was last admitted",
        ));
    }
    let pods = way.facts.pods.seen()?;
    let hash = RouteTable::hash_of(text);
    let told = |p: &&Pod| p.metadata.annotations.as_ref().and_then(|a| a.get(keys::TABLE)) == Some(&hash);
    let current = pods.iter().filter(told).count();
    (current < pods.len())
        .then(|| Hop::waits(HOP, format!("{current} of {} edge pods were told of the present table", pods.len())))
}

/// A Service that the route asks.
struct Asked<'a> {
    service: &'a str,
    port: i32,
    /// Where the app says so.
    field: String,
}

/// Those without a share are asked nothing.
fn asked(index: usize, rule: &RouteRule) -> Vec<Asked<'_>> {
    let auth = rule.external_auth.iter().map(|auth| Asked {
        service: &auth.service,
        port: auth.port,
        field: format!("spec.routes[{index}].externalAuth"),
    });
    let backends = rule.backends.iter().enumerate().filter(|(_, b)| b.weight != Some(0)).map(|(j, b)| Asked {
        service: &b.service,
        port: b.port,
        field: format!("spec.routes[{index}].backends[{j}]"),
    });
    let backends = backends.filter(|_| rule.redirect.is_none());
    auth.chain(backends).collect()
}

fn find<'a>(way: &Way<'a>, name: &str) -> Option<&'a Service> {
    way.facts.services.seen()?.iter().find(|s| s.metadata.name.as_deref() == Some(name))
}

fn service(way: &Way<'_>, asked: &Asked<'_>) -> Hop {
    const HOP: &str = "service";
    let Asked { service: name, port, field } = asked;
    if let Read::Hidden(why) = &way.facts.services {
        return match way.condition("ResolvedRefs") {
            Some(c) if c.status == ConditionStatus::True => Hop::ok(HOP, "exists, as the app's status says"),
            Some(c) if c.message.contains(&format!("\"{name}\"")) => way.by_condition(HOP, c, &way.object(), field),
            _ => Hop::hidden(HOP, why),
        };
    }
    let object = format!("Service {}/{name}", way.namespace);
    let Some(service) = find(way, name) else {
        return Hop::broken(
            HOP,
            format!("{object} does not exist: its share answers 503"),
            way.object(),
            format!("{field}.service"),
        )
        .cure("create it, or name one that exists");
    };
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Hop::broken(HOP, "is an ExternalName, which is no backend", object, "spec.type")
            .cure("a Service with a selector");
    }
    if spec.selector.is_none_or(|s| s.is_empty()) {
        return Hop::broken(HOP, "has no selector, so it is no backend", object, "spec.selector")
            .cure("select the app's pods");
    }
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|p| p.port).collect();
    if ports.contains(port) {
        return Hop::ok(HOP, format!("port {port}"));
    }
    let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
    Hop::broken(HOP, format!("has no port {port}; it has {}", list.join(", ")), way.object(), format!("{field}.port"))
        .cure("the Service's port, not the pods'")
}

fn pods(way: &Way<'_>, asked: &Asked<'_>) -> Hop {
    const HOP: &str = "pods";
    let slices = match &way.facts.slices {
        Read::Seen(slices) => slices,
        Read::Hidden(why) => return Hop::hidden(HOP, why),
    };
    let service = format!("Service {}/{}", way.namespace, asked.service);
    let of = |slice: &&EndpointSlice| {
        let labels = slice.metadata.labels.as_ref();
        labels.and_then(|l| l.get("kubernetes.io/service-name")).is_some_and(|name| name == asked.service)
    };
    let slices: Vec<&EndpointSlice> = slices.iter().filter(of).collect();
    // One pod may stand in a slice for each address family.
    let mut all = BTreeSet::new();
    let mut ready = BTreeSet::new();
    for (slice, endpoint) in slices.iter().flat_map(|s| s.endpoints.iter().map(move |e| (s, e))) {
        let pod = endpoint.target_ref.as_ref().and_then(|t| t.name.clone()).or(endpoint.addresses.first().cloned());
        all.insert(pod.clone());
        let named = find(way, asked.service).and_then(|s| {
            s.spec
                .as_ref()?
                .ports
                .iter()
                .flatten()
                .find(|p| p.port == asked.port)
                .map(|p| p.name.clone().unwrap_or_default())
        });
        let ports = slice.ports.iter().flatten();
        let listens = named.is_none_or(|name| ports.clone().any(|p| p.name.clone().unwrap_or_default() == name));
        if endpoint.conditions.as_ref().is_none_or(|c| c.ready != Some(false)) && listens {
            ready.insert(pod);
        }
    }
    let selector = find(way, asked.service).and_then(|s| s.spec.as_ref()?.selector.clone()).unwrap_or_default();
    let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let look = format!("kubectl -n {} get pods -l {}", way.namespace, labels.join(","));
    match (all.len(), ready.len()) {
        (0, _) => Hop::broken(
            HOP,
            format!("{} selects no pod: its share answers 503", asked.service),
            service,
            "spec.selector",
        )
        .cure(format!("start pods with these labels, or correct the selector: {look}")),
        (n, 0) => Hop::broken(
            HOP,
            format!("{n} selected, none is ready at port {}", asked.port),
            service,
            "spec.ports[].targetPort, or the pods' readiness",
        )
        .cure(format!("why they are not ready: {look}")),
        (n, m) => match way.condition("NetworkPolicyApplied").filter(|c| c.status == ConditionStatus::False) {
            Some(c) => Hop::waits(HOP, said(c)),
            None => Hop::ok(HOP, format!("{m} of {n} ready")),
        },
    }
}

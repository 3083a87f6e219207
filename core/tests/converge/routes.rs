//! What a route says reaches the edge's table, within what the platform allows.

use gatehouse_route::{Path, PathType, RouteTable, Size};
use gatehouse_virtual::Sim;

use crate::{BALANCER, aws, policy, ready, settings};

/// One namespace that may have one host, with one Service.
fn shop() -> Sim {
    let mut sim = Sim::new(settings(), aws());
    sim.cluster.namespace("team-a");
    sim.cluster.service("team-a", "web", 8080);
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com]"));
    sim.cluster.load_balancer("public", BALANCER);
    sim
}

#[test]
fn options_reach_the_table_within_the_load_balancers_bounds() {
    let mut sim = shop();
    let app = "
hosts: [shop.example.com]
routes:
- backends: [{service: web, port: 8080}]
";
    sim.cluster.app("team-a", "shop", app);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    let table = |sim: &Sim| sim.engine.desired()["team-a"].table.clone().unwrap();
    assert_eq!(table(&sim).version, 1, "an older agent can serve what says nothing new");

    let more = format!(
        "{app}  maxBodySize: 10Mi\n  buffering: 'Off'\n- path: /big\n  backends: [{{service: web, port: 8080}}]\n  \
         maxBodySize: 60Gi\n- path: /a.Grpc\n  backends: [{{service: web, port: 8080}}]\n  backendProtocol: GRPC\n  \
         maxBodySize: 60Gi\n- path: /old\n  redirect: {{hostname: new.example.com}}\n"
    );
    sim.cluster.app("team-a", "shop", &more);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    let table = table(&sim);
    assert_eq!(table.version, 2);
    assert_eq!(RouteTable::from_json(&table.to_json()).unwrap(), table);
    let port = table.ports.values().next().unwrap();
    let routes = &port.hosts.values().next().unwrap().routes;
    let route = |path: &str| &routes[&(Path::parse(path).unwrap(), PathType::Prefix)];
    assert_eq!(route("/").options.max_body_size, Some(Size::parse("10Mi").unwrap()));
    assert_eq!(route("/").options.buffering, gatehouse_route::Buffering::Off);
    assert_eq!(route("/big").options.max_body_size, None, "the load balancer's counts where a route asks for more");
    let most = Some(port.max_body_size);
    assert_eq!(route("/a.Grpc").options.max_body_size, most, "without one a stream would have no limit");
    assert!(route("/old").backends.is_empty() && route("/old").options.redirect.is_some());
}

/// Who is asked about a request is reached as backends are; as long as nobody can be asked, nobody may come.
#[test]
fn who_is_asked_gets_a_twin_and_a_policy_and_closes_the_route_when_missing() {
    let mut sim = shop();
    let app = "
hosts: [shop.example.com]
routes:
- backends: [{service: web, port: 8080}]
  externalAuth: {service: guard, port: 8081, path: /verify, responseHeaders: [X-User]}
- path: /open
  backends: [{service: web, port: 8080}]
";
    sim.cluster.app("team-a", "shop", app);
    sim.run(120_000);
    let route = |sim: &Sim, path: &str| {
        let table = sim.engine.desired()["team-a"].table.clone().unwrap();
        let hosts = &table.ports.values().next().unwrap().hosts;
        hosts.values().next().unwrap().routes[&(Path::parse(path).unwrap(), PathType::Prefix)].clone()
    };
    assert!(route(&sim, "/").backends.is_empty() && route(&sim, "/").external_auth.is_none(), "closed");
    assert_eq!(route(&sim, "/open").backends.len(), 1);

    sim.cluster.service("team-a", "guard", 8081);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    let asked = route(&sim, "/").external_auth.unwrap();
    assert_eq!((asked.path.as_str(), asked.response_headers.len()), ("/verify", 1));
    assert_eq!(route(&sim, "/").backends.len(), 1);
    let children: Vec<String> = sim.engine.desired()["team-a"].children.keys().map(|key| format!("{key:?}")).collect();
    let of_guard = children.iter().filter(|key| key.contains("guard")).count();
    assert_eq!(of_guard, 2, "a twin and a policy: {children:?}");
}
